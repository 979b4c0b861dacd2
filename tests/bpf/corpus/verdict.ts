/** What the kernel says of a program now. */
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import type { Recorded } from './entry.js';

export interface KernelVerdict extends Recorded {
  /** False when the kernel could not judge the program. */
  judged: boolean;
}

/** Instructions up to which a log costs next to nothing. */
const CHEAP_LOG = 20_000;

/** Loads with statistics only; rejections are asked a second time why. */
export function kernelVerdict(spec: ProgramSpec): KernelVerdict {
  const first = KernelProgram.load(spec, { log: 'statistics' });
  if (first.accepted) {
    first.program.close();
    return { accepted: true, processed: first.processed, judged: true };
  }
  const again = first.processed < CHEAP_LOG ? KernelProgram.load(spec) : first;
  if (again.accepted) throw new Error(`${spec.name}: rejected, then accepted`);
  const { processed, insn, errno, reason, cause } = again;
  return { accepted: false, processed, insn, errno, line: reason, judged: cause === 'safety' };
}
