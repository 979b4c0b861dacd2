import { compileGuarded } from '../../host/bpf/jit/compile.js';
import { GuardedProgram, GuardFault } from '../../host/bpf/jit/guarded.js';
import { callLocal, exit, ldx, Size, spec } from '../support/insns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: the guarded region');

test('a guarded region that its checks could not hold is refused', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const compiled = compileGuarded(spec([ldx(Size.DW, 0, 1, 0), exit()], 'unspec'));
  const open = (lo: number, hi: number, stack: number): string | undefined => {
    try {
      new GuardedProgram(compiled, { memory, lo, hi, stack });
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  for (const [lo, hi, stack] of [
    [4096, 4100, 8192],
    [4096, 4100, 4100],
    [4096, 0, 8192],
    [4096, 8192, 8193],
    [4096, 8192, 4607],
    [4096, 65537, 8192],
    [-4096, 8192, 8192],
    [4096, Number.NaN, 8192],
    [4096.5, 8192, 8192],
  ])
    assert.is(open(lo, hi, stack), 'ERR_GUARD_REGION', `${lo} ${hi} ${stack}`);
  assert.is(open(4096, 4608, 4608), undefined);
  assert.is(open(0, 65536, 65536), undefined);
});

test('endless recursion in a region larger than the engine stack is a stack fault', () => {
  const bytes = 64 << 20;
  const memory = new WebAssembly.Memory({ initial: bytes >> 16, maximum: bytes >> 16, shared: true });
  const compiled = compileGuarded(spec([callLocal(-1), exit()], 'unspec'));
  const program = new GuardedProgram(compiled, { memory, lo: 0, hi: bytes, stack: bytes });
  for (let again = 0; again < 2; again++) {
    let fault: unknown;
    try {
      program.enter(0n, 0n, 1n << 40n);
    } catch (error) {
      fault = error;
    }
    assert.instance(fault, GuardFault);
    assert.is((fault as GuardFault).code, 'ERR_GUARD_STACK');
  }
});
