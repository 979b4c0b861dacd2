/**
 * One verification under way: the program, the state being walked, what is still to be walked, and the budgets.
 * Every pass works on a Walk; verify.ts drives it.
 */

import type { Insn } from '../insn.js';
import type { FieldRecord, StructRecords } from '../objects/fields.js';
import { type AttachType, attachType, type LineInfo, type ProgramSpec, type ProgramType } from '../spec.js';
import { type OpsMember, opsMember } from '../struct_ops.js';
import { type Cfg, Point } from './cfg.js';
import { disassembleInsn } from './disasm.js';
import { type Rule, VerifierError } from './errors.js';
import type { FactTable } from './facts.js';
import { describe, printState, type WalkLog } from './log.js';
import type { MapInfo } from './maps.js';
import type { Backtrack } from './precision.js';
import { Kind, type Reg, scalarReg } from './regs.js';
import type { Scalar } from './scalar.js';
import { type State, Step } from './state.js';

/** A path still to be walked. */
export interface Pending {
  state: State;
  insn: number;
  logLength: number;
}

/** A path that ended in a checkpoint whose own marks were not complete: they are passed on when they are. */
export interface BackEdge {
  old: State;
  cur: State;
}

export interface Limits {
  insns: number;
  states: number;
}

/** BPF_COMPLEXITY_LIMIT_JMP_SEQ. */
export const MAX_PENDING = 8192;
/** Comparisons and steps back, in all: some ten seconds. Real programs need a hundredth. */
const MAX_WORK = 1_000_000_000;
/** Registers and slots held by checkpoints, in all: some 400 MB. */
const MAX_CELLS = 40_000_000;

export class Walk {
  readonly insns: readonly Insn[];
  readonly type: ProgramType;
  readonly attach: AttachType;
  /** Type struct_ops: what it is a member of. */
  readonly member: OpsMember | undefined;
  cur!: State;
  /** Instruction being walked, and where its path goes on; −1: the path ends here. */
  pc = 0;
  next = 0;
  #ids = 0;
  #work = 0;
  #cells = 0;
  processed = 0;
  jumps = 0;
  /** Counters at the last checkpoint. */
  processedThen = 0;
  jumpsThen = 0;
  readonly pending: Pending[] = [];
  /** Checkpoints by instruction. */
  readonly explored: (State[] | undefined)[];
  totalStates = 0;
  peakStates = 0;
  backEdges: BackEdge[] = [];
  /** Serial of the oldest checkpoint with unfinished back edges; Infinity without. */
  loopSerial = Number.POSITIVE_INFINITY;
  /** Visits by instruction, for the message when the budget is spent. */
  readonly visits: Uint32Array;
  /** Global functions to be verified on their own. */
  readonly called = new Set<number>();
  readonly notes: string[] = [];
  /** Subprogram under verification: 0, or a global function. */
  root = 0;
  /** By instruction: 1 a context access, 2 another. */
  readonly accessKind: Uint8Array;

  constructor(
    readonly spec: ProgramSpec,
    readonly cfg: Cfg,
    readonly live: Uint16Array,
    readonly maps: ReadonlyMap<number, MapInfo>,
    readonly facts: FactTable,
    readonly limits: Limits,
    readonly log: WalkLog | undefined,
    readonly backtrack: Backtrack,
    readonly lines: readonly (LineInfo | undefined)[],
    /** What of the program's structures is the engine's, by their ids in its BTF. */
    readonly structs: StructRecords,
  ) {
    this.insns = spec.insns;
    this.type = spec.type;
    this.attach = attachType(spec);
    this.member = opsMember(spec);
    this.explored = new Array(spec.insns.length);
    this.visits = new Uint32Array(spec.insns.length);
    this.accessKind = new Uint8Array(spec.insns.length);
  }

  /** Counts work beyond instructions, so that no program can make it endless. */
  spend(work: number): void {
    this.#work += work;
    if (this.#work > MAX_WORK) this.fail('state-limit', 'comparing states takes too long');
  }

  /** Counts memory that checkpoints hold. */
  hold(state: State): void {
    for (const frame of state.frames) this.#cells += 24 + frame.stack.length;
    if (this.#cells > MAX_CELLS) this.fail('state-limit', 'the states of all paths take too much memory');
  }

  newId(): number {
    return ++this.#ids;
  }

  /** What of the map value or object behind a register is the engine's. */
  recordOf(r: Reg): FieldRecord | undefined {
    return r.kind === Kind.OWNED ? this.structs.get(r.size) : r.map?.record;
  }

  get regs(): Reg[] {
    return this.cur.regs;
  }

  /** Register that an instruction reads: it must hold something. */
  read(n: number): Reg {
    const r = this.cur.regs[n];
    if (r.kind === Kind.NONE) this.fail('uninit-register', `r${n} is read, but nothing was written to it`);
    return r;
  }

  setScalar(n: number, s: Scalar): void {
    this.cur.regs[n] = scalarReg(s);
  }

  /** The step of the instruction being walked. */
  get step(): Step {
    return this.cur.hist!;
  }

  enterStep(): void {
    this.cur.hist = new Step(this.pc, this.cur.hist);
  }

  /** Remembers another path: `state` goes on at `insn`. */
  push(state: State, insn: number): void {
    if (this.pending.length >= MAX_PENDING)
      this.fail('jump-sequence-limit', `${MAX_PENDING} jumps on one path wait for their other way`);
    if (state.parent) state.parent.branches++;
    this.pending.push({ state, insn, logLength: this.log?.length ?? 0 });
  }

  fail(rule: Rule, reason: string, insn = this.pc): never {
    throw new VerifierError({
      program: this.spec.name,
      rule,
      insn,
      reason,
      text: disassembleInsn(this.spec, insn),
      line: this.lines[insn],
      state: this.cur ? printState(this.cur) : '',
      log: this.log?.text(),
    });
  }

  /** `r2 is packet+0`. */
  name(n: number): string {
    return `r${n} is ${describe(this.cur.regs[n])}`;
  }

  hasPoint(bit: number): boolean {
    return (this.cfg.points[this.pc] & bit) !== 0;
  }

  isSecond(at: number): boolean {
    return (this.cfg.points[at] & Point.SECOND) !== 0;
  }
}
