import wabt from 'wabt';
import { assert, suite } from '../../support/suite.js';
import { type Bench, bench, make } from './support.js';

const test = suite('maps: for_each_map_elem');
const CALLBACK = 500;

/** A callback that writes each key (u32) at ctx + 8 + 4 · n, adds the values at ctx, and stops after `limit` calls. */
const TEXT = `(module
  (import "env" "memory" (memory 1 65536 shared))
  (global $n (mut i32) (i32.const 0))
  (global $limit (export "limit") (mut i32) (i32.const 1000000))
  (func (export "reset") (global.set $n (i32.const 0)))
  (func (export "callback") (param i64 i64 i64 i64 i64) (result i64)
    (local $ctx i32)
    (local.set $ctx (i32.wrap_i64 (local.get 3)))
    (i32.store offset=8 (i32.add (local.get $ctx) (i32.shl (global.get $n) (i32.const 2)))
      (i32.load (i32.wrap_i64 (local.get 1))))
    (i64.store (local.get $ctx) (i64.add (i64.load (local.get $ctx)) (i64.load (i32.wrap_i64 (local.get 2)))))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i64.extend_i32_u (i32.ge_u (global.get $n) (global.get $limit)))))`;

async function callback(b: Bench) {
  const parsed = (await wabt()).parseWat('callback.wat', TEXT, { threads: true, mutable_globals: true });
  const bytes = parsed.toBinary({}).buffer as Uint8Array<ArrayBuffer>;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: { memory: b.arena.memory },
  });
  const { table } = b.core;
  if (table.length <= CALLBACK) table.grow(CALLBACK + 1 - table.length);
  table.set(CALLBACK, exports.callback);
  const ctx = b.arena.scratch.alloc(4096);
  return {
    run(map: number, flags = 0n, limit = 1_000_000) {
      (exports.reset as () => void)();
      (exports.limit as WebAssembly.Global).value = limit;
      b.arena.u8.fill(0, ctx, ctx + 4096);
      const calls = b.core.exports.for_each_map_elem(map, CALLBACK, BigInt(ctx), flags);
      const keys = Array.from({ length: Math.max(0, calls) }, (_, i) =>
        b.arena.dv.getUint32(ctx + 8 + i * 4, true),
      );
      return { calls, keys, sum: b.arena.dv.getBigUint64(ctx, true) };
    },
  };
}

const value = (n: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer);

test('arrays are shown index by index', async () => {
  const b = bench();
  const each = await callback(b);
  const m = make(b, 'array', 4, 8, 5);
  for (let i = 0; i < 5; i++) m.set(i, value(i * 10));
  assert.equal(each.run(m.addr), { calls: 5, keys: [0, 1, 2, 3, 4], sum: 100n });
  assert.equal(each.run(m.addr, 0n, 2), { calls: 2, keys: [0, 1], sum: 10n }, 'other than 0 stops');
  assert.is(each.run(m.addr, 1n).calls, -22);
});

for (const type of ['hash', 'lru_hash', 'percpu_hash', 'lru_percpu_hash', 'percpu_array'] as const)
  test(`${type}: every element of this lane is shown once`, async () => {
    const b = bench();
    const each = await callback(b);
    const m = make(b, type, 4, 8, 40);
    const perCpu = type.includes('percpu');
    for (let i = 0; i < 40; i++)
      m.set(i as never, (perCpu ? [value(1000), value(1000), value(i)] : value(i)) as never);
    const seen = each.run(m.addr);
    assert.is(seen.calls, 40);
    assert.equal(
      seen.keys.sort((x, y) => x - y),
      [...Array(40).keys()],
    );
    assert.is(seen.sum, 780n, 'the host instance sees its own copies');
  });

test('other types have no iteration', async () => {
  const b = bench();
  const each = await callback(b);
  assert.is(each.run(make(b, 'lpm_trie', 8, 8, 4, { flags: 1 }).addr).calls, -22);
  assert.is(each.run(make(b, 'queue', 0, 8, 4).addr).calls, -22);
});
