/**
 * Precision: which scalars a path relied on. Checkpoints compare values of those only, so when a bound, a branch
 * or an offset depends on a scalar, the way it came is walked back and every checkpoint passed is marked
 * (kernel: mark_chain_precision, backtrack_insn).
 */
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  classOf,
  type Insn,
  Mode,
  OP_CALL,
  OP_EXIT,
  OP_LDDW,
  R10,
  SRC_X,
} from '../insn.js';
import { callsCallback, isLocalCall } from './cfg.js';
import { isScalar } from './regs.js';
import { isScalarSpill } from './stack.js';
import { Hist, type State, type Step } from './state.js';
import type { Walk } from './walk.js';

const ARGS = 0x3e;
const MAX_FRAMES = 8;

/** Registers and slots whose makers are still looked for, by frame. */
export class Backtrack {
  frame = 0;
  readonly regs = new Int32Array(MAX_FRAMES + 1);
  readonly lo = new Int32Array(MAX_FRAMES + 1);
  readonly hi = new Int32Array(MAX_FRAMES + 1);

  start(frame: number): this {
    this.frame = frame;
    // A loop: fill() of a typed array leaves compiled code.
    for (let f = 0; f <= MAX_FRAMES; f++) this.regs[f] = this.lo[f] = this.hi[f] = 0;
    return this;
  }

  get empty(): boolean {
    let all = 0;
    for (let f = 0; f <= this.frame; f++) all |= this.regs[f] | this.lo[f] | this.hi[f];
    return all === 0;
  }

  has(reg: number): boolean {
    return (this.regs[this.frame] & (1 << reg)) !== 0;
  }

  want(reg: number): void {
    if (reg !== R10) this.regs[this.frame] |= 1 << reg;
  }

  found(reg: number): void {
    this.regs[this.frame] &= ~(1 << reg);
  }

  hasSlot(frame: number, slot: number): boolean {
    return ((slot < 32 ? this.lo : this.hi)[frame] & (1 << (slot & 31))) !== 0;
  }

  wantSlot(frame: number, slot: number): void {
    (slot < 32 ? this.lo : this.hi)[frame] |= 1 << (slot & 31);
  }

  foundSlot(frame: number, slot: number): void {
    (slot < 32 ? this.lo : this.hi)[frame] &= ~(1 << (slot & 31));
  }

  /** Registers that one jump taught together are precise together. */
  syncLinked(step: Step): void {
    if (!step.linked) return;
    const some = step.linked.some(l =>
      l.inStack ? this.hasSlot(l.frame, l.index) : (this.regs[l.frame] & (1 << l.index)) !== 0,
    );
    if (!some) return;
    for (const l of step.linked) {
      if (l.inStack) this.wantSlot(l.frame, l.index);
      else this.regs[l.frame] |= 1 << l.index;
    }
  }
}

/** The path does not make sense to the walk back: everything is taken for precise. */
const LOST = false;

/**
 * Undoes one instruction: what must have been precise before it, given what must be precise after it.
 * @param after the instruction that was walked next, −1 when unknown
 */
function undo(v: Walk, bt: Backtrack, step: Step, after: number): boolean {
  const insn = v.insns[step.insn];
  bt.syncLinked(step);
  const ok = undoInsn(bt, insn, step, after, v.insns);
  bt.syncLinked(step);
  return ok;
}

function undoInsn(bt: Backtrack, insn: Insn, step: Step, after: number, insns: readonly Insn[]): boolean {
  switch (classOf(insn.op)) {
    case Class.ALU:
    case Class.ALU64: {
      if (!bt.has(insn.dst)) return true;
      const op = insn.op & 0xf0;
      if (op === Alu.END || op === Alu.NEG) return true;
      if (op === Alu.MOV) bt.found(insn.dst);
      if (insn.op & SRC_X) bt.want(insn.src);
      return true;
    }
    case Class.LDX:
      if (!bt.has(insn.dst)) return true;
      bt.found(insn.dst);
      if (step.flags & Hist.STACK) bt.wantSlot(step.frame, step.slot);
      return true;
    case Class.ST:
    case Class.STX:
      return undoStore(bt, insn, step);
    case Class.LD:
      if (insn.op === OP_LDDW) {
        bt.found(insn.dst);
        return true;
      }
      return undoCall(bt, step.insn, after);
    default:
      return undoJump(bt, insn, step, after, insns);
  }
}

