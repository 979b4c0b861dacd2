/** Kfuncs in object files: found by name, their prototypes compared. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadElf } from '../../../host/bpf/elf/load.js';
import type { CollectionSpec } from '../../../host/bpf/spec.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import type { EtherloomError } from '../../../host/errors.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('kfuncs: object files');

const load = (name: string): CollectionSpec =>
  loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), `${name}.bpf.o`);

test('a program that calls kfuncs is accepted; a weak one that is not there is never called', () => {
  const { pulls } = load('kfuncs').programs;
  const names = Object.values(pulls.kfuncs ?? {}).sort();
  assert.equal(names, ['bpf_not_there', 'bpf_rcu_read_lock', 'bpf_rcu_read_unlock', 'bpf_xdp_pull_data']);
  const { spec } = verify(pulls);
  assert.equal(Object.values(spec.kfuncs ?? {}).sort(), names);
});

test('one that does not exist is refused by name, with what there is, and its neighbour loads', () => {
  const { asks_for_more } = load('kfuncs').programs;
  assert.throws(
    () => verify(asks_for_more),
    /kernel function bpf_nowhere is not available in this engine; xdp programs have .*bpf_xdp_pull_data/,
  );
});

test('a prototype that differs is refused when the file is read, both named', () => {
  try {
    load('kfunc_prototype');
    assert.unreachable();
  } catch (caught) {
    const error = caught as EtherloomError;
    assert.is(error.code, 'ERR_ELF_KFUNC');
    assert.match(
      error.message,
      /pulls calls bpf_xdp_pull_data: argument 2 is no number of 32 bits; this file declares "int bpf_xdp_pull_data\(struct xdp_md \*, u64\)", the engine has "int bpf_xdp_pull_data\(struct xdp_md \*x, __u32 len\)"/,
    );
    assert.is(error.file, 'kfunc_prototype.bpf.o');
  }
});
