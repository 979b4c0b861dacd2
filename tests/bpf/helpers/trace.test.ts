/** The trace log, random numbers and clocks of a lane. */
import { TraceLog } from '../../../host/engine/trace.js';
import { LaneStateLayout, LaneStateView } from '../../../host/layout/layout.gen.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers: trace, chance, clocks');

function world(lanes = 2) {
  const arena = Arena.create({ lanes, frames: 16 });
  const text = arena.scratch.alloc(256, 8);
  const put = (s: string): number => {
    const bytes = new TextEncoder().encode(`${s}\0`);
    arena.u8.set(bytes, text);
    return bytes.length;
  };
  const cores = Array.from({ length: lanes + 1 }, (_, i) => instantiateCore(arena, i));
  const say = (lane: number, format: string, a = 0n, b = 0n, c = 0n): number =>
    cores[lane].exports.trace_printk(text, put(format), a, b, c);
  return { arena, cores, say };
}

test('lines come back with their lane and time, in order', () => {
  const { arena, cores, say } = world();
  const log = new TraceLog(arena);
  cores[0].exports.clock_set(111n);
  cores[1].exports.clock_set(222n);
  assert.is(say(0, 'x=%d', 7n), 3);
  say(1, 'hello');
  say(0, 'y=%llx', 0xabcdn);
  assert.equal(log.read(), [
    { lane: 0, ns: 111n, text: 'x=7' },
    { lane: 0, ns: 111n, text: 'y=abcd' },
    { lane: 1, ns: 222n, text: 'hello' },
  ]);
  assert.equal(log.read(), []);
});

test('without a reader nothing is kept, and the length is the same', () => {
  const { say } = world();
  assert.is(say(0, 'no one hears %d', 5n), 14);
});

test('a full ring loses lines and counts them; reading makes room, also around the end', () => {
  const { arena, say } = world(1);
  const log = new TraceLog(arena, 2048);
  let told = 0;
  const heard: string[] = [];
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 70; i++) say(0, 'line %d of a long log', BigInt(told++));
    heard.push(...log.read().map(l => l.text));
  }
  assert.is(heard.length + log.lost, told);
  assert.ok(log.lost > 0 && heard.length > 500);
  for (const line of heard) assert.match(line, /^line \d+ of a long log$/);
  assert.is(new Set(heard).size, heard.length);
});

test('lines longer than the kernel’s 1,023 characters are cut there', () => {
  const { arena, say } = world(1);
  const log = new TraceLog(arena);
  assert.is(say(0, '%2000d', 1n), 2000);
  assert.is(log.read()[0].text.length, 1023);
});

test('the async iterator gives lines as they come and ends with its signal', async () => {
  const { arena, say } = world(1);
  const log = new TraceLog(arena);
  const stop = new AbortController();
  const heard: string[] = [];
  setTimeout(() => say(0, 'late'), 20);
  say(0, 'early');
  for await (const line of log.lines({ signal: stop.signal, intervalMs: 5 })) {
    heard.push(line.text);
    if (heard.length === 2) stop.abort();
  }
  assert.equal(heard, ['early', 'late']);
});

test('random numbers repeat with the seed, differ by lane, and are spread evenly', () => {
  const draw = (lane: number, seed?: number): number[] => {
    const { cores } = world();
    const x = cores[lane].exports;
    if (seed !== undefined) x.prandom_seed(seed);
    return Array.from({ length: 4096 }, () => x.get_prandom_u32() >>> 0);
  };
  assert.equal(draw(0), draw(0));
  assert.equal(draw(1, 42), draw(0, 42));
  assert.not.equal(draw(0), draw(1));
  const counts = new Array<number>(16).fill(0);
  for (const n of draw(0, 9)) counts[n >>> 28]++;
  for (const c of counts) assert.ok(c > 180 && c < 340, `16 bins of 4096: ${counts}`);
});

test('clocks are the lane’s, TAI is set off by the host, jiffies count 4 ms', () => {
  const { arena, cores } = world();
  const x = cores[1].exports;
  x.clock_set(5_000_000_000n);
  assert.equal(
    [x.ktime_get_ns(), x.ktime_get_boot_ns(), x.ktime_get_coarse_ns()],
    [5_000_000_000n, 5_000_000_000n, 5_000_000_000n],
  );
  new LaneStateView(arena.dv, arena.header.lanesAt + LaneStateLayout.size).taiOffsetNs = 37n;
  assert.is(x.ktime_get_tai_ns(), 5_000_000_037n);
  const first = x.jiffies64();
  x.clock_set(5_004_000_000n);
  assert.is(x.jiffies64() - first, 1n);
  assert.is(x.get_smp_processor_id(), 1);
});
