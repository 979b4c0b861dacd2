/** The wheel in virtual time: every timer fires at its nanosecond, in order of time, then of start. */
import { TimerNodeLayout } from '../../../host/layout/layout.gen.js';
import { random } from '../../support/random.js';
import { assert, suite } from '../../support/suite.js';
import { ABS, Here, IMMEDIATE, MONOTONIC, MS, Op, PACER } from './rig.js';

const test = suite('timers: wheel');

/** When key fired last, ns, and as which of all firings. */
function stamp(t: Here, key: number): { at: bigint; number: bigint } {
  const bytes = t.get(key)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { at: view.getBigUint64(16, true), number: view.getBigUint64(24, true) };
}

async function open(entries: number): Promise<Here> {
  const t = await Here.open('jit', `m=array/4/timer+16/${entries}`, 8 << 20);
  for (let key = 0; key < entries; key++) {
    t.do(Op.INIT, key, MONOTONIC);
    t.do(Op.CALLBACK, key, 4);
  }
  return t;
}

test('delays from 1 ns to two months end at their nanosecond', async () => {
  const delays = [1n, 2n, 511n, 512n, 513n, 1000n, 32_767n, 32_768n, 1n << 21n, (1n << 27n) + 1n, 10n ** 9n];
  delays.push(60n * 10n ** 9n, 7_200_000_000_001n, 86_400n * 10n ** 9n + 3n, 60n * 86_400n * 10n ** 9n);
  const t = await open(delays.length);
  const from = t.nowNs;
  for (const [key, ns] of delays.entries()) t.do(Op.START, key, ns);
  t.advance(61n * 86_400n * 10n ** 9n);
  for (const [key, ns] of delays.entries()) {
    assert.is(stamp(t, key).at - from, ns);
    assert.is(stamp(t, key).number, BigInt(key + 1));
  }
  await t.close();
});

test('nothing fires a nanosecond early', async () => {
  const t = await open(1);
  for (const ns of [700n, 40_000n, 3n * MS, 250n * MS]) {
    const before = t.fired;
    t.do(Op.START, 0, ns);
    t.advance(ns - 1n);
    assert.is(t.fired, before);
    t.advance(1n);
    assert.is(t.fired, before + 1);
  }
  await t.close();
});

test('timers of one time fire in the order of their starts, those put off there, too', async () => {
  const t = await open(64);
  const due = t.nowNs + 5n * MS;
  // Some are put off to that time and started before, or after, those that are started for it at once.
  for (let key = 0; key < 64; key += 4) t.do(Op.START, key, 1000);
  const order: number[] = [];
  for (let key = 63; key >= 0; key--) {
    t.do(Op.START, key, due, ABS);
    order.push(key);
    if (key === 20) t.advance(2n * MS);
  }
  t.advance(10n * MS);
  const seen = Array.from({ length: 64 }, (_, key) => key).sort((a, b) =>
    Number(stamp(t, a).number - stamp(t, b).number),
  );
  assert.equal(seen, order);
  assert.ok(seen.every(key => stamp(t, key).at === due));
  await t.close();
});

test('starts, restarts and cancels at random give what a sorted list gives', async () => {
  const next = random(4);
  const int = (n: number): number => next() % n;
  const KEYS = 48;
  const t = await open(KEYS);
  const model = new Map<number, { due: bigint; order: number }>();
  let order = 0;
  let firings = 0;
  const spans = [100n, 3000n, 50_000n, 4n * MS, 300n * MS, 20_000n * MS];
  const delay = (): bigint => (spans[int(spans.length)] * BigInt(int(1000))) / 1000n;
  for (let step = 0; step < 4000; step++) {
    const key = int(KEYS);
    const what = int(10);
    if (what < 6) {
      const ns = delay();
      assert.is(t.do(Op.START, key, ns), 0);
      model.set(key, { due: t.nowNs + ns, order: order++ });
    } else if (what < 7) {
      assert.is(t.do(Op.CANCEL, key), model.delete(key) ? 1 : 0);
      t.do(Op.CALLBACK, key, 4);
    } else {
      const until = t.nowNs + delay();
      t.advance(until - t.nowNs);
      const due = [...model].filter(([, m]) => m.due <= until);
      due.sort(([, a], [, b]) => (a.due < b.due ? -1 : a.due > b.due ? 1 : a.order - b.order));
      for (const [k, m] of due) {
        assert.equal(stamp(t, k), { at: m.due, number: BigInt(++firings) }, `step ${step}, key ${k}`);
        model.delete(k);
      }
      assert.is(t.fired, firings);
    }
  }
  assert.ok(firings > 500, `${firings}`);
  await t.close();
});

