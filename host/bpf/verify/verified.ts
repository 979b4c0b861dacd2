/**
 * What the verifier hands to the compiler. A VerifiedProgram can only be made by verify() (verify.ts):
 * that is how "an unverified program cannot be attached" is a matter of types (DESIGN §4.2).
 */
import type { ProgramSpec } from '../spec.js';

/** What a register holds at an instruction, joined over every path that reached it. */
export type FactKind =
  | 'none' // never read there, or paths disagree
  | 'scalar'
  | 'const' // the same known 64-bit value on every path
  | 'ctx'
  | 'stack' // pointer into a stack frame
  | 'packet' // packet, packet_meta: a 32-bit arena address
  | 'packet_end'
  | 'map_value'
  | 'map_ptr'
  | 'mem' // any other verified memory
  | 'null_or_ptr'; // may be NULL; not dereferenceable yet

export interface Fact {
  kind: FactKind;
  /** kind const: the value as unsigned 64-bit. */
  value?: bigint;
  /** kind stack: offset from r10 of the function at `depth` frames up (0 = own frame), when the same on every path. */
  stackOff?: number;
  frameUp?: number;
  /** kind map_ptr, map_value: key of spec.maps when the same on every path. */
  map?: number;
  /** Scalars: upper half known to be zero on every path (value fits u32). */
  u32?: boolean;
}

/** Facts about every reached instruction slot. Optional for correctness: without facts the JIT is only slower. */
export interface JitFacts {
  /** False for slots that no path reaches: dead code. */
  reached(insn: number): boolean;
  /** Register `reg` on entry to `insn`. Recorded for the operands of the instruction (calls: r1–r5). */
  fact(insn: number, reg: number): Fact | undefined;
  /** Conditional jumps: which ways any path went. */
  branch(insn: number): { taken: boolean; fallthrough: boolean };
  /** BTF id of the structure that the call makes objects of (bpf_obj_new). */
  made(insn: number): number | undefined;
}

export interface VerifierStats {
  /** Instructions walked over all paths (the kernel's "processed N insns"). */
  processed: number;
  /** States kept for pruning: total and the most at one instruction. */
  states: number;
  peakStates: number;
  timeUs: number;
  /** Bytes of stack by subprogram, in order of their first instruction. */
  stackDepth: number[];
}

declare const brand: unique symbol;
export interface VerifiedProgram {
  readonly [brand]: 'verified';
  readonly spec: ProgramSpec;
  readonly facts: JitFacts;
  readonly stats: VerifierStats;
  /** Warnings that did not reject it. */
  readonly notes: readonly string[];
}
