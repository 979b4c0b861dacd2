/** TCP through the Carousel wheel, in virtual time: the rate that is set is the rate that leaves, and no frame is lost. */

import type { PktQueueMap } from '../../host/bpf/maps/index.js';
import { CcAlgorithm, StreamRequest } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { OptionFlag } from './options.js';
import { FRAME, type Moment, mostOver, PacedPair, type Stalls } from './paced.js';
import { PAIR_FRAMES, Pair } from './pair.js';

const test = suite('tcp: pacing');
const MOST = 0.004;

for (const [name, bits, packets] of [
  ['1 Mbit/s', 1e6, 83],
  ['10 Mbit/s', 1e7, 500],
  ['100 Mbit/s', 1e8, 1000],
  ['1 Gbit/s', 1e9, 2000],
  ['10 Gbit/s', 1e10, 4000],
] as const)
  test(
    `a rate of ${name} is kept to 0.4 %`,
    async () => {
      const p = await PacedPair.create({ rate: bits / 8 });
      await p.pass(10, 5000);
      const { rate } = await p.pass(packets, 5000);
      const off = Math.abs(rate * 8 - bits) / bits;
      assert.ok(off <= MOST, `${(rate * 8) / 1e6} Mbit/s: ${(off * 100).toFixed(3)} %`);
      const wheel = p.pair.a.collection.map<PktQueueMap>('carousel').counts();
      assert.ok(wheel.queued > packets * 0.9, `${wheel.queued} packets went through the wheel`);
      assert.is(wheel.refused, 0);
      assert.is(p.pair.a.counters().RetransSegs, undefined);
      assert.is(await p.end(), 0, 'every frame is back in the pool');
    },
    { timeoutMs: 60_000 },
  );

