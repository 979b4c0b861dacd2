import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert, suite } from '../../support/suite.js';
import { type Bench, bench, make, outcomeOf, random } from './support.js';

const test = suite('maps: ringbuf and perf_event_array');

/** Puts a record out as a program would. */
function output(b: Bench, addr: number, data: Uint8Array, flags = 0n): bigint {
  const at = b.arena.scratch.alloc(Math.max(8, data.length));
  b.arena.u8.set(data, at);
  const result = b.core.exports.ringbuf_output(addr, at, BigInt(data.length), flags);
  b.arena.scratch.free(at);
  return result;
}

test('records come out as they went in, also across the end of the ring', () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  const r = random(9);
  const expected: Uint8Array[] = [];
  for (let i = 0; i < 3000; i++) {
    const data = r.bytes(r.below(900));
    if (output(b, m.addr, data) === 0n) expected.push(data);
    if (r.below(3) === 0) assert.equal(m.poll(), expected.splice(0));
  }
  assert.equal(m.poll(), expected);
  assert.ok(m.dropped > 0, 'the ring was full at times');
  assert.is(m.pendingBytes, 0);
});

test('capacity is the kernel’s to the byte', () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  const { ringbuf_reserve, ringbuf_discard, ringbuf_query } = b.core.exports;
  assert.is(ringbuf_reserve(m.addr, 4096n - 8n, 0n), 0, 'a record as large as the ring never fits');
  const a = ringbuf_reserve(m.addr, 4096n - 16n, 0n);
  assert.ok(a);
  assert.is(ringbuf_query(m.addr, 0n), 4088n);
  assert.is(ringbuf_reserve(m.addr, 1n, 0n), 0);
  assert.is(m.poll().length, 0, 'a busy record is not read');
  ringbuf_discard(a, 0n);
  assert.is(m.poll().length, 0, 'a discarded record is skipped');
  assert.is(ringbuf_query(m.addr, 0n), 0n);
  assert.is(ringbuf_query(m.addr, 1n), 4096n);
  assert.is(ringbuf_query(m.addr, 2n), 4088n);
  assert.is(ringbuf_query(m.addr, 3n), 4088n);
  assert.is(ringbuf_reserve(m.addr, 8n, 1n), 0, 'reserve takes no flags');
  assert.is(output(b, m.addr, new Uint8Array(8), 4n), -22n);
  assert.is(output(b, m.addr, new Uint8Array(8192)), -11n);
});

test('a record in work holds back the ones behind it', () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  const first = b.core.exports.ringbuf_reserve(m.addr, 4n, 0n) >>> 0;
  output(b, m.addr, Uint8Array.of(2));
  assert.is(m.poll().length, 0);
  b.arena.u8.set([1, 1, 1, 1], first);
  b.core.exports.ringbuf_submit(first, 0n);
  assert.equal(m.poll(), [Uint8Array.of(1, 1, 1, 1), Uint8Array.of(2)]);
});

test('the iterator waits, wakes, and ends by break, stop and signal', async () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  const seen: number[] = [];
  const feeding = (async () => {
    for (let i = 0; i < 5; i++) {
      await sleep(i * 8);
      output(b, m.addr, Uint8Array.of(i), i === 3 ? 1n : 0n);
    }
  })();
  for await (const record of m) {
    seen.push((record as Uint8Array)[0]);
    if (seen.length === 5) break;
  }
  await feeding;
  assert.equal(seen, [0, 1, 2, 3, 4]);

  const stopped = (async () => {
    for await (const _ of m.records({ pollMs: 1000 })) assert.unreachable();
  })();
  await sleep(30);
  const t = performance.now();
  m.stop();
  await stopped;
  assert.ok(performance.now() - t < 500, 'stop does not wait for the poll interval');

  const gone = new AbortController();
  const aborted = (async () => {
    for await (const _ of m.records({ signal: gone.signal })) assert.unreachable();
  })();
  await sleep(5);
  gone.abort();
  await aborted;
});

test('a waiting reader does not hold the process, unless asked to', () => {
  const script = new URL('./idle_reader.ts', import.meta.url).pathname;
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', script, ...args], { encoding: 'utf8', timeout: 15_000 });
  const idle = run();
  assert.equal([idle.status, idle.stdout], [0, '']);
  const held = run('ref');
  assert.equal([held.status, held.stdout], [0, 'held\n']);
});

test('one reader at a time', async () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  output(b, m.addr, Uint8Array.of(1));
  const one = m.records();
  await one.next();
  let second = 'ok';
  try {
    await m.records().next();
  } catch (e) {
    second = (e as { code: string }).code;
  }
  assert.is(second, 'ERR_MAP_EBUSY');
  await one.return(undefined);
  output(b, m.addr, Uint8Array.of(2));
  assert.equal((await m.records().next()).value, Uint8Array.of(2));
});

test('sizes that the kernel refuses are refused', () => {
  for (const size of [0, 1024, 4095, 12288])
    assert.is(
      outcomeOf(() => make(bench(), 'ringbuf', 0, 0, size)),
      'EINVAL',
      `${size}`,
    );
  assert.is(
    outcomeOf(() => make(bench(), 'ringbuf', 4, 0, 4096)),
    'EINVAL',
  );
});

test('perf_event_array: one ring per lane, lost samples are counted', () => {
  const b = bench();
  const m = make(b, 'perf_event_array', 4, 4, 0);
  const at = b.arena.scratch.alloc(64);
  b.arena.u8.set([1, 2, 3, 4, 5, 6], at);
  const out = b.core.exports.perf_event_array_output;
  assert.is(out(m.addr, 0xffffffffn, at, 4n, at + 4, 2), 0n);
  assert.equal(m.poll(), [{ lane: 2, data: Uint8Array.of(1, 2, 3, 4, 5, 6) }]);
  assert.is(out(m.addr, 0n, at, 4n, 0, 0), -95n, "another lane's ring");
  assert.is(out(m.addr, 3n, at, 4n, 0, 0), -7n, 'past the end');
  assert.is(out(m.addr, 1n << 60n, at, 4n, 0, 0), -22n);
  let results = new Set<bigint>();
  for (let i = 0; i < 70_000 / 40; i++) results = results.add(out(m.addr, 0xffffffffn, at, 32n, 0, 0));
  assert.equal([...results], [0n, -28n]);
  assert.ok(m.lost > 0);
  assert.is(m.lost, m.lostOf(2));
});
