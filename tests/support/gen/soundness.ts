/**
 * Soundness: every random program that the verifier accepts runs in the checked interpreter, over several packets,
 * without one bad access, and ends. What fails is made small and printed.
 */
import { disassembleProgram } from '../../../host/bpf/asm/disassemble.js';
import { Class, type Insn, Jmp } from '../../../host/bpf/insn.js';
import { InterpFault } from '../../../host/bpf/interp/interpret.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import { Rng } from '../fuzz.js';
import { withInsns } from './globals.js';
import type { KfuncSet } from './kfuncs.js';
import { Lab, randomPacket } from './lab.js';
import { mutate } from './mutate.js';
import { randomProgram } from './program.js';
import { shrink } from './shrink.js';

/** Packets that each accepted program is given. */
const PACKETS = 4;
/**
 * Instructions after which a program is said not to end. Paths of accepted programs are as long as the verifier's limit
 * at most (verifiers.ts); only bpf_loop makes more of it, here 65,535 rounds at most.
 */
const BUDGET = 4_000_000;
/** The same while a program that does not end is made small. */
const SHRINK_BUDGET = 20_000;

const isMayGoto = (insn: Insn): boolean => insn.op === (Class.JMP | Jmp.JCOND);

export interface Judgement {
  accepted: boolean;
  /** Rule of a rejection. */
  rule?: string;
}

export interface SoundnessOptions {
  count: number;
  seed: number;
  from?: number;
  /** The verifier under test. */
  verify: (spec: ProgramSpec) => Judgement;
  /** Share of programs that are mutated once or more. Default 0.5. */
  mutated?: number;
  /** Programs call kfuncs of this set as well. */
  kfuncs?: KfuncSet;
  progress?: (report: SoundnessReport) => void;
}

export interface SoundnessReport {
  programs: number;
  accepted: number;
  /** Instructions generated, and executed by the interpreter. */
  insns: number;
  executed: number;
  /** Rejections by rule. */
  rules: Record<string, number>;
  ms: number;
}

/** Program `number` of a seed, and the stream its packets are drawn from. */
export function soundnessProgram(
  seed: number,
  number: number,
  mutated = 0.5,
  kfuncs?: KfuncSet,
): { spec: ProgramSpec; rng: Rng } {
  const rng = new Rng(seed, number);
  const spec = randomProgram(rng, kfuncs);
  const changes = rng.chance(mutated) ? rng.pick([1, 1, 2, 3]) : 0;
  return { spec: changes ? withInsns(spec, mutate(rng, spec.insns, changes)) : spec, rng };
}

/** The first fault of a program over packets drawn from `seed`; counts what was executed. */
export function faultOf(
  lab: Lab,
  spec: ProgramSpec,
  seed: number,
  count: { executed: number } = { executed: 0 },
  budget = BUDGET,
): { fault: InterpFault; data: Uint8Array } | undefined {
  const rng = new Rng(seed);
  for (let n = 0; n < PACKETS; n++) {
    const data = randomPacket(rng);
    lab.poison(rng.pick([0, 1, 7, 0x3f, 0xff]));
    lab.refill();
    try {
      count.executed += lab.interpret(spec, data, budget).insns;
    } catch (error) {
      if (error instanceof InterpFault) {
        // may_goto ends a loop for sure, but after more rounds than there is time for here.
        if (error.rule === 'budget' && spec.insns.some(isMayGoto)) return undefined;
        return { fault: error, data };
      }
      throw error;
    }
  }
  return undefined;
}

/** @throws Error with seed, number, fault, packet and the smallest program that shows it */
export function soundness(options: SoundnessOptions): SoundnessReport {
  const { count, seed, from = 0, verify } = options;
  const lab = new Lab();
  const report: SoundnessReport = { programs: 0, accepted: 0, insns: 0, executed: 0, rules: {}, ms: 0 };
  const started = performance.now();
  for (let i = from; i < from + count; i++) {
    const { spec, rng } = soundnessProgram(seed, i, options.mutated, options.kfuncs);
    report.programs++;
    report.insns += spec.insns.length;
    const judgement = verify(spec);
    if (judgement.accepted) {
      report.accepted++;
      const packets = rng.u32();
      const found = faultOf(lab, spec, packets, report);
      if (found) throw new Error(explain(lab, seed, i, spec, packets, verify, found.fault));
    } else {
      const rule = judgement.rule ?? 'unknown';
      report.rules[rule] = (report.rules[rule] ?? 0) + 1;
    }
    report.ms = performance.now() - started;
    options.progress?.(report);
  }
  return report;
}

function explain(
  lab: Lab,
  seed: number,
  number: number,
  spec: ProgramSpec,
  packets: number,
  verify: SoundnessOptions['verify'],
  fault: InterpFault,
): string {
  const budget = fault.rule === 'budget' ? SHRINK_BUDGET : BUDGET;
  const faulty = (insns: Insn[]) => {
    try {
      const candidate = withInsns(spec, insns);
      return verify(candidate).accepted ? faultOf(lab, candidate, packets, undefined, budget) : undefined;
    } catch {
      return undefined; // smaller, but no program any more
    }
  };
  const insns = shrink(spec.insns, candidate => faulty(candidate) !== undefined);
  const found = faulty(insns) ?? faultOf(lab, spec, packets)!;
  return [
    `UNSOUND: program ${number} of seed ${seed} (${spec.type}) was accepted: ${found.fault.message}`,
    `packet ${Buffer.from(found.data).toString('hex')}`,
    disassembleProgram({ ...spec, insns }),
  ].join('\n');
}
