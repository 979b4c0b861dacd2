/**
 * What the entrance of a host (bpf-progs/transports/entrance) costs a message of TCP: the same echo on the same connections
 * with it at the ports, and with TCP's own programs there in its place, by turns.
 */
import type { LoadedProgram } from '../host/engine/program.js';
import type { Bench } from './harness/bench.js';
import { IN_FLIGHT, Scale, WIRE } from './scenarios/tcp/scale.js';

/** What the entrance hands to by tail calls: as there, who takes packets comes last. */
const OWN = ['tcp_gen', 'tcp_egress', 'tcp_ingress'];
/** Turns of each. The least counts: other programs only ever add. */
const TURNS = 8;
const WARM = 200;

export default async function entrance(bench: Bench): Promise<void> {
  const scale = await Scale.create(IN_FLIGHT);
  scale.connect(IN_FLIGHT);
  const { engine, tcp } = scale;
  const stands = {
    entrance: () => {
      for (const port of WIRE) tcp.entrance.attach(engine.port(port));
    },
    own: () => {
      for (const port of WIRE)
        for (const name of OWN) engine.attach(tcp.collection.program(name).placed as LoadedProgram, port);
    },
  };
  const least = { entrance: Number.POSITIVE_INFINITY, own: Number.POSITIVE_INFINITY };
  for (let turn = 0; turn < (bench.quick ? 1 : TURNS); turn++)
    for (const who of ['own', 'entrance'] as const) {
      stands[who]();
      for (let i = 0; i < WARM; i++) scale.echo(IN_FLIGHT);
      const { ns } = bench.time(`echo, ${who}`, () => scale.echo(IN_FLIGHT), { batch: IN_FLIGHT });
      least[who] = Math.min(least[who], ns);
    }
  const packets = (): number => tcp.counters().OutSegs;
  const before = packets();
  scale.echo(IN_FLIGHT);
  const each = (packets() - before) / IN_FLIGHT;
  await engine.stop();
  bench.row({
    ...{ group: 'entrance', name: 'echo of 64 B: both applications, both ends, the link' },
    conditions: `${IN_FLIGHT} connections, a message each, 1 lane, inline: ${each} packets a message, each made, sent and taken in`,
    ...{ unit: 'ns', value: least.entrance },
    peer: { name: 'TCP at the ports itself', value: least.own },
  });
}
