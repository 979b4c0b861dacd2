/**
 * Why a program was refused. Thrown by every pass of the verifier, caught by nobody inside it.
 * The message leads with the one decisive line; `log` holds the walk when it was asked for.
 */
import { EtherloomError } from '../../errors.js';
import type { LineInfo } from '../spec.js';

/** Names of the rules. Stable: tests, goldens and users' scripts match on them. */
export type Rule =
  // Form of the program
  | 'program-size'
  | 'opcode'
  | 'reserved-field'
  | 'register-number'
  | 'frame-pointer'
  | 'jump-range'
  | 'unreachable'
  | 'missing-exit'
  | 'shift-range'
  | 'division-by-zero'
  | 'map-reference'
  | 'abnormal-return'
  // Registers and memory
  | 'uninit-register'
  | 'null-pointer'
  | 'memory-access'
  | 'pointer-arithmetic'
  | 'pointer-offset'
  | 'packet-bounds'
  | 'packet-write'
  | 'map-bounds'
  | 'map-access'
  | 'mem-bounds'
  | 'read-only'
  | 'stack-bounds'
  | 'stack-align'
  | 'stack-spill'
  | 'stack-uninit'
  | 'ctx-access'
  | 'ctx-modified'
  | 'pointer-mix'
  | 'atomic'
  | 'alignment'
  | 'legacy-load'
  | 'program-type'
  | 'struct-ops'
  // Calls
  | 'helper'
  | 'helper-program-type'
  | 'helper-licence'
  | 'helper-argument'
  | 'helper-map'
  | 'helper-packet'
  | 'kfunc'
  | 'kfunc-program-type'
  | 'kfunc-licence'
  | 'kfunc-argument'
  | 'call-depth'
  | 'stack-depth'
  | 'callback'
  | 'global-function'
  | 'return-value'
  | 'return-stack-pointer'
  // Things held
  | 'reference'
  | 'reference-leak'
  | 'spin-lock'
  | 'rcu'
  | 'timer'
  | 'object-type'
  | 'object'
  | 'graph'
  // Budgets
  | 'infinite-loop'
  | 'instruction-limit'
  | 'state-limit'
  | 'jump-sequence-limit';

export interface Rejection {
  /** Name of the program. */
  program: string;
  rule: Rule;
  /** Slot of the instruction that broke it. */
  insn: number;
  /** The decisive line without place and rule. */
  reason: string;
  /** Disassembled instruction. */
  text: string;
  line: LineInfo | undefined;
  /** What the registers held there, one line a frame. */
  state: string;
  log: string | undefined;
}

export class VerifierError extends EtherloomError {
  /** Name of the program: a collection loads many. */
  readonly program: string;
  readonly rule: Rule;
  /** Slot of the instruction that broke the rule. */
  readonly insn: number;
  readonly reason: string;
  /** Disassembled instruction. */
  readonly text: string;
  /** Source line, when the object has line information. */
  readonly line: LineInfo | undefined;
  /** Registers and stack on entry to the instruction; empty when it was refused before any path was walked. */
  readonly state: string;
  /** The walk up to the rejection, with `log` ≥ 1. */
  readonly log: string | undefined;
  override readonly offset: number;
  /** Instructions walked until then, and µs: set by verify(). */
  processed = 0;
  timeUs = 0;

  constructor(r: Rejection) {
    const at = [
      `${r.insn}: ${r.text}`,
      r.line ? `${r.line.file}:${r.line.line}: ${r.line.text.trim()}` : '',
      r.state,
    ].filter(Boolean);
    super(
      `ERR_VERIFIER_${r.rule.toUpperCase().replaceAll('-', '_')}`,
      `reject at ${r.insn}: ${r.reason} (rule: ${r.rule})\n    ${at.join('\n    ')}`,
    );
    this.name = 'VerifierError';
    this.program = r.program;
    this.rule = r.rule;
    this.insn = r.insn;
    this.offset = r.insn;
    this.reason = r.reason;
    this.text = r.text;
    this.line = r.line;
    this.state = r.state;
    this.log = r.log;
  }
}
