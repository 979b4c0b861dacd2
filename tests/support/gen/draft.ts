/**
 * A random program being written: its code so far, its stream of random numbers, and what the registers hold that live
 * over several pieces. Each kind of piece has a file of its own; program.ts picks them.
 *
 * Registers: r6 the context, r7 an unknown scalar, r8 a pointer kept over several pieces, r9 the loop counter;
 * r0–r5 belong to the piece. Stack: -8…-64 initialised at the start, -72…-128 spills, -136…-256 keys and buffers.
 */
import { Jmp } from '../../../host/bpf/insn.js';
import type { Rng } from '../fuzz.js';
import { Code, type Label } from './code.js';

export const CTX = 6;
export const SCALAR = 7;
export const KEPT = 8;
export const COUNTER = 9;
export const INIT_BYTES = 64;

/** Helper numbers (include/uapi/linux/bpf.h). */
export const H = {
  lookup: 1,
  update: 2,
  delete: 3,
  ktime: 5,
  prandom: 7,
  skbStore: 9,
  tailCall: 12,
  skbLoad: 26,
  csumDiff: 28,
  pullData: 39,
  adjustHead: 44,
  adjustMeta: 54,
  adjustTail: 65,
  push: 87,
  pop: 88,
  peek: 89,
  spinLock: 93,
  spinUnlock: 94,
  strtol: 105,
  ringOutput: 130,
  ringReserve: 131,
  ringSubmit: 132,
  ringDiscard: 133,
  forEach: 164,
  loop: 181,
  xdpLoad: 189,
  xdpStore: 190,
} as const;

/** What r8 points to, and how many bytes from it on may be used. */
export type Kept = { kind: 'value' | 'packet' | 'stack'; bytes: number; readOnly?: boolean };

interface Context {
  data: number;
  dataEnd: number;
  dataMeta: number;
  /** Readable 32-bit fields. */
  fields: readonly number[];
  /** Fields of which parts may be read, and of which may be written. */
  narrow: readonly number[];
  written: readonly number[];
}
export type Type = 'xdp' | 'tc' | 'socket_filter';
const CONTEXTS: Record<Type, Context> = {
  xdp: { data: 0, dataEnd: 4, dataMeta: 8, fields: [12, 16], narrow: [], written: [] },
  tc: {
    data: 76,
    dataEnd: 80,
    dataMeta: 140,
    fields: [0, 4, 8, 12, 16, 40, 48, 68],
    narrow: [0, 4, 8, 16, 48, 68],
    written: [8, 32, 44, 48, 56, 64],
  },
  socket_filter: {
    data: 0,
    dataEnd: 0,
    dataMeta: 0,
    fields: [0, 4, 8, 16, 48, 68],
    narrow: [0, 4, 16, 48],
    written: [48, 56, 64],
  },
};

export class Draft {
  readonly code = new Code();
  /** Where pieces go that find a bound broken: r0 = 1 and the end. */
  readonly out: Label = this.code.label();
  /** Writers of functions that were called; their bodies may add more. */
  readonly functions: (() => void)[] = [];
  readonly ctx: Context;
  kept: Kept | undefined;
  inLoop = false;

  constructor(
    readonly rng: Rng,
    readonly type: Type,
    /** Writes one more piece of any kind. */
    readonly piece: (nesting: number) => void,
  ) {
    this.ctx = CONTEXTS[type];
  }

  /** Almost always n; now and then just beside it. */
  near(n: number): number {
    return this.rng.chance(0.985) ? n : n + this.rng.pick([-8, -1, 1, 1, 2, 8]);
  }

  size(most = 8): number {
    return this.rng.pick([1, 2, 4, 8].filter(s => s <= most));
  }

  /** `reg` = `a` on one way and `b` on the other of a jump on r7: paths that differ in a constant only. */
  either(reg: number, a: number, b: number): void {
    const { code, rng } = this;
    const join = code.label();
    // The way straight on is walked first.
    if (rng.chance(0.5)) [a, b] = [b, a];
    code.movImm(reg, a);
    code.branch(rng.pick(CONDITIONS), SCALAR, { imm: rng.between(0, 64) }, join);
    code.movImm(reg, b);
    code.place(join);
    // Jumps enough for a checkpoint, where one path may be let go for the other.
    if (rng.chance(0.7))
      for (let i = rng.between(4, 9); i > 0; i--) {
        const next = code.label();
        code.branch(Jmp.JEQ, SCALAR, { imm: 70 + i }, next);
        code.place(next);
      }
  }
}

const CONDITIONS = [Jmp.JEQ, Jmp.JNE, Jmp.JGT, Jmp.JLT];
