/**
 * Random programs, the short run: the long ones are `npm run test:differential` and `npm run test:soundness`.
 */

import type { Insn } from '../../../host/bpf/insn.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import type { Rule } from '../../../host/bpf/verify/errors.js';
import { Rng } from '../../support/fuzz.js';
import { agreement } from '../../support/gen/agreement.js';
import { differential } from '../../support/gen/differential.js';
import { isaProgram } from '../../support/gen/isa.js';
import { shrink, without } from '../../support/gen/shrink.js';
import { soundness } from '../../support/gen/soundness.js';
import { blindTo, ours, verified } from '../../support/gen/verifiers.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('random programs');
const kernel = kernelAvailable();
const LIMIT_MS = 120_000;

test(
  '400 programs give one result in interpreter, JIT with and without facts, and guarded JIT',
  () => {
    const report = differential({ count: 400, seed: 1, kernel: false, verify: verified });
    assert.is(report.programs, 400);
    assert.ok(report.verified > 360, `only ${report.verified} accepted by the verifier`);
  },
  { timeoutMs: LIMIT_MS },
);

test(
  '300 programs give the same result in the kernel',
  () => {
    const report = differential({ count: 300, seed: 2, kernel: true, verify: () => undefined });
    assert.ok(report.kernelRuns > 250, `only ${report.kernelRuns} accepted by the kernel`);
    assert.ok(report.kernelFaults < 3, `${report.kernelFaults} differences laid to the kernel`);
  },
  { missing: kernel.ok ? undefined : kernel.reason, timeoutMs: LIMIT_MS },
);

test(
  '3,000 near-valid programs: what the verifier accepts makes no bad access and ends',
  () => {
    const report = soundness({ count: 3000, seed: 1, verify: ours });
    assert.ok(report.accepted > 0.3 * report.programs, `only ${report.accepted} accepted`);
    assert.ok(Object.keys(report.rules).length >= 15, `rejections by ${Object.keys(report.rules)}`);
  },
  { timeoutMs: LIMIT_MS },
);

test(
  '2,000 programs that call kfuncs: what the verifier accepts breaks no prototype',
  () => {
    const report = soundness({ count: 2000, seed: 5, kfuncs: 'test', verify: ours });
    assert.ok(report.accepted > 0.2 * report.programs, `only ${report.accepted} accepted`);
    assert.ok((report.rules['reference-leak'] ?? 0) > 20 && (report.rules['kfunc-argument'] ?? 0) > 20);
  },
  { timeoutMs: LIMIT_MS },
);

test(
  '1,500 programs that take and give back references are accepted here only where the kernel accepts them',
  () => {
    const { laxer, accepted } = agreement({ count: 1500, seed: 1, kfuncs: true, verify: ours });
    // Fields of its objects go by BTF there, by bytes here; a function only taken by address is a fault of its own.
    const known = /access beyond the end of member|verifier bug: No program to jit/;
    assert.equal(
      [...laxer].filter(([why]) => !known.test(why)),
      [],
    );
    assert.ok(accepted > 300, `only ${accepted} accepted by both`);
  },
  { missing: kernel.ok ? undefined : kernel.reason, timeoutMs: LIMIT_MS },
);

// A verifier that does not look at one thing is found out: the interpreter sees what it let through.
const holes: [string, Rule[], RegExp][] = [
  ['packet bounds', ['packet-bounds'], /accepted: instruction \d+: (read|write) of \d+ bytes/],
  ['bounds of map values', ['map-bounds'], /accepted: instruction \d+: (read|write) of \d+ bytes/],
  ['bounds of the stack', ['stack-bounds'], /accepted: instruction \d+: (read|write) of \d+ bytes/],
  [
    'null pointers',
    ['null-pointer'],
    /accepted: instruction \d+: (read|write) of \d+ bytes|accepted: .*is no map/,
  ],
  ['types of pointers', ['memory-access'], /accepted: instruction \d+: (read|write) of \d+ bytes/],
];
test(
  'a verifier blind to arguments of kfuncs is found out, with a small program as proof',
  () => {
    let message = '';
    try {
      soundness({ count: 4000, seed: 7, kfuncs: 'test', verify: blindTo('kfunc-argument') });
    } catch (error) {
      message = (error as Error).message;
    }
    assert.match(message, /^UNSOUND: program \d+ of seed 7/);
    assert.match(message, /accepted: instruction \d+: (test_\w+: r\d is no |read of|write of)/);
  },
  { timeoutMs: LIMIT_MS },
);

for (const [name, rules, fault] of holes)
  test(
    `a verifier blind to ${name} is found out, with a small program as proof`,
    () => {
      let message = '';
      try {
        soundness({ count: 4000, seed: 7, verify: blindTo(...rules) });
      } catch (error) {
        message = (error as Error).message;
      }
      assert.match(message, /^UNSOUND: program \d+ of seed 7/);
      assert.match(message, fault);
      assert.ok(message.split('\n').length < 40, 'the program was not made small');
    },
    { timeoutMs: LIMIT_MS },
  );

test(
  'an endless loop that a verifier lets through is found out',
  () => {
    let message = '';
    try {
      soundness({ count: 20_000, seed: 3, mutated: 1, verify: blindTo('infinite-loop') });
    } catch (error) {
      message = (error as Error).message;
    }
    assert.match(message, /UNSOUND.*budget|UNSOUND.*instructions/i);
  },
  { timeoutMs: LIMIT_MS },
);

test('a program is the same for the same seed and number', () => {
  assert.equal(isaProgram(new Rng(5, 9)).spec.insns, isaProgram(new Rng(5, 9)).spec.insns);
  assert.not.equal(isaProgram(new Rng(5, 9)).spec.insns, isaProgram(new Rng(5, 10)).spec.insns);
});

test('taking instructions out keeps the targets of jumps', () => {
  const nop = (imm: number): Insn => ({ op: 0xb7, dst: 1, src: 0, off: 0, imm });
  const jump = (off: number): Insn => ({ op: 0x05, dst: 0, src: 0, off, imm: 0 });
  const program = [jump(2), nop(1), nop(2), nop(3), jump(-3)];
  assert.equal(
    without(program, slot => slot === 1),
    [jump(1), nop(2), nop(3), jump(-3)],
  );
  const small = shrink(program, insns => insns.some(insn => insn.imm === 3));
  assert.equal(small, [nop(3)]);
});
