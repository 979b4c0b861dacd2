/** What a lane that died had in hand of a map is of use again once the lane was recovered. */
import { type BpfMap, createMap } from '../../../host/bpf/maps/index.js';
import { reclaimMaps } from '../../../host/bpf/maps/map.js';
import type { MapSpec, MapTypeName } from '../../../host/bpf/spec.js';
import { Engine } from '../../../host/engine/engine.js';
import { MapHeaderView } from '../../../host/layout/layout.gen.js';
import { ReplayNic } from '../../../host/nic/index.js';
import { handMade, udpFrame } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import { type Bench, bench, make, outcomeOf } from './support.js';

const test = suite('maps: what dead lanes had in hand');

const TABLES = ['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash'] as const;
const ENTRIES = 8;
/** Words of an element of a hash table: next, hash or next free. */
const NEXT = 0;
const HASH = 4;
const KEY = 16;

const bytes = (n: number): Uint8Array => Uint8Array.of(n, 0, 0, 0, 0, 0, 0, 0);
const valueFor = (type: MapTypeName, n: number): never =>
  (type.includes('percpu') ? [n, n, n].map(bytes) : bytes(n)) as never;

function table(b: Bench, type: (typeof TABLES)[number]) {
  const m = make(b, type, 4, 8, ENTRIES);
  const h = new MapHeaderView(b.arena.dv, m.addr);
  const word = (at: number): number => b.arena.u32[at >>> 2];
  const put = (at: number, v: number): void => {
    b.arena.u32[at >>> 2] = v;
  };
  const free = (): number => {
    let n = 0;
    for (let e = h.free; e; e = word(e + HASH)) n++;
    return n;
  };
  /** As takeFree, by a lane that goes no further. */
  const takeAndDie = (): number => {
    const e = h.free;
    h.free = word(e + HASH);
    h.count++;
    return e;
  };
  const key = (n: number): never => new Uint8Array(Uint32Array.of(n).buffer) as never;
  return { m, h, word, put, free, takeAndDie, key };
}

for (const type of TABLES)
  test(`${type}: elements between free list and bucket are free again, and the count is that of the keys`, () => {
    const b = bench();
    const { m, h, takeAndDie, free, key } = table(b, type);
    const total = ENTRIES + h.lanes;
    for (let i = 0; i < 3; i++) m.set(key(i), valueFor(type, i));
    for (let i = 0; i < 5; i++) takeAndDie();
    assert.is(reclaimMaps(b.arena, m.addr), 5);
    assert.equal([h.count, free()], [3, total - 3]);
    assert.is(reclaimMaps(b.arena, m.addr), 0);
    for (let i = 0; i < 3; i++) assert.equal(m.get(key(i)), valueFor(type, i));
    for (let i = 3; i < ENTRIES; i++) m.set(key(i), valueFor(type, i));
    assert.is(m.size, ENTRIES, 'room for as many as before');
  });

test('a replacement that was cut off leaves one element of the key, in a locked bucket too', () => {
  const b = bench();
  const { m, h, takeAndDie, put, word, key, free } = table(b, 'hash');
  m.set(key(7), bytes(1) as never);
  let bucket = h.aux0;
  while (word(bucket) & 1) bucket += 8;
  const old = word(bucket);
  const e = takeAndDie();
  put(e + HASH, word(old + HASH));
  put(e + KEY, 7);
  put(e + h.aux3, 2);
  put(e + h.aux3 + 4, 0);
  put(e + NEXT, old);
  put(bucket, e);
  // Lane 0 in the life before this one: a holder that is no more.
  put(bucket + 4, 1);
  b.arena.lane(0).lives = 1;
  assert.is(reclaimMaps(b.arena, m.addr), 1);
  assert.equal(m.get(key(7)), bytes(2));
  assert.is(m.size, 1);
  assert.ok(m.delete(key(7)));
  assert.is(m.get(key(7)), undefined, 'the old value does not come back');
  assert.is(free(), ENTRIES + h.lanes);
});

test('lpm_trie: elements and nodes in hand are free again, and every prefix is found', () => {
  const b = bench();
  const entries = 40;
  const m = make(b, 'lpm_trie', 8, 8, entries, { flags: 1 });
  const h = new MapHeaderView(b.arena.dv, m.addr);
  const key = (i: number): never =>
    Uint8Array.of(8 + (i % 4) * 8, 0, 0, 0, 10 + (i >> 2), (i * 37) & 255, (i * 91) & 255, i) as never;
  for (let i = 0; i < 20; i++) {
    m.set(key(i), bytes(i) as never);
  }
  const found = (): unknown[] => Array.from({ length: 20 }, (_, i) => m.get(key(i)));
  const before = found();
  const { count } = h;
  for (let i = 0; i < 3; i++) h.free = b.arena.u32[(h.free + 4) >>> 2];
  for (let i = 0; i < 5; i++) h.state1 = b.arena.u32[(h.state1 + 132) >>> 2];
  assert.is(reclaimMaps(b.arena, m.addr), 3);
  assert.equal(found(), before);
  assert.is(h.count, count);
  for (let i = 20; m.size < entries; i++) m.set(key(i), bytes(i) as never);
  assert.is(
    outcomeOf(() => m.set(Uint8Array.of(32, 0, 0, 0, 1, 2, 3, 4) as never, bytes(1) as never)),
    'ENOSPC',
  );
  for (const k of [...m.keys()]) m.delete(k as never);
  assert.is(m.size, 0);
});

