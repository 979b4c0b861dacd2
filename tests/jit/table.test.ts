/** Lookups that the JIT writes into the program: the same answers as the core's, for every table, key size and chain. */
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { canInline } from '../../host/bpf/jit/emit_table.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { type BpfMap, createMap, mapBinding } from '../../host/bpf/maps/index.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { testPacket } from '../../host/engine/test_run.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: lookups in hash tables');

const LANES = 2;
const arena = Arena.create({ frames: 64, lanes: LANES, mapBytes: 8 << 20 });
/** The lane that the programs run in. */
const LANE = 1;
const core = instantiateCore(arena, LANE);

/** A map as this test uses it: bytes in, one value or one per lane. */
interface Table extends BpfMap {
  set(key: Uint8Array, value: bigint | bigint[]): void;
  delete(key: Uint8Array): boolean;
  keys(): Iterable<unknown>;
}

/** A program that looks up the key in `wanted` and returns the value, 0 when there is none. */
function rig(type: string, keySize: number, max: number) {
  const program = assembleSpec(`
.map wanted array key=4 value=${keySize} max=1
.map table ${type} key=${keySize} value=8 max=${max}
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = wanted ll
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r2 = r0
    r1 = table ll
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r0 = *(u64 *)(r0 + 0)
    exit
none:
    r0 = 0
    exit
`);
  const maps = Object.fromEntries(
    Object.entries(program.maps).map(([key, m]) => [key, createMap(arena, core, m) as BpfMap]),
  );
  const named = (name: string): Table => Object.values(maps).find(m => m.name === name) as Table;
  const [wanted, table] = [named('wanted'), named('table')];
  const compiled = compileProgram(verify(program), mapBinding(maps));
  const { run } = instantiateProgram(compiled, core, arena, 1).exports as unknown as ProgramExports;
  const over = (key: Uint8Array, go: (ctx: number) => bigint): bigint => {
    arena.u8.set(key, wanted.dataAt!);
    const packet = testPacket(arena, program.type, new Uint8Array(64));
    packet.reset();
    try {
      return go(packet.ctx);
    } finally {
      packet.free();
    }
  };
  return {
    table,
    perCpu: type.includes('percpu'),
    bytes: compiled.bytes.length,
    jit: (key: Uint8Array) => over(key, run),
    interp: (key: Uint8Array) =>
      over(key, ctx => interpret(program, { arena, core, ctx, maps: mapBinding(maps) }).r0),
    close: () => {
      wanted.destroy();
      table.destroy();
    },
  };
}

/** Keys that differ in their last bytes only, or in their first. */
function keyOf(i: number, size: number, first: boolean): Uint8Array {
  const key = new Uint8Array(size).fill(0x5a);
  new DataView(key.buffer).setUint32(first ? 0 : size - 4, i);
  return key;
}

const stored = (i: number, lane: number): bigint => BigInt(i + 1) * 1000n + BigInt(lane);

for (const type of ['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash'])
  for (const size of [4, 8, 12, 16, 20, 24, 40, 64, 6, 13, 68])
    test(`${type}, ${size}-byte keys: what is there is found, what is not is not`, () => {
      const r = rig(type, size, 256);
      try {
        assert.is(r.table.table !== undefined && canInline(r.table.table), size % 4 === 0 && size <= 64);
        for (const first of [true, false]) {
          const keys = Array.from({ length: 100 }, (_, i) => keyOf(i, size, first));
          keys.forEach((key, i) => {
            r.table.set(
              key,
              r.perCpu ? Array.from({ length: LANES + 1 }, (_, l) => stored(i, l)) : stored(i, LANE),
            );
          });
          for (let i = 0; i < 100; i += 3) r.table.delete(keys[i]);
          keys.forEach((key, i) => {
            const expected = i % 3 === 0 ? 0n : stored(i, LANE);
            assert.is(r.jit(key), expected, `key ${i}`);
            assert.is(r.interp(key), expected, `key ${i}, interpreter`);
          });
          assert.is(r.jit(keyOf(1000, size, first)), 0n);
        }
      } finally {
        r.close();
      }
    });

/** hashKey of assembly/bpf/maps/hash_key.ts, in the plainest words. */
function bucketOf(seeds: BigUint64Array, mask: number, key: Uint8Array): number {
  const words = new Uint32Array(key.buffer);
  let h = seeds[0];
  for (let i = 0; i < words.length; i += 2)
    h +=
      i + 1 < words.length
        ? BigInt.asUintN(64, seeds[i + 1] + BigInt(words[i])) *
          BigInt.asUintN(64, seeds[i + 2] + BigInt(words[i + 1]))
        : seeds[i + 1] * BigInt(words[i]);
  return Number(BigInt.asUintN(64, h) >> 32n) & mask;
}

for (const size of [4, 8, 12, 20, 40])
  test(`${size}-byte keys in one bucket: a chain longer than the program follows is the core's`, () => {
    const r = rig('hash', size, 16);
    try {
      const { seeds, mask } = r.table.table!;
      const crowd: Uint8Array[] = [];
      for (let i = 0; crowd.length < 13; i++) {
        const key = keyOf(i, size, false);
        if (bucketOf(seeds, mask, key) === 7) crowd.push(key);
      }
      const absent = crowd.pop()!;
      crowd.forEach((key, i) => {
        r.table.set(key, stored(i, 0));
      });
      crowd.forEach((key, i) => {
        assert.is(r.jit(key), stored(i, 0));
      });
      assert.is(r.jit(absent), 0n);
      // Proof that they share a bucket: all others are empty.
      const heads = Array.from(
        { length: mask + 1 },
        (_, b) => arena.u32[(r.table.table!.bucketsAt >> 2) + 2 * b],
      );
      assert.equal(
        heads.flatMap((head, b) => (head & 1 ? [] : [b])),
        [7],
      );
    } finally {
      r.close();
    }
  });

for (const type of ['lru_hash', 'lru_percpu_hash'])
  test(`${type}: a lookup by a program is a use, so others are evicted`, () => {
    const r = rig(type, 8, 8);
    const value = r.perCpu ? Array.from({ length: LANES + 1 }, () => 5n) : 5n;
    try {
      for (let i = 0; i < 8; i++) r.table.set(keyOf(i, 8, true), value);
      assert.is(r.jit(keyOf(3, 8, true)), 5n);
      for (let i = 8; i < 15; i++) r.table.set(keyOf(i, 8, true), value);
      assert.is(r.jit(keyOf(3, 8, true)), 5n);
      for (const i of [0, 1, 2, 4, 5, 6, 7]) assert.is(r.jit(keyOf(i, 8, true)), 0n, `key ${i}`);
    } finally {
      r.close();
    }
  });
