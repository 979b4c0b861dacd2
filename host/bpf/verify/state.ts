/**
 * Verifier states: the one being walked (mutable arrays of immutable registers and slots) and the checkpoints
 * kept for pruning, which form a tree through `parent`. Marks say what the paths below a checkpoint relied on.
 */

import { R10 } from '../insn.js';
import { Kind, NOT_INIT, pointer, type Reg } from './regs.js';
import { EMPTY, type Slot } from './stack.js';

/** A register or stack slot that shared its scalar id with others when a jump taught something about them. */
export interface LinkedRef {
  frame: number;
  /** Register number, or slot number when `inStack`. */
  index: number;
  inStack: boolean;
}

/** Flags of a walked instruction. */
export const Hist = {
  /** Spill or fill of slot `slot` of frame `frame`. */
  STACK: 1,
  DST_POINTER: 2,
  SRC_POINTER: 4,
} as const;

/** One walked instruction: the way back. Shared by all paths that came through it. */
export class Step {
  flags = 0;
  frame = 0;
  slot = 0;
  linked: readonly LinkedRef[] | undefined = undefined;

  constructor(
    readonly insn: number,
    readonly prev: Step | undefined,
  ) {}
}

export class Frame {
  /** The same frame in the checkpoint before; undefined for one entered since. */
  parent: Frame | undefined = undefined;
  /** Checkpoints: slots that some path below reads before it writes them. */
  readLo = 0;
  readHi = 0;
  /** Slots fully written since the checkpoint before. */
  wroteLo = 0;
  wroteHi = 0;
  /** Checkpoints: scalars whose value some path below relied on. */
  precise = 0;
  preciseLo = 0;
  preciseHi = 0;
  /** Callback: how many more levels this frame has called; see calls of bpf_loop. */
  callbackDepth = 0;

  constructor(
    /** Call instruction that entered it, −1 for the first. */
    readonly callsite: number,
    readonly subprog: number,
    /** Runs as a callback: returns to the call instruction itself. */
    readonly inCallback: boolean,
    public regs: Reg[],
    public stack: Slot[],
  ) {}

  static enter(callsite: number, subprog: number, depth: number, inCallback: boolean): Frame {
    const regs = new Array<Reg>(11).fill(NOT_INIT);
    regs[R10] = pointer(Kind.STACK, { size: depth });
    return new Frame(callsite, subprog, inCallback, regs, []);
  }

  clone(): Frame {
    const f = new Frame(this.callsite, this.subprog, this.inCallback, this.regs.slice(), this.stack.slice());
    f.parent = this.parent;
    f.wroteLo = this.wroteLo;
    f.wroteHi = this.wroteHi;
    f.callbackDepth = this.callbackDepth;
    return f;
  }

  slot(n: number): Slot {
    return n < this.stack.length ? this.stack[n] : EMPTY;
  }

  setSlot(n: number, s: Slot): void {
    while (this.stack.length <= n) this.stack.push(EMPTY);
    this.stack[n] = s;
  }

  markWritten(n: number): void {
    if (n < 32) this.wroteLo |= 1 << n;
    else this.wroteHi |= 1 << (n - 32);
  }

  /** Tells the checkpoints above that these slots are read. */
  markRead(lo: number, hi: number): void {
    let child: Frame = this;
    for (let p = child.parent; p; p = child.parent) {
      lo &= ~child.wroteLo & ~p.readLo;
      hi &= ~child.wroteHi & ~p.readHi;
      if ((lo | hi) === 0) return;
      p.readLo |= lo;
      p.readHi |= hi;
      child = p;
    }
  }

  markSlotRead(n: number): void {
    if (n < 32) this.markRead(1 << n, 0);
    else this.markRead(0, 1 << (n - 32));
  }

  isSlotPrecise(n: number): boolean {
    return n < 32 ? (this.preciseLo & (1 << n)) !== 0 : (this.preciseHi & (1 << (n - 32))) !== 0;
  }

  isSlotRead(n: number): boolean {
    return n < 32 ? (this.readLo & (1 << n)) !== 0 : (this.readHi & (1 << (n - 32))) !== 0;
  }
}

/** A reference that must be released. */
export interface Ref {
  id: number;
  /** Instruction that acquired it. */
  insn: number;
}

/** The spin lock held. */
export interface Lock {
  map: unknown;
  /** Id of the element's pointer; 0 for a value addressed directly. */
  id: number;
  insn: number;
}

let made = 0;

export class State {
  readonly serial = ++made;
  /** Checkpoints: where it was taken. */
  insn = -1;
  parent: State | undefined = undefined;
  /** Paths below it still to be walked. */
  branches = 1;
  hist: Step | undefined = undefined;
  refs: readonly Ref[] = [];
  lock: Lock | undefined = undefined;
  /** Instruction that opened the RCU read section which this state is in, −1: none. */
  rcu = -1;
  callbackUnroll = 0;
  /** 0 in the program itself; in a timer's callback how many callbacks set one another on the way to it. */
  asyncEntry = 0;
  mayGoto = 0;
  /** Use of a checkpoint for pruning. */
  hits = 0;
  misses = 0;

  constructor(public frames: Frame[]) {}

  get depth(): number {
    return this.frames.length - 1;
  }

  get frame(): Frame {
    return this.frames[this.frames.length - 1];
  }

  get regs(): Reg[] {
    return this.frames[this.frames.length - 1].regs;
  }

  clone(): State {
    const s = new State(this.frames.map(f => f.clone()));
    s.parent = this.parent;
    s.hist = this.hist;
    s.refs = this.refs;
    s.lock = this.lock;
    s.rcu = this.rcu;
    s.callbackUnroll = this.callbackUnroll;
    s.asyncEntry = this.asyncEntry;
    s.mayGoto = this.mayGoto;
    return s;
  }
}
