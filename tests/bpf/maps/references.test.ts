import { HostPrograms, type Placed } from '../../../host/bpf/collection.js';
import { compileProgram } from '../../../host/bpf/jit/compile.js';
import { type BpfMap, mapBinding, UpdateFlag } from '../../../host/bpf/maps/index.js';
import type { ProgramType } from '../../../host/bpf/spec.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { MapHeaderView } from '../../../host/layout/layout.gen.js';
import { call, exit, lddwMap, mov, movImm, spec } from '../../support/insns.js';
import { handMade } from '../../support/programs.js';
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

/** A program loaded in the host's table; the section says where it means to run. */
function load(b: Bench, more: { name?: string; type?: ProgramType; section?: string } = {}): Placed {
  hosts.set(b, hosts.get(b) ?? new HostPrograms(b.arena, b.core));
  return hosts.get(b)!.load(handMade('i64.const 2', more));
}
const hosts = new Map<Bench, HostPrograms>();
const unload = (b: Bench, p: Placed): void => hosts.get(b)!.unload(p);

test('prog_array takes loaded programs, nothing else, and gives them back', () => {
  const b = bench();
  const m = make(b, 'prog_array', 4, 4, 3);
  const program = load(b);
  m.set(1, program);
  assert.is(m.get(1), program);
  assert.is(m.get(0), undefined);
  assert.is(m.size, 1);
  const { dataAt, stride } = new MapHeaderView(b.arena.dv, m.addr);
  assert.is(b.arena.dv.getUint32(dataAt + stride, true), program.tail, 'where the engines look for it');
  assert.is(programLookup(b, m.addr, 1), 0, 'not to be had by lookup');
  assert.is(
    outcomeOf(() => m.set(3, program)),
    'E2BIG',
  );
  assert.is(
    outcomeOf(() => m.set(0, program, UpdateFlag.NOEXIST)),
    'EINVAL',
  );
  const slot = new Uint8Array(Uint32Array.of(program.tail).buffer);
  for (const made of [program.tail, slot, { ...program }, {}, null, undefined])
    assert.is(
      outcomeOf(() => m.set(0, made as never)),
      'EINVAL',
    );
  assert.is(m.size, 1);
  assert.ok(m.delete(1));
  assert.not.ok(m.delete(1));
  unload(b, program);
});

test('the end of a map that nobody may write lets its programs go', () => {
  const b = bench();
  for (const [type, section] of [
    ['prog_array', 'xdp'],
    ['devmap', 'xdp/devmap'],
    ['devmap_hash', 'xdp/devmap'],
    ['cpumap', 'xdp/cpumap'],
  ] as const) {
    const m = make(b, type, 4, type === 'prog_array' ? 4 : 8, 4);
    const program = load(b, { section });
    const value = type === 'prog_array' ? program : { ifindex: 1, qsize: 1, program };
    m.set(1, value as never);
    m.freeze();
    for (const write of [() => m.delete(1), () => m.set(1, value as never), () => m.clear()])
      assert.is(outcomeOf(write), 'EPERM', type);
    assert.throws(() => unload(b, program), /is in use at map/);
    m.destroy();
    unload(b, program);
  }
});

test('entries of devmap and cpumap are programs of their section', () => {
  const b = bench();
  const sections = ['xdp/devmap', 'xdp.frags/cpumap', 'xdp', 'tc/devmap'] as const;
  for (const [type, section] of [
    ['devmap', 'xdp/devmap'],
    ['devmap_hash', 'xdp/devmap'],
    ['cpumap', 'xdp.frags/cpumap'],
  ] as const) {
    const m = make(b, type, 4, 8, 2);
    const of = (s: string): Placed => load(b, { section: s, type: s.startsWith('tc') ? 'tc' : 'xdp' });
    const right = of(section);
    const wrong = sections.filter(s => s !== section).map(of);
    const value = (program: unknown) => ({ ifindex: 1, qsize: 1, program }) as never;
    m.set(0, value(right));
    assert.equal((m.get(0) as { program: Placed }).program, right, type);
    for (const program of [...wrong, right.run, { run: right.run }])
      assert.is(
        outcomeOf(() => m.set(0, value(program))),
        'EINVAL',
      );
    const bytes = new Uint8Array(8).fill(1);
    assert.is(
      outcomeOf(() => m.set(0, bytes)),
      'EINVAL',
      'no slots in bytes',
    );
    m.set(0, bytes.fill(0, 1));
    unload(b, right);
    assert.is(
      outcomeOf(() => m.set(0, value(right))),
      'EINVAL',
      'unloaded',
    );
  }
});

test('what uses a prog_array decides the kind of its entries, and the other way round', () => {
  const b = bench();
  const user = (type: ProgramType, m: BpfMap, more = {}) =>
    verify(
      spec([mov(2, 1), ...lddwMap(2, 1), movImm(3, 0), call(12), movImm(0, 0), exit()], type, {
        name: `user ${type}`,
        maps: { 1: m.spec },
        ...more,
      }),
    );
  const [xdp, tc] = [load(b, { name: 'x' }), load(b, { type: 'tc', name: 't' })];
  const used = make(b, 'prog_array', 4, 4, 2);
  compileProgram(user('tc', used), mapBinding({ 1: used }));
  assert.is(
    outcomeOf(() => used.set(0, xdp)),
    'EINVAL',
  );
  used.set(0, tc);
  assert.is(
    outcomeOf(() => compileProgram(user('xdp', used), mapBinding({ 1: used }))),
    'EINVAL',
  );
  const filled = make(b, 'prog_array', 4, 4, 2);
  filled.set(0, xdp);
  assert.is(
    outcomeOf(() => compileProgram(user('tc', filled), mapBinding({ 1: filled }))),
    'EINVAL',
  );
  compileProgram(user('xdp', filled), mapBinding({ 1: filled }));
  for (const more of [{ section: 'xdp/devmap' }, { flags: { frags: true } }])
    assert.is(
      outcomeOf(() => compileProgram(user('xdp', filled, more), mapBinding({ 1: filled }))),
      'EINVAL',
      'as the kernel: bpf_prog_map_compatible',
    );
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
    const program = load(b, { section: 'xdp/devmap' });
    m.set(3, { ifindex: 8, program });
    assert.equal(m.get(2), { ifindex: 7 });
    assert.equal(m.get(3), { ifindex: 8, program });
    assert.is(m.size, 2);
    const at = programLookup(b, m.addr, 3);
    assert.equal([b.arena.dv.getUint32(at, true), b.arena.dv.getUint32(at + 4, true)], [8, program.run]);
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
    outcomeOf(() => small.set(0, { ifindex: 1, program: load(b, { section: 'xdp/devmap' }) })),
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
  const program = load(b, { section: 'xdp/cpumap' });
  cpus.set(1, { qsize: 192, program });
  assert.equal(cpus.get(1), { qsize: 192, program });
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