test('a hundred thousand timers within a microsecond, latest first, come out in order', async () => {
  const N = 100_000;
  const t = await Here.open('jit', `m=array/4/timer+16/${N}`, 64 << 20);
  const x = t.host.core.exports;
  const { addr } = t.map;
  const value = (key: number): number => t.map.dataAt! + key * t.map.stride!;
  // One by one by the helpers themselves: as a program would, without a packet for each.
  t.do(Op.INIT, 0, MONOTONIC);
  t.do(Op.CALLBACK, 0, 4);
  const slotAt = t.host.arena.u32[(t.host.arena.u32[value(0) >> 2] + TimerNodeLayout.slot) >> 2];
  x.clock_set(t.nowNs);
  for (let key = 1; key < N; key++) {
    x.timer_init(value(key), addr, MONOTONIC);
    x.timer_set_callback(value(key), slotAt);
  }
  for (let key = 0; key < N; key++) x.timer_start(value(key), 5n * MS + BigInt((N - key) % 1000), 0n);
  t.advance(6n * MS);
  assert.is(t.fired, N);
  let last = { at: 0n, number: 0n };
  const all = Array.from({ length: N }, (_, key) => ({ key, ...stamp(t, key) }));
  all.sort((a, b) => Number(a.number - b.number));
  for (const s of all) {
    assert.ok(s.at >= last.at && s.number === last.number + 1n);
    assert.is(s.at, t.nowNs - 6n * MS + 5n * MS + BigInt((N - s.key) % 1000));
    last = s;
  }
  await t.close();
});

test('immediate timers run at the end of the round, by start; pacers fire as others', async () => {
  const t = await open(4);
  t.do(Op.START, 2, 7, IMMEDIATE);
  t.do(Op.START, 1, 0, IMMEDIATE);
  t.do(Op.START, 3, 0);
  t.do(Op.START, 0, 500, PACER);
  t.advance(499n);
  assert.equal(
    [3, 2, 1].map(key => stamp(t, key).number),
    [1n, 2n, 3n],
  );
  assert.is(stamp(t, 0).number, 0n);
  t.advance(1n);
  assert.is(stamp(t, 0).number, 4n);
  await t.close();
});

test('an immediate timer may be cancelled, and started for a time instead', async () => {
  const t = await open(2);
  t.do(Op.START, 0, 0, IMMEDIATE);
  assert.is(t.do(Op.CANCEL, 0), 1);
  t.do(Op.START, 1, 0, IMMEDIATE);
  t.do(Op.START, 1, 100);
  t.advance(99n);
  assert.is(t.fired, 0);
  t.advance(1n);
  assert.is(t.fired, 1);
  await t.close();
});

test('REALTIME is measured from the epoch when the time is absolute', async () => {
  const t = await open(1);
  const lane = t.host.arena.lane(t.host.arena.header.laneCount);
  lane.taiOffsetNs = 10_000n * MS;
  const u = await Here.open('jit');
  u.host.arena.lane(u.host.arena.header.laneCount).taiOffsetNs = 10_000n * MS;
  u.do(Op.INIT, 0, 0);
  u.do(Op.CALLBACK, 0, 4);
  u.do(Op.START, 0, u.nowNs + 10_000n * MS + 1234n, ABS);
  u.advance(1233n);
  assert.is(u.fired, 0);
  u.advance(1n);
  assert.is(u.fired, 1);
  await t.close();
  await u.close();
});
