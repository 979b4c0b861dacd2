/**
 * The forwarder without a kernel: replay → hops → sink, in one inline lane. What a hop costs a packet is the difference
 * between a long chain and a short one. Against socat and the kernel's own chain: npm run bench:hops.
 */
import { Forwarder } from '../host/forward/chain.js';
import { forwardConfig } from '../host/forward/config.js';
import { HostNic, ReplayNic } from '../host/nic/index.js';
import { packet } from '../tests/support/packets.js';
import type { Bench } from './harness/bench.js';

const BATCH = 1 << 16;
const FLOWS = 64;
const LONG = 4;
/** Shortest frame of Ethernet without its checksum: UDP over IPv4 with 18 bytes. IPv6 with none is 62. */
const FRAME = 60;
const FIRST_PORT = 7996;

interface Family {
  name: 'IPv4' | 'IPv6';
  client: string;
  front: string;
  rear: string;
  backend: string;
  payload: number;
}

const FAMILIES: readonly Family[] = [
  {
    name: 'IPv4',
    client: '10.0.0.1',
    front: '10.0.0.2',
    rear: '10.1.0.2',
    backend: '10.1.0.1:8000@02:00:00:00:01:01',
    payload: FRAME - 42,
  },
  {
    name: 'IPv6',
    client: 'fd00::1',
    front: 'fd00::2',
    rear: 'fd01::2',
    backend: '[fd01::1]:8000@02:00:00:00:01:01',
    payload: 0,
  },
];

/** CPU ns a packet through so many hops. */
async function chain(bench: Bench, family: Family, hops: number): Promise<{ ns: number; rme: number }> {
  const { client, front, rear, backend, payload } = family;
  const packets = Array.from({ length: FLOWS }, (_, i) =>
    packet({
      protocol: 'udp',
      src: client,
      dst: front,
      sport: 40_000 + i,
      dport: FIRST_PORT,
      payload: new Uint8Array(payload),
    }),
  );
  const nic = new ReplayNic({ name: 'in', packets, count: 0 });
  const ports = Array.from({ length: hops }, (_, i) => FIRST_PORT + i);
  const forwarder = await Forwarder.create({
    config: forwardConfig({ address: front, source: rear, services: [{ ports, backends: [backend] }] }),
    in: nic,
    out: new HostNic({ name: 'out', sink: true }),
    engine: { inline: true },
  });
  const { engine } = forwarder;
  await forwarder.start();
  const play = (count: number): void => {
    nic.again({ count });
    while (engine.busy) engine.step(64);
  };
  // Samples begin when V8 has optimised loop and program.
  play(4 * BATCH);
  const sent = (): number => engine.counters().at(-1)!.txPackets;
  const before = sent();
  let played = 0;
  const s = bench.time(
    `${family.name} ${hops}`,
    () => {
      play(BATCH);
      played += BATCH;
    },
    { batch: BATCH },
  );
  const lost = played - (sent() - before);
  await forwarder.stop();
  if (lost) throw new Error(`${lost} of ${played} packets did not come through ${hops} hops`);
  return s;
}

export default async function forward(bench: Bench): Promise<void> {
  for (const family of FAMILIES) {
    const conditions = `1 lane, inline, ${family.name}, UDP, ${family.payload + (family.name === 'IPv4' ? 42 : 62)} B, ${FLOWS} flows`;
    const one = await chain(bench, family, 1);
    const many = await chain(bench, family, LONG);
    const rate = (name: string, s: { ns: number; rme: number }): void => {
      bench.row({ group: 'forwarder', name, conditions, unit: 'Mpps', value: 1e3 / s.ns, rme: s.rme });
    };
    rate('one hop', one);
    rate(`${LONG} hops`, many);
    bench.row({
      group: 'forwarder',
      name: 'each further hop',
      conditions,
      unit: 'ns',
      value: (many.ns - one.ns) / (LONG - 1),
    });
  }
}
