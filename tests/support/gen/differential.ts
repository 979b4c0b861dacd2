/**
 * The ISA differential: random programs give the same result in the interpreter, in the JIT (with and without the
 * verifier's facts, and guarded) and, where that is allowed, in the kernel. A difference is made small and printed.
 */
import { disassembleProgram } from '../../../host/bpf/asm/disassemble.js';
import { Alu, Atomic, Class, type Insn, Mode, R10, Size, SRC_X } from '../../../host/bpf/insn.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import type { VerifiedProgram } from '../../../host/bpf/verify/verified.js';
import { Rng } from '../fuzz.js';
import { INPUT_BYTES, isaProgram, STACK_BYTES } from './isa.js';
import { KernelLab, Lab, unverified } from './lab.js';
import { edit, shrink } from './shrink.js';

export interface DifferentialOptions {
  count: number;
  seed: number;
  /** First program. */
  from?: number;
  /** Compare with BPF_PROG_TEST_RUN. */
  kernel: boolean;
  /** Our verifier; undefined for a rejection. */
  verify: (spec: ProgramSpec) => VerifiedProgram | undefined;
  progress?: (done: number) => void;
}

export interface DifferentialReport {
  programs: number;
  /** Instructions generated. */
  insns: number;
  /** Programs that our verifier accepts. */
  verified: number;
  /** Programs that the kernel accepted and ran. */
  kernelRuns: number;
  /** Differences that are the kernel's own: see aroundKernelFaults. */
  kernelFaults: number;
  ms: number;
}

type Engine = (spec: ProgramSpec, data: Uint8Array) => bigint | undefined;

/** Results of all engines that judge the program; undefined for those that do not take it. */
function engines(
  lab: Lab,
  kernel: KernelLab | undefined,
  verify: DifferentialOptions['verify'],
): Record<string, Engine> {
  return {
    interpreter: (spec, data) => lab.interpret(spec, data).r0,
    'jit (facts)': (spec, data) => {
      const program = verify(spec);
      return program && lab.jit(program, data).r0;
    },
    'jit (no facts)': (spec, data) => lab.jit(unverified(spec), data).r0,
    'jit (guarded)': (spec, data) => lab.guarded(spec, data).r0,
    ...(kernel && {
      kernel: (spec: ProgramSpec, data: Uint8Array) => {
        const run = kernel.run(spec, data);
        return run && BigInt(run.retval);
      },
    }),
  };
}

/** A stack slot below those that generated programs use. */
const SPARE = STACK_BYTES + 8;

/**
 * The same program written so that two faults of Linux 6.18 do not show, which these programs found:
 *  - after a 32-bit cmpxchg that exchanges, x86-64 leaves the upper half of r0 as it was; the verifier's zero extension
 *    is missing where pruning cut a path off before it saw that half read;
 *  - precision is not tracked from a register fetched by an atomic back to its stack slot, so that states are taken
 *    for equal which are not, and branches cut out as never taken that are.
 * So: the extension written out, and what was fetched stored, one byte of it once more, and loaded, which makes the
 * verifier forget its range.
 */
function aroundKernelFaults(spec: ProgramSpec): ProgramSpec {
  const at = { off: -SPARE, imm: 0 };
  const forget = (reg: number): Insn[] => [
    { op: Class.STX | Mode.MEM | Size.DW, dst: R10, src: reg, ...at },
    { op: Class.STX | Mode.MEM | Size.B, dst: R10, src: reg, ...at },
    { op: Class.LDX | Mode.MEM | Size.DW, dst: reg, src: R10, ...at },
  ];
  return {
    ...spec,
    insns: edit(spec.insns, insn => {
      if ((insn.op & 0xe7) !== (Class.STX | Mode.ATOMIC) || !(insn.imm & Atomic.FETCH)) return [insn];
      const reg = insn.imm === Atomic.CMPXCHG ? 0 : insn.src;
      const narrow = (insn.op & 0x18) === Size.W;
      const extend = narrow ? [{ op: Class.ALU | Alu.MOV | SRC_X, dst: reg, src: reg, off: 0, imm: 0 }] : [];
      return [insn, ...extend, ...forget(reg)];
    }),
  };
}

/** The kernel's result has 32 bits. */
const same = (name: string, a: bigint, b: bigint): boolean =>
  name === 'kernel' ? BigInt.asUintN(32, a) === b : a === b;

/** @throws Error with seed, number, engines, results and the program as assembly, at the first difference */
export function differential(options: DifferentialOptions): DifferentialReport {
  const { count, seed, from = 0 } = options;
  const lab = new Lab();
  const kernel = options.kernel ? new KernelLab() : undefined;
  const all = engines(lab, kernel, options.verify);
  const report: DifferentialReport = {
    programs: 0,
    insns: 0,
    verified: 0,
    kernelRuns: 0,
    kernelFaults: 0,
    ms: 0,
  };
  const started = performance.now();
  for (let i = from; i < from + count; i++) {
    const rng = new Rng(seed, i);
    const { spec, inputs } = isaProgram(rng);
    const data = rng.bytes(rng.chance(0.95) ? INPUT_BYTES : 64);
    report.programs++;
    report.insns += spec.insns.length;
    const expected = all.interpreter(spec, data)!;
    for (const [name, engine] of Object.entries(all)) {
      if (name === 'interpreter') continue;
      let got: bigint | undefined;
      try {
        got = engine(spec, data);
      } catch (error) {
        throw new Error(`program ${i} of seed ${seed}: ${name}: ${error}\n${disassembleProgram(spec)}`, {
          cause: error,
        });
      }
      if (name === 'jit (facts)' && got !== undefined) report.verified++;
      if (name === 'kernel' && got !== undefined) report.kernelRuns++;
      if (got === undefined || same(name, expected, got)) continue;
      const kernelsOwn =
        name === 'kernel' && engine(aroundKernelFaults(spec), data) === BigInt.asUintN(32, expected);
      if (kernelsOwn) report.kernelFaults++;
      else throw new Error(explain(lab, i, seed, spec, inputs, data, name, all.interpreter, engine));
    }
    options.progress?.(report.programs);
  }
  kernel?.close();
  report.ms = performance.now() - started;
  return report;
}

function explain(
  lab: Lab,
  number: number,
  seed: number,
  spec: ProgramSpec,
  inputs: number,
  data: Uint8Array,
  name: string,
  interpreter: Engine,
  engine: Engine,
): string {
  const results = (insns: Insn[]): [bigint, bigint] | undefined => {
    try {
      lab.poison(0);
      const a = interpreter({ ...spec, insns }, data);
      lab.poison(0xa5);
      if (a !== interpreter({ ...spec, insns }, data)) return undefined; // reads what it never wrote
      const b = engine({ ...spec, insns }, data);
      return a === undefined || b === undefined ? undefined : [a, b];
    } catch {
      return undefined; // smaller, but no program any more
    }
  };
  const differ = (candidate: Insn[]) => {
    const r = results(candidate);
    return r !== undefined && !same(name, r[0], r[1]);
  };
  const insns = shrink(spec.insns, differ, inputs);
  const [a, b] = results(insns)!;
  return [
    `program ${number} of seed ${seed}: interpreter 0x${a.toString(16)}, ${name} 0x${b.toString(16)}`,
    `packet ${Buffer.from(data).toString('hex')}`,
    disassembleProgram({ ...spec, insns }),
  ].join('\n');
}
