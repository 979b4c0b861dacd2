/**
 * Rings and the whole path of a packet, with hand-made programs: what the loop itself costs.
 * One lane, inline; replay → rx ring → program → drop, sink or pass. The programs of bpf-progs/ have a bench of their own.
 */
import { Piscina } from 'piscina';
import { Engine } from '../host/engine/engine.js';
import { Arena } from '../host/mem/arena.js';
import { createRing, pendingIn } from '../host/mem/ring.js';
import { modelLink, ReplayNic } from '../host/nic/index.js';
import { benchCore, benchModule } from '../tests/support/bench_core.js';
import { handMade, udpFrame, verdict } from '../tests/support/programs.js';
import type { Bench } from './harness/bench.js';

const FRAME = 64;
const FLOWS = 64;
/** Packets per sample: long enough that the calls from JavaScript do not show. */
const BATCH = 1 << 18;

/** Drops what is not IPv4, and everything else, too, after looking at its header: bounds, type, protocol, ports. */
const parseAndDrop = handMade(
  `(local $p i32)
  (local.set $p (i32.load (local.get 0)))
  (if (i32.gt_u (i32.add (local.get $p) (i32.const 42)) (i32.load offset=4 (local.get 0))) (then (return (i64.const 2))))
  (if (i32.ne (i32.load16_u offset=12 (local.get $p)) (i32.const 8)) (then (return (i64.const 2))))
  (if (i32.ne (i32.load8_u offset=23 (local.get $p)) (i32.const 17)) (then (return (i64.const 2))))
  (i64.extend_i32_u (i32.add (i32.const 1) (i32.eq (i32.load16_u offset=36 (local.get $p)) (i32.const 0))))`,
  { name: 'parse and drop' },
);

const frames = (): Uint8Array[] => Array.from({ length: FLOWS }, (_, i) => udpFrame(i, FRAME, i));

function ringsOneThread(bench: Bench): void {
  const arena = Arena.create({ lanes: 1, frames: 1, mapBytes: 4096 });
  const x = benchCore(arena, 1);
  for (const batch of [1, 8, 64, 256]) {
    const { producer, consumer } = createRing(arena, 1024);
    const s = bench.time(`ring ${batch}`, () => x.ring_turn_numbers(producer, consumer, BATCH, batch), {
      batch: BATCH,
    });
    bench.row({
      group: 'rings',
      name: 'one thread, produce and consume',
      conditions: `bursts of ${batch}, ring of 1024, 16 B written and checked`,
      unit: 'M/s',
      value: 1e3 / s.ns,
      rme: s.rme,
    });
  }
}

async function ringsTwoThreads(bench: Bench): Promise<void> {
  const arena = Arena.create({ lanes: 2, frames: 1, mapBytes: 4096 });
  const x = benchCore(arena, 2);
  const pool = new Piscina({
    filename: new URL('../tests/support/ring_peer.ts', import.meta.url).href,
    maxThreads: 1,
  });
  const total = bench.quick ? 1_000_000 : 10_000_000;
  for (const burst of [8, 64, 256]) {
    const { producer, consumer } = createRing(arena, 1024);
    const done = pool.run({ memory: arena.memory, core: benchModule(), ring: producer, total, burst });
    while (pendingIn(arena, consumer) === 0) await new Promise(r => setTimeout(r, 0));
    const from = performance.now();
    x.ring_consume_numbers(consumer, total, burst);
    const ms = performance.now() - from;
    await done;
    bench.row({
      group: 'rings',
      name: 'two threads',
      conditions: `bursts of ${burst}, ring of 1024, one run of ${total / 1e6} M`,
      unit: 'M/s',
      value: total / ms / 1e3,
    });
  }
  await pool.close();
}

async function path(
  bench: Bench,
  name: string,
  program: ReturnType<typeof verdict>,
  target?: number,
  burst = 64,
): Promise<void> {
  const nic = new ReplayNic({ packets: frames(), count: 0, sink: true });
  const engine = await Engine.create({ nics: [nic], inline: true, pass: 'count', burst, mapBytes: 1 << 16 });
  engine.attach(await engine.load(program), 1);
  await engine.start();
  // Samples begin when V8 has optimised the loop.
  nic.again({ count: 8 * BATCH });
  while (nic.busy) engine.step(64);
  const s = bench.time(
    name,
    () => {
      nic.again({ count: BATCH });
      while (nic.busy) engine.step(64);
    },
    { batch: BATCH },
  );
  await engine.stop();
  const mpps = 1e3 / s.ns;
  bench.row({
    group: 'whole path',
    name,
    conditions: `1 lane, ${FRAME} B, ${FLOWS} flows, bursts of ${burst}`,
    unit: 'Mpps',
    value: mpps,
    rme: s.rme,
    ...(target ? { target: `≥ ${target} Mpps`, met: mpps >= target } : {}),
  });
}