function undoStore(bt: Backtrack, insn: Insn, step: Step): boolean {
  const atomic = classOf(insn.op) === Class.STX && (insn.op & 0xe0) === Mode.ATOMIC;
  if (atomic) {
    if (insn.imm === Atomic.LOAD_ACQ) {
      if (!bt.has(insn.dst)) return true;
      bt.found(insn.dst);
      if (step.flags & Hist.STACK) bt.wantSlot(step.frame, step.slot);
      return true;
    }
    // What an atomic fetches is taken for unknown: nothing made it.
    if (insn.imm === Atomic.CMPXCHG) bt.found(0);
    else if (insn.imm !== Atomic.STORE_REL && insn.imm & Atomic.FETCH) bt.found(insn.src);
  }
  // A scalar that addresses memory: the pointer was a difference of pointers before.
  if (bt.has(insn.dst)) return LOST;
  if (!(step.flags & Hist.STACK) || !bt.hasSlot(step.frame, step.slot)) return true;
  bt.foundSlot(step.frame, step.slot);
  if (classOf(insn.op) === Class.STX) bt.want(insn.src);
  return true;
}

/** A helper, or an LD_ABS, which clobbers the same registers. Either may have left its function early. */
function undoCall(bt: Backtrack, at: number, after: number): boolean {
  bt.found(0);
  if (bt.regs[bt.frame] & ARGS) return LOST;
  if (after >= 0 && after !== at + 1) return enter(bt);
  return true;
}

function enter(bt: Backtrack): boolean {
  if (bt.frame >= MAX_FRAMES) return LOST;
  bt.frame++;
  bt.regs[bt.frame] = bt.lo[bt.frame] = bt.hi[bt.frame] = 0;
  return true;
}

function leave(bt: Backtrack, passArgs: boolean): boolean {
  const f = bt.frame;
  if (f === 0 || bt.regs[f] & ~ARGS || bt.lo[f] || bt.hi[f]) return LOST;
  if (passArgs) bt.regs[f - 1] |= bt.regs[f];
  bt.regs[f] = 0;
  bt.frame = f - 1;
  return true;
}

function undoJump(bt: Backtrack, insn: Insn, step: Step, after: number, insns: readonly Insn[]): boolean {
  if (insn.op === OP_CALL) {
    if (insn.src === CallKind.LOCAL) {
      // Straight on: a global function, which gives an unknown r0.
      if (after === step.insn + 1) {
        if (bt.regs[bt.frame] & ARGS) return LOST;
        bt.found(0);
        return true;
      }
      return leave(bt, true);
    }
    if (callsCallback(insn) && after !== step.insn + 1) return leave(bt, false);
    return undoCall(bt, step.insn, after);
  }
  if (insn.op === OP_EXIT) {
    // Back into a function that returned. Callbacks get r1–r5 from whoever calls them.
    const toCallback = after >= 0 && callsCallback(insns[after]);
    if (toCallback) bt.regs[bt.frame] &= ~ARGS;
    if (bt.regs[bt.frame] & ARGS) return LOST;
    const called = after > 0 && isLocalCall(insns[after - 1]);
    const wantsResult = !toCallback && called && bt.has(0);
    bt.found(0);
    if (!enter(bt)) return LOST;
    if (wantsResult) bt.want(0);
    return true;
  }
  if (insn.op & SRC_X) {
    if (!bt.has(insn.dst) && !bt.has(insn.src)) return true;
    if (!(step.flags & Hist.SRC_POINTER)) bt.want(insn.src);
    if (!(step.flags & Hist.DST_POINTER)) bt.want(insn.dst);
  }
  return true;
}

