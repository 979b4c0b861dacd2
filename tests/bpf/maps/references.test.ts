import { UpdateFlag } from '../../../host/bpf/maps/index.js';
import { MapHeaderView } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';
import { type Bench, bench, make, outcomeOf } from './support.js';

const test = suite('maps: programs, maps and targets as values');

/** A lookup as a program makes it. */
function programLookup(b: Bench, map: number, key: number): number {
  const at = b.arena.scratch.alloc(8);
  b.arena.dv.setUint32(at, key, true);
  const result = b.core.exports.map_lookup_elem(map, at) >>> 0;
  b.arena.scratch.free(at);
  return result;
}

const inner = { name: 'inner', type: 'array', keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 } as const;

test('prog_array takes loaded programs and gives their slots', () => {
  const b = bench();
  const m = make(b, 'prog_array', 4, 4, 3);
  m.set(1, { tailSlot: 17 });
  assert.is(m.get(1), 17);
  assert.is(m.get(0), undefined);
  assert.is(m.size, 1);
  const { dataAt, stride } = new MapHeaderView(b.arena.dv, m.addr);
  assert.is(b.arena.dv.getUint32(dataAt + stride, true), 17, 'where the engines look for it');
  assert.is(programLookup(b, m.addr, 1), 0, 'not to be had by lookup');
  assert.is(
    outcomeOf(() => m.set(3, 5)),
    'E2BIG',
  );
  assert.is(
    outcomeOf(() => m.set(0, 5, UpdateFlag.NOEXIST)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => m.set(0, {} as never)),
    'EINVAL',
  );
  assert.ok(m.delete(1));
  assert.not.ok(m.delete(1));
});

test('array_of_maps gives programs the inner map itself', () => {
  const b = bench();
  const outer = make(b, 'array_of_maps', 4, 4, 2, { inner });
  const a = make(b, 'array', 4, 8, 4);
  outer.set(0, a);
  assert.is(outer.get(0), a);
  assert.is(programLookup(b, outer.addr, 0), a.addr);
  assert.is(programLookup(b, outer.addr, 1), 0);
  assert.is(
    outcomeOf(() => a.destroy()),
    'EBUSY',
  );
  for (const wrong of [make(b, 'array', 4, 8, 5), make(b, 'array', 4, 16, 4), make(b, 'hash', 4, 8, 4)])
    assert.is(
      outcomeOf(() => outer.set(1, wrong)),
      'EINVAL',
    );
  assert.is(
    outcomeOf(() => outer.set(0, Uint8Array.of(1, 2, 3, 4) as never)),
    'EINVAL',
    'no raw addresses',
  );
  outer.delete(0);
  assert.is(
    outcomeOf(() => a.destroy()),
    'ok',
  );
});

test('hash_of_maps is a hash whose values are maps', () => {
  const b = bench();
  const outer = make(b, 'hash_of_maps', 4, 4, 2, { inner: { ...inner, type: 'hash' } });
  const [x, y] = [make(b, 'hash', 4, 8, 4), make(b, 'hash', 4, 8, 9)];
  outer.set(5, x);
  outer.set(6, y);
  assert.is(outer.get(6), y, 'hashes may differ in max_entries');
  assert.is(programLookup(b, outer.addr, 5), x.addr);
  assert.is(
    outcomeOf(() => outer.set(7, x)),
    'E2BIG',
  );
  outer.set(5, y);
  assert.is(
    outcomeOf(() => x.destroy()),
    'ok',
  );
  assert.is(
    outcomeOf(() => y.destroy()),
    'EBUSY',
  );
  outer.destroy();
  assert.is(
    outcomeOf(() => y.destroy()),
    'ok',
  );
});

test('maps of maps need one level and a template that can be inside', () => {
  const b = bench();
  const of = (i: object | undefined) =>
    outcomeOf(() => make(b, 'array_of_maps', 4, 4, 2, { inner: i as never }));
  assert.is(of(undefined), 'EINVAL');
  assert.is(of({ ...inner, type: 'array_of_maps', inner }), 'EINVAL');
  assert.is(of({ ...inner, type: 'prog_array', valueSize: 4 }), 'ENOTSUPP');
  assert.is(of({ ...inner, keySize: 8 }), 'EINVAL');
});

test('devmap and devmap_hash hold ports and programs', () => {
  const b = bench();
  for (const type of ['devmap', 'devmap_hash'] as const) {
    const m = make(b, type, 4, 8, 4);
    m.set(2, 7);
    m.set(3, { ifindex: 8, program: 33 });
    assert.equal(m.get(2), { ifindex: 7 });
    assert.equal(m.get(3), { ifindex: 8, program: 33 });
    assert.is(m.size, 2);
    const at = programLookup(b, m.addr, 3);
    assert.equal([b.arena.dv.getUint32(at, true), b.arena.dv.getUint32(at + 4, true)], [8, 33]);
    assert.is(programLookup(b, m.addr, 1), 0);
    assert.ok(m.delete(2));
    assert.is(m.get(2), undefined);
    assert.equal(
      [...m.keys()].filter(k => m.has(k)),
      [3],
    );
  }
  const small = make(b, 'devmap', 4, 4, 4);
  assert.is(
    outcomeOf(() => small.set(0, { ifindex: 1, program: 2 })),
    'EINVAL',
    'no room for a program',
  );
  assert.is(
    outcomeOf(() => small.set(4, 1)),
    'E2BIG',
  );
  assert.is(
    outcomeOf(() => small.set(0, 1, UpdateFlag.NOEXIST)),
    'EEXIST',
    'as the kernel, although empty',
  );
  assert.is(
    outcomeOf(() => make(b, 'devmap_hash', 4, 4, 4).set(0, 0)),
    'EINVAL',
  );
});

test('cpumap holds queue sizes of lanes, xskmap sockets of queues', () => {
  const b = bench();
  const cpus = make(b, 'cpumap', 4, 8, 8);
  cpus.set(1, { qsize: 192, program: 9 });
  assert.equal(cpus.get(1), { qsize: 192, program: 9 });
  assert.is(
    outcomeOf(() => cpus.set(2, 192)),
    'ENODEV',
    'there are two lanes',
  );
  assert.is(
    outcomeOf(() => cpus.set(0, 16385)),
    'EOVERFLOW',
  );
  assert.is(
    outcomeOf(() => cpus.set(8, 1)),
    'E2BIG',
  );
  const sockets = make(b, 'xskmap', 4, 4, 2);
  sockets.set(1, 0);
  assert.is(sockets.get(1), 0);
  assert.is(sockets.get(0), undefined);
  assert.is(
    outcomeOf(() => sockets.set(1, 5, UpdateFlag.NOEXIST)),
    'EEXIST',
  );
  assert.is(
    outcomeOf(() => sockets.set(0, 5, UpdateFlag.EXIST)),
    'ENOENT',
  );
});

test('a destroyed map gives its memory back and refuses use', () => {
  const b = bench();
  const before = b.arena.maps.usedBytes;
  const m = make(b, 'hash', 4, 8, 100);
  assert.ok(b.arena.maps.usedBytes > before);
  m.destroy();
  m.destroy();
  assert.is(b.arena.maps.usedBytes, before);
  assert.is(
    outcomeOf(() => m.get(1)),
    'EINVAL',
  );
});
