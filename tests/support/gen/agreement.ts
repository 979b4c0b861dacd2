/**
 * Verdicts of our verifier and the kernel on the random programs of the soundness run: a laxer verdict of ours that
 * the kernel gives a safety reason against is a finding, even where no packet showed it.
 */
import { disassembleProgram } from '../../../host/bpf/asm/disassemble.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import { withInsns } from './globals.js';
import { KernelLab } from './lab.js';
import { shrink } from './shrink.js';
import { soundnessProgram } from './soundness.js';
import type { Verdict } from './verifiers.js';

export interface AgreementReport {
  programs: number;
  accepted: number;
  /** Accepted here, rejected by the kernel; and the reverse. By what the rejecting side says, numbers taken out. */
  laxer: Map<string, Finding>;
  stricter: Map<string, Finding>;
  /** Of those that both accept, how many took exactly as many instructions. */
  sameProcessed: number;
}

export interface Finding {
  count: number;
  /** Smallest program that shows it. */
  example: string;
  number: number;
}

export function agreement(options: {
  count: number;
  seed: number;
  from?: number;
  /** Programs call kfuncs of the kernel as well. */
  kfuncs?: boolean;
  verify: (spec: ProgramSpec) => Verdict;
  progress?: (done: number) => void;
}): AgreementReport {
  const { count, seed, from = 0, verify } = options;
  const kernel = new KernelLab();
  const report: AgreementReport = {
    programs: 0,
    accepted: 0,
    laxer: new Map(),
    stricter: new Map(),
    sameProcessed: 0,
  };
  for (let i = from; i < from + count; i++) {
    const { spec } = soundnessProgram(seed, i, undefined, options.kfuncs ? 'kernel' : undefined);
    const ours = verify(spec);
    const theirs = kernel.verdict(spec);
    report.programs++;
    options.progress?.(report.programs);
    if (ours.accepted && theirs.accepted) {
      report.accepted++;
      if (ours.processed === theirs.processed) report.sameProcessed++;
    }
    if (ours.accepted === theirs.accepted) continue;
    const side = ours.accepted ? report.laxer : report.stricter;
    const why = ours.accepted ? kernel.reason(spec) : `${ours.rule}: ${ours.reason}`;
    const key = why.replace(/\d+/g, 'N');
    const known = side.get(key);
    if (known) {
      known.count++;
      continue;
    }
    const insns = shrink(
      spec.insns,
      candidate => {
        const program = withInsns(spec, candidate);
        try {
          const mine = verify(program);
          if (mine.accepted !== ours.accepted || kernel.verdict(program).accepted !== theirs.accepted)
            return false;
          const now = mine.accepted ? kernel.reason(program) : `${mine.rule}: ${mine.reason}`;
          return now.replace(/\d+/g, 'N') === key;
        } catch {
          return false;
        }
      },
      0,
      600,
    );
    side.set(key, {
      count: 1,
      example: `${spec.type}\n${disassembleProgram({ ...spec, insns })}`,
      number: i,
    });
  }
  kernel.close();
  return report;
}
