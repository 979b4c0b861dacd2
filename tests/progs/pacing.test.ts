/** The Carousel wheel as eBPF programs, in virtual time: when packets leave, in what order, and what becomes of them. */
import { type Departure, Paced, SLOT_NS } from '../support/paced.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bpf-progs: pacing');
const SECOND = 1_000_000_000n;
const START = SECOND;
const FRAMES = 4096;

const virtual = () => Paced.create({ inline: true, clock: 'virtual', startNs: START, ringSlots: 4096 });

/** When the slot begins that a time belongs to: no packet leaves before its time, none later than a slot after it. */
const slotOf = (at: bigint): bigint => ((at + SLOT_NS - 1n) / SLOT_NS) * SLOT_NS;

/** Numbers of the packets of one stream, as they left. */
const numbers = (all: readonly Departure[], stream: number): number[] =>
  all.filter(d => d.stream === stream).map(d => d.number);

const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

for (const [name, bitsPerSecond, packets] of [
  ['1 Mbit/s', 1e6, 40],
  ['100 Mbit/s', 1e8, 2000],
  ['1 Gbit/s', 1e9, 3000],
  ['10 Gbit/s', 1e10, 3000],
] as const)
  test(`at ${name} every packet leaves in the slot of its time, and the times are those of the rate to the ns`, async () => {
    const p = await virtual();
    const rate = bitsPerSecond / 8;
    p.open(1, rate, packets);
    await p.engine.start();
    p.start(1);
    const all = p.run(START + 60n * SECOND);
    assert.equal(numbers(all, 1), counting(packets));
    const interval = (k: number): bigint => (BigInt(k) * 1514n * SECOND) / BigInt(rate);
    for (const [k, d] of all.entries()) {
      assert.is(d.at, START + interval(k), `time of packet ${k}`);
      // The first is due at once and goes past the wheel.
      assert.is(d.left, k === 0 ? START : slotOf(d.at), `packet ${k}`);
    }
    const [c] = p.engine.counters();
    assert.equal([c.egress.tx, c.egress.redirect, c.txPackets], [1, packets - 1, packets]);
    const late = all.slice(1).reduce((sum, d) => sum + d.left - d.at, 0n);
    const { sent, last, late: counted } = p.streams.get(1)!;
    assert.equal([sent, last, counted], [BigInt(packets), all[packets - 1].left, late]);
    assert.equal(p.wheel.counts(), { queued: packets - 1, taken: packets - 1, refused: 0 });
    assert.is((await p.engine.stop()).ledger.free, FRAMES);
  });

test('streams of many rates share the wheel: each keeps its order and its times, and slots leave in order', async () => {
  const p = await virtual();
  const next = random(11);
  const streams = counting(20).map(id => ({
    id,
    rate: 125_000 * (1 + (next() % 2000)),
    size: 60 + (next() % 1455),
    packets: 50 + (next() % 100),
  }));
  for (const { id, rate, size, packets } of streams) p.open(id, rate, packets, { size, ahead: 5 });
  await p.engine.start();
  for (const { id } of streams) p.start(id);
  const all = p.run(START + 60n * SECOND);
  for (const { id, size, packets } of streams) {
    assert.equal(numbers(all, id), counting(packets), `stream ${id}`);
    assert.ok(all.every(d => d.stream !== id || d.bytes === size));
  }
  for (const [i, d] of all.entries()) {
    assert.ok(d.left >= d.at, 'none before its time');
    assert.ok(d.left <= slotOf(d.at), 'none after its slot');
    if (i > 0) assert.ok(slotOf(all[i - 1].left) <= slotOf(d.left), 'slots in order');
  }
  assert.is((await p.engine.stop()).ledger.free, FRAMES);
});

test('no more packets of a stream wait than it allows, and the next is made when one leaves', async () => {
  const p = await virtual();
  p.open(3, 1_000_000, 30, { ahead: 4 });
  await p.engine.start();
  p.start(3);
  let most = 0;
  const all = p.run(START + 60n * SECOND, () => {
    most = Math.max(most, p.streams.get(3)!.waiting);
  });
  assert.is(most, 4);
  assert.is(all.length, 30);
  await p.engine.stop();
});

test('a stream slower than a packet in 25 ms sends at that: what lies beyond the wheel leaves at its end', async () => {
  const p = await virtual();
  // 100 ms apart.
  p.open(0, 15_140, 3, { ahead: 10 });
  await p.engine.start();
  p.start(0);
  const all = p.run(START + SECOND);
  assert.equal(numbers(all, 0), [0, 1, 2]);
  assert.is(all[0].left, START);
  const SPAN = 49_999n * SLOT_NS;
  assert.equal([all[1].left, all[2].left], [START + SPAN, START + 2n * SPAN]);
  await p.engine.stop();
});

