/** The responder: what an echo costs, and what it costs a packet that is none of its business. Replay → sink, one inline lane. */
import { Engine } from '../host/engine/engine.js';
import { ReplayNic } from '../host/nic/index.js';
import { packet } from '../tests/support/packets.js';
import type { Bench } from './harness/bench.js';

const BATCH = 1 << 16;
/** Of the first port of an engine. */
const OURS = '02:00:00:00:00:01';
const ADDRESS = '10.0.0.1';
const HEADERS = 14 + 20 + 8;

/** ns a packet, with a responder for ADDRESS or without one. */
async function path(bench: Bench, name: string, data: Uint8Array, responds: boolean) {
  const nic = new ReplayNic({ packets: [data], count: 0, sink: true });
  const engine = await Engine.create({ nics: [nic], inline: true, pass: 'count', mapBytes: 1 << 16 });
  const responder = responds
    ? engine.respond(1, { addresses: [`${ADDRESS}/24`], announce: false, linkLocal: false })
    : undefined;
  await engine.start();
  const play = (count: number): void => {
    nic.again({ count });
    while (nic.busy) engine.step(64);
  };
  play(4 * BATCH);
  const s = bench.time(name, () => play(BATCH), { batch: BATCH });
  const answered = responder?.counters.echoAnswered ?? 0;
  await engine.stop();
  return { ...s, answered };
}

const echo = (bytes: number): Uint8Array =>
  packet({
    protocol: 'icmp',
    src: '10.0.0.2',
    dst: ADDRESS,
    dmac: OURS,
    smac: '02:00:00:00:00:02',
    payload: new Uint8Array(bytes - HEADERS),
  });

export default async function responder(bench: Bench): Promise<void> {
  const group = 'responder';
  for (const bytes of [98, 1514]) {
    const s = await path(bench, `echo ${bytes}`, echo(bytes), true);
    if (s.answered === 0) throw new Error('no echo was answered');
    const conditions = `1 lane, inline, ${bytes} B, replay and sink included`;
    bench.row({ group, name: 'echo request answered', conditions, unit: 'ns', value: s.ns, rme: s.rme });
  }
  const other = packet({ protocol: 'udp', src: '10.0.0.2', dst: '10.0.0.9', dmac: OURS });
  const [without, beside] = [
    await path(bench, 'passed, no responder', other, false),
    await path(bench, 'passed by a responder', other, true),
  ];
  bench.row({
    group,
    name: 'a packet that is for others',
    conditions: `1 lane, inline, ${other.length} B, passed and counted`,
    unit: 'ns',
    value: beside.ns,
    peer: { name: 'no responder', value: without.ns },
  });
}
