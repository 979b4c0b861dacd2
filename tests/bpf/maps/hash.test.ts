import { UpdateFlag } from '../../../host/bpf/maps/index.js';
import { MapHeaderView } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';
import { bench, hex, make, outcomeOf, random } from './support.js';

const test = suite('maps: hash');

test('what was set is got, and only that', () => {
  const m = make(bench(), 'hash', 4, 8, 3);
  const v = (n: number) => Uint8Array.of(n, 0, 0, 0, 0, 0, 0, n);
  m.set(1, v(1)).set(2, v(2)).set(3, v(3));
  assert.equal(m.get(2), v(2));
  assert.is(m.get(4), undefined);
  assert.is(m.size, 3);
  assert.is(
    outcomeOf(() => m.set(4, v(4))),
    'E2BIG',
  );
  assert.is(
    outcomeOf(() => m.set(3, v(5))),
    'ok',
    'a full map still updates',
  );
  assert.ok(m.delete(1));
  assert.not.ok(m.delete(1));
  m.set(4, v(4));
  assert.equal(m.take(4), v(4));
  assert.is(m.take(4), undefined);
  assert.is(m.size, 2);
});

test('update flags do what the kernel does', () => {
  const m = make(bench(), 'hash', 4, 4, 2);
  assert.is(
    outcomeOf(() => m.set(1, 1, UpdateFlag.EXIST)),
    'ENOENT',
  );
  assert.is(
    outcomeOf(() => m.set(1, 1, UpdateFlag.NOEXIST)),
    'ok',
  );
  assert.is(
    outcomeOf(() => m.set(1, 1, UpdateFlag.NOEXIST)),
    'EEXIST',
  );
  assert.is(
    outcomeOf(() => m.set(1, 1, UpdateFlag.EXIST)),
    'ok',
  );
  assert.is(
    outcomeOf(() => m.set(1, 1, 3)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => m.set(1, 1, UpdateFlag.LOCK)),
    'EINVAL',
    'no lock in the value',
  );
});

for (const type of ['hash', 'percpu_hash', 'devmap_hash', 'lru_hash', 'lru_percpu_hash'] as const)
  test(`${type}: without a free element an insertion gives ENOMEM and changes nothing`, () => {
    const b = bench();
    const m = make(b, type, 4, 8, 4);
    const h = new MapHeaderView(b.arena.dv, m.addr);
    const value = (n: number): never =>
      (type.includes('percpu') ? [n, n, n] : type === 'devmap_hash' ? { ifindex: n } : n) as never;
    const key = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
    m.set(key(1) as never, value(1));
    const { free } = h;
    const page = b.arena.u8.slice(0, 64);
    h.free = 0;
    const known = outcomeOf(() => m.set(key(1) as never, value(2)));
    // An LRU map throws out what it has instead.
    const lru = type.startsWith('lru');
    assert.is(known, type === 'hash' || type === 'lru_hash' ? 'ENOMEM' : 'ok');
    assert.is(
      outcomeOf(() => m.set(key(2) as never, value(2))),
      lru ? 'ok' : 'ENOMEM',
    );
    assert.is(h.count, 1);
    assert.equal(b.arena.u8.slice(0, 64), page, 'nothing was written through address 0');
    h.free = free;
    assert.is(
      outcomeOf(() => m.set(key(3) as never, value(3))),
      'ok',
      'the bucket is not left locked',
    );
    assert.is(h.count, 2);
  });

for (const keySize of [1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 16, 20, 36, 40, 67])
  test(`${keySize}-byte keys: random operations agree with a JavaScript Map`, () => {
    const max = 100;
    const m = make(bench(), 'hash', keySize, 24, max);
    const model = new Map<string, Uint8Array>();
    const r = random(keySize);
    const pool = Array.from({ length: 160 }, () => r.bytes(keySize));
    for (let i = 0; i < 6000; i++) {
      const key = pool[r.below(pool.length)];
      const k = hex(key);
      switch (r.below(5)) {
        case 0:
        case 1: {
          const flags = r.below(3);
          const value = r.bytes(24);
          const there = model.has(k);
          const expected =
            there && flags === 1
              ? 'EEXIST'
              : !there && flags === 2
                ? 'ENOENT'
                : !there && model.size === max
                  ? 'E2BIG'
                  : 'ok';
          assert.is(
            outcomeOf(() => m.set(key, value, flags)),
            expected,
          );
          if (expected === 'ok') model.set(k, value);
          break;
        }
        case 2:
          assert.is(m.delete(key), model.delete(k));
          break;
        default:
          assert.equal(m.get(key), model.get(k));
      }
      assert.is(m.size, model.size);
    }
    const seen = new Map([...m.rawEntries()].map(([k, v]) => [hex(k), hex(v)]));
    assert.equal(seen, new Map([...model].map(([k, v]) => [k, hex(v)])));
    m.clear();
    assert.is(m.size, 0);
    assert.is([...m.rawKeys()].length, 0);
  });

test('percpu_hash keeps one value per lane and adds them up', () => {
  const b = bench();
  const m = make(b, 'percpu_hash', 4, 8, 4);
  assert.is(m.copies, 3);
  m.set(7, [5, 6, 7] as never);
  assert.equal(m.getLane(Uint8Array.of(7, 0, 0, 0), 1), Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
  assert.is(m.sum(Uint8Array.of(7, 0, 0, 0)), 18n);
  assert.is(
    outcomeOf(() => m.set(7, [1] as never)),
    'EINVAL',
  );
  assert.ok(m.delete(7));
  assert.is(m.get(7), undefined);
});