test('a full slot drops what finds no room, with a reason, and the streams go on', async () => {
  const p = await virtual();
  // A rate so high that thousands of packets have the same time, 1 ms ahead.
  p.open(1, 1e15, 3000, { size: 60, ahead: 2000, from: START + 1_000_000n });
  await p.engine.start();
  p.start(1);
  const all = p.run(START + SECOND);
  const [c] = p.engine.counters();
  const full = c.drops.PKT_QUEUE_FULL ?? 0;
  assert.ok(full > 0);
  assert.is(numbers(all, 1).length, 3000 - full);
  assert.is(p.wheel.counts().refused, full);
  assert.is(p.streams.get(1)!.waiting, 0);
  assert.is((await p.engine.stop()).ledger.free, FRAMES);
});

test('a stream that was held up catches up what it has credit for, and no more', async () => {
  for (const [credit, burst] of [
    [0, 1],
    [5_000_000, 6],
  ]) {
    const p = await virtual();
    // A packet a millisecond; after the tenth the lane stands still for 20 ms, but nothing is in the wheel.
    p.open(0, 1_514_000, 10, { credit });
    await p.engine.start();
    p.start(0);
    p.run(START + SECOND);
    p.engine.advance(START + 2n * SECOND - p.engine.now());
    const s = p.streams.get(0)!;
    p.streams.set(0, { ...s, left: 20n });
    p.start(0);
    const all = p.run(START + 10n * SECOND);
    assert.is(all.length, 20);
    const atOnce = all.filter(d => d.left - all[0].left < SLOT_NS);
    assert.is(atOnce.length, burst, `credit of ${credit} ns`);
    await p.engine.stop();
  }
});

test('when the port has no room packets stay in the wheel, and none is dropped', async () => {
  const p = await Paced.create({ inline: true, clock: 'virtual', startNs: START, ringSlots: 64 });
  p.open(0, 125_000_000, 300, { ahead: 200 });
  await p.engine.start();
  p.start(0);
  // Nobody takes what was sent for 10 ms.
  for (let i = 0; i < 20_000 && p.engine.now() < START + 10_000_000n; i++) {
    if (p.engine.step()) continue;
    const due = p.engine.nextDueNs();
    if (due !== undefined && due > p.engine.now()) p.engine.advance(due - p.engine.now());
    else if (due === undefined) break;
  }
  assert.equal(p.engine.counters()[0].drops, { XDP_DROP: 1 });
  assert.is(p.engine.counters()[0].txPackets, 64);
  const all = p.run(START + SECOND);
  assert.equal(numbers(all, 0), counting(300));
  assert.is((await p.engine.stop()).ledger.free, FRAMES);
});

test('packets that wait when the engine stops are in the ledger; the end of the programs frees them', async () => {
  const p = await virtual();
  p.open(0, 1_000_000, 100, { ahead: 8 });
  await p.engine.start();
  p.start(0);
  p.run(START + 2_000_000n);
  assert.is(p.waiting(), 8);
  const { ledger } = await p.engine.stop();
  assert.equal(ledger.inFlight, { 'pkt_queue carousel/0': 8 });
  await p.collection.close();
  assert.is(p.engine.ledger().free, FRAMES);
});

test(
  'a worker lane that is ended while the wheel turns goes on in the next: what waits is sent, frames are conserved',
  async () => {
    const p = await Paced.create({ sink: true, lanes: 1, restarts: 100, ringSlots: 4096 });
    for (let id = 0; id < 8; id++) p.open(id, 12_500_000, 1e9, { ahead: 50 });
    await p.engine.start();
    for (let id = 0; id < 8; id++) p.start(id);
    const sent = (): bigint => {
      let sum = 0n;
      for (let id = 0; id < 8; id++) sum += p.streams.get(id)!.sent;
      return sum;
    };
    for (let i = 0; i < 3; i++) {
      await new Promise(r => setTimeout(r, 40 + i * 17));
      p.engine.killLane(0);
      // The thread ends when the system gets to it: until then there is nothing to be settled.
      for (let k = 0; k < 5000 && p.engine.crashes.length === i; k++)
        await new Promise(r => setTimeout(r, 1));
      assert.is(p.engine.crashes.length, i + 1);
      await p.engine.settled();
      const before = sent();
      for (let k = 0; k < 3000 && sent() < before + 100n; k++) await new Promise(r => setTimeout(r, 1));
      assert.ok(sent() >= before + 100n, `the wheel turns after death ${i}`);
    }
    const report = await p.engine.stop();
    const held = Object.values(report.ledger.inFlight).reduce((a, b) => a + b, 0);
    assert.is(report.ledger.free + held, FRAMES);
    assert.equal(
      Object.keys(report.ledger.inFlight).filter(name => name !== 'pkt_queue carousel/0'),
      [],
    );
    await p.collection.close();
  },
  { timeoutMs: 30_000 },
);