test('a record that was reserved and never committed does not stop the reader', () => {
  const b = bench();
  const m = make(b, 'ringbuf', 0, 0, 4096);
  const { ringbuf_reserve, ringbuf_submit } = b.core.exports;
  const [first, dead, last] = [8n, 24n, 16n].map(n => ringbuf_reserve(m.addr, n, 0n));
  ringbuf_submit(first, 0n);
  ringbuf_submit(last, 0n);
  assert.is(m.poll().length, 1);
  assert.is(m.poll().length, 0, 'it waits for the second');
  assert.is(reclaimMaps(b.arena, 0), 1);
  assert.equal(
    m.poll().map(r => (r as Uint8Array).length),
    [16],
  );
  assert.ok(dead);
  assert.is(m.pendingBytes, 0);
});

test(
  'lanes that are killed in the middle of updates, again and again, leave maps of full size',
  async () => {
    const nic = new ReplayNic({
      packets: Array.from({ length: 64 }, (_, i) => udpFrame(i)),
      count: 1e12,
      sink: true,
    });
    const engine = await Engine.create({ lanes: 2, frames: 1024, mapBytes: 4 << 20, nics: [nic] });
    const spec = (type: MapTypeName, more: Partial<MapSpec> = {}): MapSpec => ({
      ...{ name: type, type, keySize: 4, valueSize: 200, maxEntries: 64, flags: 0 },
      ...more,
    });
    const { arena, core } = engine;
    const maps = [
      createMap(arena, core, spec('hash') as MapSpec & { type: 'hash' }),
      createMap(arena, core, spec('lru_hash') as MapSpec & { type: 'lru_hash' }),
      createMap(arena, core, spec('lpm_trie', { keySize: 8, flags: 1 }) as MapSpec & { type: 'lpm_trie' }),
    ] as const;
    const [hash, lru, trie] = maps.map(m => m.addr);
    const at = arena.scratch.alloc(4096, 64);
    // Each lane has its own key, which changes with every round: {u32 32, u32 number} for the trie, the number alone else.
    const program = handMade(
      `(local $k i32) (local $i i32) (local $n i32)
      (local.set $k (i32.add (i32.const ${at}) (i32.mul (global.get $lane) (i32.const 1024))))
      (i32.store (local.get $k) (i32.const 32))
      (loop
        (local.set $n (i32.add (i32.load offset=512 (local.get $k)) (i32.const 1)))
        (i32.store offset=512 (local.get $k) (local.get $n))
        (i32.store offset=4 (local.get $k) (i32.and (i32.mul (local.get $n) (i32.const 0x9e3779b1)) (i32.const 0x3f00ff3f)))
        ${(
          [
            ['hash', hash, 4],
            ['lru_hash', lru, 4],
            ['lpm_trie', trie, 0],
          ] as const
        )
          .map(
            ([type, addr, off]) => `
        (drop (call $${type}_update_elem (i32.const ${addr}) (i32.add (local.get $k) (i32.const ${off})) (i32.add (local.get $k) (i32.const 256)) (i64.const 0)))
        (if (i32.and (local.get $n) (i32.const 1)) (then
          (drop (call $${type}_delete_elem (i32.const ${addr}) (i32.add (local.get $k) (i32.const ${off}))))))`,
          )
          .join('')}
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $i) (i32.const 16))))
      i64.const 1`,
      {
        helpers: Object.fromEntries(
          ['hash', 'lru_hash', 'lpm_trie'].flatMap(t => [
            [`${t}_update_elem`, '(param i32 i32 i32 i64) (result i64)'],
            [`${t}_delete_elem`, '(param i32 i32) (result i64)'],
          ]),
        ),
      },
    );
    engine.attach(await engine.load(program), 1);
    await engine.start();
    for (let i = 0; i < 12; i++) {
      await new Promise(r => setTimeout(r, 10 + i));
      const before = engine.crashes.length;
      engine.killLane(i % 2);
      for (let k = 0; k < 5000 && engine.crashes.length === before; k++)
        await new Promise(r => setTimeout(r, 1));
      await engine.settled();
    }
    await engine.stop();
    assert.is(engine.crashes.length, 12);
    const fill = (
      m: BpfMap & { set(k: never, v: never): unknown; clear(): void; size: number },
      n: number,
    ) => {
      m.clear();
      assert.is(m.size, 0, m.type);
      for (let i = 0; i < n; i++) {
        const k = m.type === 'lpm_trie' ? [32, 0, 0, 0, 1, i, i, i] : [i, 0, 0, 1];
        m.set(Uint8Array.from(k) as never, new Uint8Array(200) as never);
      }
      assert.is(m.size, n, m.type);
    };
    for (const m of maps) fill(m as never, 64);
    // One more than entries for each lane and the host: none of them is missing.
    for (const m of maps.slice(0, 2)) assert.is(m.reclaim(), 0, m.type);
  },
  { timeoutMs: 60_000 },
);
