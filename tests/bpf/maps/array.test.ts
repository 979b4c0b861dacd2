import { UpdateFlag } from '../../../host/bpf/maps/index.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf } from './support.js';

const test = suite('maps: array');

test('every index is there and starts as zeros', () => {
  const m = make(bench(), 'array', 4, 5, 3);
  assert.equal([...m.keys()], [0, 1, 2]);
  assert.equal(m.get(2), new Uint8Array(5));
  assert.is(m.get(3), undefined);
  m.set(1, Uint8Array.of(1, 2, 3, 4, 5));
  assert.equal([...m.values()], [new Uint8Array(5), Uint8Array.of(1, 2, 3, 4, 5), new Uint8Array(5)]);
});

test('flags, range and deletion fail as in the kernel', () => {
  const m = make(bench(), 'array', 4, 4, 2);
  assert.is(
    outcomeOf(() => m.set(2, 0)),
    'E2BIG',
  );
  assert.is(
    outcomeOf(() => m.set(0, 0, UpdateFlag.NOEXIST)),
    'EEXIST',
  );
  assert.is(
    outcomeOf(() => m.set(0, 0, UpdateFlag.EXIST)),
    'ok',
  );
  assert.is(
    outcomeOf(() => m.set(0, 0, 8)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => m.set(0, 0, UpdateFlag.LOCK)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => m.delete(0)),
    'EINVAL',
  );
});

test('a frozen map with contents is read, not written', () => {
  const m = make(bench(), 'array', 4, 4, 1, { contents: Uint8Array.of(1, 2, 3, 4), frozen: true });
  assert.equal(m.get(0), Uint8Array.of(1, 2, 3, 4));
  assert.is(
    outcomeOf(() => m.set(0, 0)),
    'EPERM',
  );
});

test('percpu_array gives each lane a value of its own', () => {
  const m = make(bench(), 'percpu_array', 4, 12, 2);
  const lanes = [1, 2, 3].map(n => new Uint8Array(12).fill(n));
  m.set(1, lanes);
  assert.equal(m.get(1), lanes);
  assert.equal(m.get(0), [new Uint8Array(12), new Uint8Array(12), new Uint8Array(12)]);
  assert.is(m.get(2), undefined);
});

test('a map that the arena has no room for is named, with its entries', () => {
  const b = bench();
  assert.throws(
    () => make(b, 'array', 4, 1 << 20, 5000, { name: 'flows' }),
    (e: { code: string; message: string }) =>
      e.code === 'ERR_ARENA_FULL' && e.message.includes('map flows of 5000 entries'),
  );
  assert.is(make(b, 'array', 4, 8, 16).size, 16);
});
