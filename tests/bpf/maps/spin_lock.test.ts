/** The bpf_spin_lock of a value, wherever it lies in it: nobody writes over it, and there is one at most. */
import type { Btf, BtfMember, BtfType } from '../../../host/bpf/btf/btf.js';
import type { MapSpec } from '../../../host/bpf/spec.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf } from './support.js';

const test = suite('maps: bpf_spin_lock');

const member = (name: string, type: number, at: number): BtfMember => ({
  name,
  type,
  bitOffset: at * 8,
  bitSize: 0,
});
const struct = (name: string, size: number, ...members: BtfMember[]): BtfType => ({
  kind: 'struct',
  name,
  size,
  members,
});

/** 1 unsigned int, 2 bpf_spin_lock, 3 { u32; bpf_spin_lock; }, 4 array of one lock, 5 array of two, then the value. */
function typed(value: BtfType): MapSpec['btf'] {
  const u32: BtfType = {
    kind: 'int',
    name: 'unsigned int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: false,
    char: false,
    bool: false,
  };
  const types: BtfType[] = [
    { kind: 'void' },
    u32,
    struct('bpf_spin_lock', 4, member('val', 1, 0)),
    struct('inner', 8, member('before', 1, 0), member('lock', 2, 4)),
    { kind: 'array', type: 2, indexType: 1, count: 1 },
    { kind: 'array', type: 2, indexType: 1, count: 2 },
    value,
  ];
  return { types: { types } as Btf, keyId: 1, valueId: types.length - 1 };
}

/** A word that names a holder who never lets go: the host. */
const TAKEN = 0x0009_9902;

for (const [where, lock, value] of [
  ['in the value', 4, struct('value', 16, member('a', 1, 0), member('lock', 2, 4))],
  ['in a structure of the value', 8, struct('value', 16, member('a', 1, 0), member('in', 3, 4))],
  ['in an array of the value', 12, struct('value', 16, member('a', 1, 0), member('locks', 4, 12))],
] as const)
  for (const type of ['hash', 'array', 'lru_hash'] as const)
    test(`${type}: an update does not touch a lock ${where}`, () => {
      const m = make(bench(), type, 4, 16, 2, { btf: typed(value) });
      const words = new Uint32Array(4).fill(TAKEN);
      for (let again = 0; again < 2; again++) m.set(Uint8Array.of(1, 0, 0, 0), new Uint8Array(words.buffer));
      const got = m.getBytes(Uint8Array.of(1, 0, 0, 0))!;
      const seen = [...new Uint32Array(got.slice().buffer)];
      assert.equal(
        seen,
        [0, 4, 8, 12].map(at => (at === lock ? 0 : TAKEN)),
      );
    });

test('two locks in a value, one at an odd place, and one in a map without room for locks are refused', () => {
  const outcome = (type: 'hash' | 'percpu_hash', value: BtfType): string =>
    outcomeOf(() => make(bench(), type, 4, 16, 2, { btf: typed(value) }));
  const [lock, inner, two] = [member('lock', 2, 0), member('in', 3, 4), member('locks', 5, 0)];
  assert.is(outcome('hash', struct('value', 16, lock, inner)), 'EINVAL');
  assert.is(outcome('hash', struct('value', 16, two)), 'EINVAL');
  assert.is(outcome('hash', struct('value', 16, member('lock', 2, 2))), 'EINVAL');
  assert.is(outcome('percpu_hash', struct('value', 16, inner)), 'EOPNOTSUPP');
});