/** Worker lanes, by the clock on the wall: what two cores make of it. */
async function workers(bench: Bench, lanes: number): Promise<void> {
  const count = bench.quick ? 4_000_000 : 40_000_000;
  const nic = new ReplayNic({ packets: frames(), count: count / 4, sink: true });
  const engine = await Engine.create({ nics: [nic], lanes, pass: 'count', mapBytes: 1 << 16 });
  engine.attach(await engine.load(verdict(1)), 1);
  await engine.start();
  await engine.idle();
  const from = performance.now();
  nic.again({ count });
  await engine.idle();
  const ms = performance.now() - from;
  await engine.stop();
  bench.row({
    group: 'whole path',
    name: 'drop, worker lanes',
    conditions: `${lanes} lane${lanes > 1 ? 's' : ''}, ${FRAME} B, ${FLOWS} flows, bursts of 64, one run of ${count / 1e6} M`,
    unit: 'Mpps',
    value: count / ms / 1e3,
    ...(lanes === 1 ? { target: '≥ 40 Mpps', met: count / ms / 1e3 >= 40 } : {}),
  });
}

/** Live swaps under full load: how long a lane stands still, and that every packet is accounted for. */
async function swaps(bench: Bench): Promise<void> {
  const nic = new ReplayNic({ packets: frames(), count: 1e12, sink: true });
  const engine = await Engine.create({ nics: [nic], lanes: 2, pass: 'count', mapBytes: 1 << 16 });
  let attachment = engine.attach(await engine.load(verdict(3)), 1);
  await engine.start();
  const pauses: number[] = [];
  for (let i = 0; i < (bench.quick ? 10 : 50); i++) {
    const swapped = await engine.swap(attachment, verdict(i % 2 ? 3 : 1));
    attachment = swapped.attachment;
    pauses.push(...swapped.pausesNs);
    await new Promise(r => setTimeout(r, 5));
  }
  const [c] = (await engine.stop()).ports;
  pauses.sort((x, y) => x - y);
  const conditions = `2 busy worker lanes, ${pauses.length / 2} swaps`;
  const lost = c.rxPackets - c.txPackets - (c.drops.XDP_DROP ?? 0);
  bench.row({
    group: 'swap',
    name: 'pause, median',
    conditions,
    unit: 'µs',
    value: pauses[pauses.length >> 1] / 1e3,
  });
  bench.row({ group: 'swap', name: 'pause, worst', conditions, unit: 'µs', value: pauses.at(-1)! / 1e3 });
  bench.row({
    group: 'swap',
    name: 'packets lost',
    conditions: `${conditions}, ${(c.rxPackets / 1e6).toFixed(1)} M packets`,
    unit: 'count',
    value: lost,
    target: '0',
    met: lost === 0,
  });
}

/** Replay at one end, the link, and a dropping port at the other: what a link adds to the path. */
async function link(bench: Bench, name: string, settings: Parameters<typeof modelLink>[0]): Promise<void> {
  const nic = new ReplayNic({ packets: frames(), count: 0 });
  const { a, b } = modelLink(settings);
  const engine = await Engine.create({ nics: [nic, a, b], inline: true, mapBytes: 1 << 16 });
  const toA = handMade(
    `(call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0)) i64.const 4`,
    { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );
  engine.attach(await engine.load(toA), 'replay');
  engine.attach(await engine.load(verdict(1)), b.name);
  await engine.start();
  const s = bench.time(
    name,
    () => {
      nic.again({ count: BATCH });
      while (engine.busy) engine.step(64);
    },
    { batch: BATCH },
  );
  await engine.stop();
  bench.row({
    group: 'whole path',
    name,
    conditions: `1 lane, ${FRAME} B, replay → redirect → link → drop`,
    unit: 'Mpps',
    value: 1e3 / s.ns,
    rme: s.rme,
  });
}

export default async function rings(bench: Bench): Promise<void> {
  ringsOneThread(bench);
  await ringsTwoThreads(bench);
  await path(bench, 'drop', verdict(1), 40);
  await path(bench, 'drop', verdict(1), 40, 256);
  await path(bench, 'parse and drop', parseAndDrop, 25);
  await path(bench, 'transmit', verdict(3), 14.88);
  await path(bench, 'pass', verdict(2));
  await workers(bench, 1);
  await workers(bench, 2);
  await swaps(bench);
  await link(bench, 'plain link', {});
  await link(bench, 'link with delay and loss', { delayNs: 1000, loss: 0.01 });
  await link(bench, 'link with a rate', { rate: 1e12 });
  await link(bench, 'link with 8 priorities', { rate: 1e12, priorities: 8 });
}