test(
  'a rate whose packets take 1211.99 ns each is kept to 0.02 %: what is beyond whole ns is carried on',
  async () => {
    const rate = Math.round(FRAME / 1211.99e-9);
    const p = await PacedPair.create({ rate });
    await p.pass(10, 5000);
    const seen = await p.pass(4000, 5000);
    const off = Math.abs(seen.rate - rate) / rate;
    assert.ok(off <= 0.0002, `${seen.rate} of ${rate} B/s: ${(off * 100).toFixed(3)} %`);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

/** A lane that the scheduler takes from its CPU again and again, 0.1 to 5 ms. */
const STALLS: Stalls = { apart: [3_000_000, 20_000_000], long: [100_000, 5_000_000], seed: 11 };
/** What the wheel may hold of a flow: 1 ms of its rate leaves at once when the pacer is late (pace.h). */
const BURST_S = 0.001;

/** In no time more than twice the rate, 1 ms of it, and two packets. */
function noLargerBurst(moments: readonly Moment[], rate: number): void {
  for (const us of [0, 10, 100, 1000, 5000, 20_000]) {
    const over = mostOver(moments, 2 * rate, us * 1000);
    assert.ok(over <= rate * BURST_S + 2 * FRAME, `${over} bytes too many in ${us} µs`);
  }
}

for (const [name, bits, ms, delayNs] of [
  ['1 Mbit/s', 1e6, 1000, 5_000],
  ['10 Mbit/s', 1e7, 1000, 5_000],
  ['100 Mbit/s', 1e8, 1000, 5_000],
  ['100 Mbit/s, round trip of 10 ms', 1e8, 1000, 5_000_000],
  ['1 Gbit/s', 1e9, 1000, 5_000],
  ['10 Gbit/s', 1e10, 100, 5_000],
] as const)
  test(
    `a lane that stands still for 0.1 to 5 ms again and again keeps ${name} to 0.4 % over ${ms} ms, without bursts`,
    async () => {
      const rate = bits / 8;
      // What is in flight after a stall stands in it, too.
      const ring = 1 << 22;
      const p = await PacedPair.create({ rate, sndBytes: ring }, { delayNs }, { rcvBytes: ring });
      // Slow start is over, and the rings have grown.
      await p.pass(delayNs > 1e6 ? 1000 : bits > 1e9 ? 50_000 : 10, 5000);
      const [fromNs, fromBytes] = [p.leftNs, p.leftBytes];
      const moments = p.watch(ms * 0.96, { stalls: STALLS });
      // The second ends while the lane runs, as it began.
      p.watch(ms * 0.04);
      const seen = Number(p.leftBytes - fromBytes) / (Number(p.leftNs - fromNs) / 1e9);
      const off = Math.abs(seen - rate) / rate;
      assert.ok(off <= MOST, `${(seen * 8) / 1e6} Mbit/s: ${(off * 100).toFixed(3)} %`);
      noLargerBurst(moments, rate);
      // It did fall behind, and caught up: at one time more left than the rate allows.
      if (bits >= 1e8) assert.ok(mostOver(moments, rate, 2_000_000) > 5 * FRAME, 'nothing was caught up');
      assert.is(p.pair.a.counters().RetransSegs, undefined);
      assert.is(await p.end(), 0);
    },
    { timeoutMs: 60_000 },
  );

test(
  'a lane that stood still for 100 ms owes 20 ms of the rate, not all, and pays it at twice the rate',
  async () => {
    const rate = 12_500_000;
    const p = await PacedPair.create({ rate });
    await p.pass(200, 5000);
    const before = p.leftBytes;
    p.pair.engine.advance(100_000_000n);
    const moments = p.watch(200);
    const seen = Number(p.leftBytes - before) / rate;
    assert.ok(Math.abs(seen - 0.22) <= BURST_S + 0.0005, `${seen * 1000} ms of the rate in 200 ms`);
    noLargerBurst(moments, rate);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

for (const [name, bits, rcvBytes, ms, stands] of [
  ['100 Mbit/s: 10 ms, five times a second', 1e8, 1 << 15, 1000, (ms: number) => ms % 200 <= 10],
  // As a host whose CPU the system takes away: its window is a tenth of the time that it stands still.
  ['10 Gbit/s: 8 ms', 1e10, 1 << 20, 100, (ms: number) => ms > 20 && ms < 28],
] as const)
  test(
    `what a receiver that stood still held up by its window is made good at ${name}`,
    async () => {
      const rate = bits / 8;
      const p = await PacedPair.create({ rate, sndBytes: 1 << 22 }, {}, { rcvBytes });
      await p.pass(200, 5000);
      const [fromNs, fromBytes] = [p.leftNs, p.leftBytes];
      const moments = p.watch(ms, { take: at => !stands(at) });
      const seen = Number(p.leftBytes - fromBytes) / (Number(p.leftNs - fromNs) / 1e9);
      assert.ok(Math.abs(seen - rate) / rate <= MOST, `${(seen * 8) / 1e6} Mbit/s`);
      assert.ok(mostOver(moments, rate, 5_000_000) > 5 * FRAME, 'it was held up');
      noLargerBurst(moments, rate);
      assert.is(await p.end(), 0);
    },
    { timeoutMs: 60_000 },
  );

test(
  'a flow that is always held by its window is paced at its rate all the same, but for a tenth of the time',
  async () => {
    // A window of some 60 % of what the rate would have in flight.
    const rate = 12_500_000;
    const p = await PacedPair.create({ rate }, { delayNs: 5_000_000 }, { rcvBytes: 1 << 16 });
    await p.pass(300, 5000);
    const before = p.leftBytes;
    const moments = p.watch(500);
    const seen = Number(p.leftBytes - before) / 0.5;
    assert.ok(seen < 0.8 * rate, `its window holds it: ${(seen * 8) / 1e6} Mbit/s`);
    // A tenth of a round trip, what is made ahead, and two packets.
    const over = mostOver(moments, rate, 5_000_000);
    assert.ok(over <= rate * (0.001 + BURST_S) + 2 * FRAME, `${over} bytes too many in 5 ms`);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'idleness earns nothing: after 200 ms without data a flow begins at its rate',
  async () => {
    const rate = 12_500_000;
    const p = await PacedPair.create({ rate });
    await p.pass(200, 5000);
    p.watch(250, { give: () => false });
    const left = p.leftBytes;
    p.watch(50, { give: () => false });
    assert.is(p.leftBytes, left, 'it was idle');
    const moments = p.watch(50);
    assert.ok(Number(p.leftBytes - left) > rate * 0.049, `${p.leftBytes - left} bytes in 50 ms`);
    for (const us of [0, 100, 1000, 10_000]) {
      const over = mostOver(moments, rate, us * 1000);
      assert.ok(over <= 2 * FRAME, `${over} bytes too many in ${us} µs`);
    }
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

/** Nothing is caught up: in no time more than the rate, what the wheel held, and two packets. */
function atItsRate(moments: readonly Moment[], rate: number, heldS = BURST_S): void {
  for (const us of [0, 100, 1000, 10_000]) {
    const over = mostOver(moments, rate, us * 1000);
    assert.ok(over <= rate * heldS + 2 * FRAME, `${over} bytes too many in ${us} µs`);
  }
}

test(
  'nor does idleness before a crumb that Nagle or a cork holds back',
  async () => {
    const rate = 12_500_000;
    const p = await PacedPair.create({ rate, flags: OptionFlag.CORK });
    await p.pass(200, 5000);
    p.watch(300, { give: () => false });
    const left = p.leftBytes;
    assert.is(p.from.write(new Uint8Array(100)), 100);
    p.watch(1, { give: () => false });
    assert.is(p.leftBytes, left, 'it is held back');
    atItsRate(p.watch(50), rate);
    assert.ok(Number(p.leftBytes - left) > rate * 0.049, `${p.leftBytes - left} bytes in 50 ms`);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'nor does idleness before a window that is shut: what that holds up counts from then on',
  async () => {
    const rate = 12_500_000;
    const ring = 1 << 18;
    const p = await PacedPair.create({ rate, sndBytes: 1 << 20 }, {}, { rcvBytes: ring });
    await p.pass(200, 5000);
    p.watch(100, { give: () => false });
    const [left, full] = [p.leftBytes, new Uint8Array(ring)];
    assert.is(p.from.write(full), ring);
    p.watch(300, { give: () => false, take: () => false });
    assert.ok(p.leftBytes - left > ring, 'it is full');
    // Some ms of it.
    atItsRate(p.watch(50, { take: ms => ms >= 1 }), rate, BURST_S + 0.002);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'nor does a lane that stands still while there is nothing to send',
  async () => {
    // A packet takes 1.2 ms, more than is made ahead.
    const rate = 1_250_000;
    const p = await PacedPair.create({ rate, flags: OptionFlag.NODELAY, sndBytes: 1 << 13 });
    await p.pass(50, 5000);
    // By the one way, and by the other: what was idle long is thought about.
    for (const idleMs of [400, 20]) {
      p.watch(idleMs, { give: () => false });
      assert.is(p.from.unacknowledged, 0);
      const left = p.leftBytes;
      assert.is(p.from.write(new Uint8Array(1448)), 1448);
      assert.ok(p.pair.run(() => p.leftBytes > left, 2));
      // The next packet's time has not come, and nobody has one.
      p.pair.engine.advance(30_000_000n);
      assert.is(p.from.write(new Uint8Array(4000)), 4000);
      atItsRate(p.watch(50), rate);
    }
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'the round trip has no wait of the wheel in it',
  async () => {
    const p = await PacedPair.create({ rate: 12_500_000 }, { delayNs: 400_000 });
    await p.pass(1000, 5000);
    const rtt = p.pair.a.flow(p.from.id).rtt as { srtt: number; min_rtt: number };
    // There and back; the peer may wait for a second segment, 121 µs at this rate.
    assert.ok(rtt.min_rtt >= 800 && rtt.min_rtt < 810, `${rtt.min_rtt} µs`);
    assert.ok(rtt.srtt >= 800 && rtt.srtt < 940, `${rtt.srtt} µs`);
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'a rate that changes holds from then on, up and down',
  async () => {
    const p = await PacedPair.create({ rate: 125_000 });
    for (const rate of [12_500_000, 1_250_000, 125_000_000]) {
      p.pair.a.setOptions(p.from.id, { rate }, 0);
      await p.pass(30, 5000);
      const seen = await p.pass(500, 5000);
      assert.ok(Math.abs(seen.rate - rate) / rate <= MOST, `${seen.rate} of ${rate}`);
    }
    assert.is(await p.end(), 0);
  },
  { timeoutMs: 60_000 },
);

test(
  'windows are paced when that is asked for: packets of a round trip are spread over it, none is lost to a short buffer',
  async () => {
    const link = { rate: 100_000_000, delayNs: 5_000_000, queueBytes: 12_000 };
    const lost: number[] = [];
    for (const flags of [0, OptionFlag.PACE]) {
      const p = await PacedPair.create(
        { flags, initialCwnd: 40, algorithm: CcAlgorithm.RENO, sndBytes: 262_144 },
        link,
        { rcvBytes: 262_144 },
      );
      p.pair.run(
        () => p.from.room > 0,
        10,
        () => p.from.room,
      );
      assert.is(p.from.write(new Uint8Array(40 * 1400)), 40 * 1400);
      p.pair.run(() => p.from.unacknowledged === 0, 5000);
      lost.push(p.pair.a.counters().RetransSegs ?? 0);
      await p.end();
    }
    assert.ok(lost[0] > 15, `a burst of 40 segments does not fit the buffer: ${lost[0]}`);
    assert.is(lost[1], 0, 'paced it does');
  },
  { timeoutMs: 60_000 },
);

test(
  'what was lost is sent again in its turn, every byte arrives',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000, loss: 0.02, reorder: 0.02, seed: 9 });
    const { shas } = pair.transfer({
      forth: 500_000,
      back: 100_000,
      client: { rate: 5_000_000 },
      server: { rate: 2_000_000 },
    });
    assert.is(shas[0], shas[1]);
    assert.is(shas[2], shas[3]);
    // The last ACKs are still on the wire when both have closed.
    pair.run(() => false, 100);
    for (const host of [pair.a, pair.b]) {
      const { queued, taken } = host.collection.map<PktQueueMap>('carousel').counts();
      assert.is(queued, taken, 'nothing is left in the wheel');
    }
    assert.is((await pair.engine.stop()).ledger.free, PAIR_FRAMES);
  },
  { timeoutMs: 60_000 },
);

test(
  'a connection that is reset while packets wait leaves nothing behind',
  async () => {
    const p = await PacedPair.create({ rate: 1_000_000 });
    await p.pass(20, 1000);
    p.from.request(StreamRequest.ABORT);
    p.from.release();
    p.pair.run(() => false, 200);
    const { queued, taken } = p.pair.a.collection.map<PktQueueMap>('carousel').counts();
    assert.is(queued, taken);
    assert.is((await p.pair.engine.stop()).ledger.free, PAIR_FRAMES);
  },
  { timeoutMs: 60_000 },
);