/** Marks in a checkpoint what is looked for; what is marked already, or is no scalar, is looked for no further. */
function markCheckpoint(bt: Backtrack, state: State): boolean {
  let changed = false;
  for (let f = Math.min(bt.frame, state.frames.length - 1); f >= 0; f--) {
    const frame = state.frames[f];
    let regs = bt.regs[f];
    for (let i = 0; regs !== 0; i++, regs >>>= 1) {
      if (!(regs & 1)) continue;
      if (!isScalar(frame.regs[i]) || frame.precise & (1 << i)) bt.regs[f] &= ~(1 << i);
      else {
        frame.precise |= 1 << i;
        changed = true;
      }
    }
    for (const half of [0, 32]) {
      let slots = (half ? bt.hi : bt.lo)[f];
      for (let i = half; slots !== 0; i++, slots >>>= 1) {
        if (!(slots & 1)) continue;
        if (!isScalarSpill(frame.slot(i)) || frame.isSlotPrecise(i)) bt.foundSlot(f, i);
        else {
          if (half) frame.preciseHi |= 1 << (i - 32);
          else frame.preciseLo |= 1 << i;
          changed = true;
        }
      }
    }
  }
  return changed;
}

/** The fallback: every scalar of every checkpoint above is precise. */
function markAll(start: State): void {
  for (let st = start.parent; st; st = st.parent) {
    for (const frame of st.frames) {
      for (let i = 0; i < 10; i++) if (isScalar(frame.regs[i])) frame.precise |= 1 << i;
      frame.stack.forEach((s, i) => {
        if (!isScalarSpill(s)) return;
        if (i < 32) frame.preciseLo |= 1 << i;
        else frame.preciseHi |= 1 << (i - 32);
      });
    }
  }
}

/** Walks the path of `start` back from `step` until all that `bt` looks for is found. True when a mark was new. */
function walkBack(v: Walk, bt: Backtrack, start: State, from: Step | undefined, after: number): boolean {
  let st = start;
  let step = from;
  let changed = false;
  for (;;) {
    while (st.parent && step === st.parent.hist) {
      st = st.parent;
      changed = markCheckpoint(bt, st) || changed;
      if (bt.empty) return changed;
    }
    if (!step) break;
    v.spend(1);
    if (!undo(v, bt, step, after)) {
      markAll(start);
      return true;
    }
    if (bt.empty) return changed;
    after = step.insn;
    step = step.prev;
  }
  // The start: only arguments of a global function may be left, which are unknown anyway.
  if (bt.frame === 0 && (bt.regs[0] & ~ARGS) === 0 && bt.lo[0] === 0 && bt.hi[0] === 0) return changed;
  markAll(start);
  return true;
}

/** The instruction being walked relies on the value of register `n`. */
export function markPrecise(v: Walk, n: number): void {
  if (!isScalar(v.cur.regs[n])) return;
  const bt = v.backtrack.start(v.cur.depth);
  bt.want(n);
  if (!bt.empty) walkBack(v, bt, v.cur, v.step.prev, v.pc);
}

/** The instruction being walked relies on the scalar spilled in a slot. */
export function markSlotPrecise(v: Walk, frame: number, slot: number): void {
  const bt = v.backtrack.start(v.cur.depth);
  bt.wantSlot(frame, slot);
  walkBack(v, bt, v.cur, v.step.prev, v.pc);
}

/** `cur` ended in `old`: what the paths below `old` relied on, `cur` must hold exactly. True when a mark was new. */
export function passPrecision(v: Walk, old: State, cur: State): boolean {
  const bt = v.backtrack.start(cur.depth);
  for (let f = 0; f < old.frames.length; f++) {
    bt.regs[f] = old.frames[f].precise;
    bt.lo[f] = old.frames[f].preciseLo;
    bt.hi[f] = old.frames[f].preciseHi;
  }
  if (bt.empty) return false;
  return walkBack(v, bt, cur, cur.hist, old.insn);
}
