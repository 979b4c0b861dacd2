/** Verifiers for the random runs: ours, and broken ones that show that the oracle bites. */
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import { type Rule, VerifierError } from '../../../host/bpf/verify/errors.js';
import type { VerifiedProgram } from '../../../host/bpf/verify/verified.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { checkWellformed } from '../../../host/bpf/wellformed.js';
import { EtherloomError } from '../../../host/errors.js';
import type { Judgement } from './soundness.js';

/** Instructions a random program may take: what needs more is of no use here, and slow. */
const INSN_LIMIT = 50_000;

export interface Verdict extends Judgement {
  processed?: number;
  reason?: string;
}

/** Our verifier. */
export function ours(spec: ProgramSpec): Verdict {
  try {
    return { accepted: true, processed: verify(spec, { insnLimit: INSN_LIMIT }).stats.processed };
  } catch (error) {
    if (error instanceof VerifierError) return { accepted: false, rule: error.rule, reason: error.reason };
    throw error;
  }
}

/** The verified program, or undefined. */
export function verified(spec: ProgramSpec): VerifiedProgram | undefined {
  try {
    return verify(spec, { insnLimit: INSN_LIMIT });
  } catch (error) {
    if (error instanceof VerifierError) return undefined;
    throw error;
  }
}

/**
 * A verifier with a hole: it accepts what ours rejects by one of `rules`. Such a program goes wrong only if its bad
 * path is taken, so a run over many of them must find some that do.
 */
export function blindTo(...rules: readonly Rule[]): (spec: ProgramSpec) => Verdict {
  return spec => {
    try {
      checkWellformed(spec.insns, spec.name);
    } catch (error) {
      if (error instanceof EtherloomError) return { accepted: false, rule: 'form' };
      throw error;
    }
    const verdict = ours(spec);
    return !verdict.accepted && rules.includes(verdict.rule as Rule) ? { accepted: true } : verdict;
  };
}
