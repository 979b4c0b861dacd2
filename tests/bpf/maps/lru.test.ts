import { MapHeaderView } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf, random } from './support.js';

const test = suite('maps: lru_hash');

const key = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);

for (const type of ['lru_hash', 'lru_percpu_hash'] as const) {
  test(`${type}: a full map makes room and counts what it threw out`, () => {
    const b = bench();
    const m = make(b, type, 4, 8, 100);
    const value = (n: number) => (type === 'lru_hash' ? n : [n, n, n]) as never;
    for (let i = 0; i < 1000; i++) {
      m.set(key(i), value(i));
      assert.ok(m.has(key(i)), 'what was just inserted is there');
    }
    assert.is(m.size, 100);
    assert.is(m.evictions, 900);
    assert.is([...m.rawKeys()].length, 100);
  });

  test(`${type}: keys in use stay, keys not used go`, () => {
    const b = bench();
    const m = make(b, type, 4, 8, 100);
    const value = (n: number) => (type === 'lru_hash' ? n : [n, n, n]) as never;
    const scratch = b.arena.scratch.alloc(8);
    for (let i = 0; i < 100; i++) m.set(key(i), value(i));
    const use = (k: number) => {
      b.arena.dv.setUint32(scratch, k, true);
      b.core.exports.map_lookup_elem(m.addr, scratch);
    };
    for (let k = 0; k < 10; k++) use(k);
    for (let i = 100; i < 2000; i++) {
      // Programs look up keys 0 … 9 all the time; the host's get() is no use.
      use(i % 10);
      m.get(key(50));
      m.set(key(i), value(i));
    }
    for (let i = 0; i < 10; i++) assert.ok(m.has(key(i)), `hot key ${i}`);
    assert.not.ok(m.has(key(50)));
  });

  test(`${type}: room is made in a bounded number of steps when every key was just used`, () => {
    const b = bench();
    const n = 5000;
    const m = make(b, type, 4, 8, n);
    const value = (n: number) => (type === 'lru_hash' ? n : [n, n, n]) as never;
    const scratch = b.arena.scratch.alloc(8);
    for (let i = 0; i < n; i++) m.set(key(i), value(i));
    for (let k = 0; k < n; k++) {
      b.arena.dv.setUint32(scratch, k, true);
      assert.ok(b.core.exports.map_lookup_elem(m.addr, scratch));
    }
    const h = new MapHeaderView(b.arena.dv, m.addr);
    const from = h.state1;
    m.set(key(n), value(n));
    // 128 second chances, one victim, and the elements that each lane and the host may hold spare.
    assert.ok(h.state1 - from <= 128 + 1 + 3, `${h.state1 - from} steps of the hand`);
    assert.is(m.evictions, 1);
    assert.is(m.size, n);
  });

  test(`${type}: deletions and replacements keep count`, () => {
    const b = bench();
    const m = make(b, type, 4, 8, 50);
    const value = (n: number) => (type === 'lru_hash' ? n : [n, n, n]) as never;
    const r = random(1);
    const there = new Set<number>();
    for (let i = 0; i < 20_000; i++) {
      const k = r.below(200);
      if (r.below(3) === 0) {
        const was = m.delete(key(k));
        if (was) assert.ok(there.has(k), 'never a key that was not inserted');
        there.delete(k);
      } else {
        assert.is(
          outcomeOf(() => m.set(key(k), value(k))),
          'ok',
        );
        there.add(k);
      }
      assert.ok(m.size <= 50);
    }
    assert.is([...m.rawKeys()].length, m.size);
    for (const k of [...m.rawKeys()]) assert.ok(m.delete(k));
    assert.is(m.size, 0);
  });
}

test('BPF_F_LOCK and unknown flags are refused', () => {
  const m = make(bench(), 'lru_hash', 4, 8, 50);
  assert.is(
    outcomeOf(() => m.set(key(1), 1, 4)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => make(bench(), 'lru_hash', 4, 8, 50, { flags: 1 })),
    'ENOTSUPP',
  );
});
