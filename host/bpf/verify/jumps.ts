/**
 * Conditional jumps: which ways are possible, and what each teaches about registers
 * (kernel: check_cond_jmp_op, try_match_pkt_pointers, mark_ptr_or_null_regs, sync_linked_regs).
 */
import { Class, classOf, type Insn, Jmp, SRC_X } from '../insn.js';
import { jumpTarget } from './cfg.js';
import { markPrecise } from './precision.js';
import { previousEntry, widen } from './prune.js';
import {
  AT_PACKET_END,
  BEYOND_PACKET_END,
  Flag,
  isNonNull,
  isNull,
  isNullable,
  isPointer,
  isScalar,
  Kind,
  nonNull,
  type Reg,
  scalarReg,
  withScalar,
  withSize,
  ZERO_S,
} from './regs.js';
import { constant, type Scalar } from './scalar.js';
import { aluScalar } from './scalar_alu.js';
import { branchTaken, refine } from './scalar_jump.js';
import { isSpill, withReg } from './stack.js';
import { Hist, type LinkedRef, type State } from './state.js';
import type { Walk } from './walk.js';

/** MAX_PACKET_OFF. */
export const MAX_PACKET_OFF = 0xffff;
/** LINKED_REGS_MAX: more copies of one scalar than that are let go. */
const MAX_LINKED = 6;
const ADD = 0x00;

/** Puts `change`'s answer in the place of every register and spilled register of a state. */
export function mapRegs(state: State, change: (r: Reg) => Reg): void {
  for (const frame of state.frames) {
    for (let i = 0; i < 10; i++) {
      const r = frame.regs[i];
      if (r.kind !== Kind.NONE) frame.regs[i] = change(r);
    }
    for (let i = 0; i < frame.stack.length; i++) {
      const s = frame.stack[i];
      if (isSpill(s)) frame.stack[i] = withReg(s, change(s.reg!));
    }
  }
}

/** Jump operations with their operands swapped. */
const FLIPPED: Record<number, number> = {
  [Jmp.JGT]: Jmp.JLT,
  [Jmp.JLT]: Jmp.JGT,
  [Jmp.JGE]: Jmp.JLE,
  [Jmp.JLE]: Jmp.JGE,
};

/** 1: taken, 0: not, −1: not known. */
function decide(op: number, wide: boolean, dst: Reg, src: Reg): 1 | 0 | -1 {
  if (isScalar(dst) && isScalar(src)) return branchTaken(op, wide, dst.s, src.s);
  if (wide && isPointer(dst) && isPointer(src)) {
    if (src.kind === Kind.PACKET_END && dst.kind === Kind.PACKET) return decideEnd(op, dst);
    if (dst.kind === Kind.PACKET_END && src.kind === Kind.PACKET) return decideEnd(FLIPPED[op] ?? op, src);
    return -1;
  }
  if (!wide) return -1;
  const [ptr, other] = isPointer(dst) ? [dst, src] : [src, dst];
  if (!isNull(other) || !isNonNull(ptr)) return -1;
  return op === Jmp.JEQ ? 0 : op === Jmp.JNE ? 1 : -1;
}

/** pkt <op> data_end, where an earlier comparison settled it. */
function decideEnd(op: number, pkt: Reg): 1 | 0 | -1 {
  if (pkt.size >= 0) return -1;
  if (op === Jmp.JLE || op === Jmp.JGT) return pkt.size === BEYOND_PACKET_END ? (op === Jmp.JGT ? 1 : 0) : -1;
  if (op === Jmp.JLT || op === Jmp.JGE) return op === Jmp.JGE ? 1 : 0;
  return -1;
}

/** Bytes of the packet that a comparison proved, for every pointer with the same variable offset. */
function provePacket(state: State, ptr: Reg, rightOpen: boolean): void {
  if (ptr.off < 0 || (ptr.off === 0 && rightOpen)) return;
  if (ptr.s.umax > BigInt(MAX_PACKET_OFF) || ptr.s.umax + BigInt(ptr.off) > BigInt(MAX_PACKET_OFF)) return;
  const range = ptr.off + (rightOpen ? 1 : 0);
  mapRegs(state, r => (r.kind === ptr.kind && r.id === ptr.id && r.size < range ? withSize(r, range) : r));
}

/** What is known of the compared pointer itself on the way where it is not before the end. */
function atEnd(state: State, n: number, beyond: boolean): void {
  const r = state.regs[n];
  if (r.kind === Kind.PACKET) state.regs[n] = withSize(r, beyond ? BEYOND_PACKET_END : AT_PACKET_END);
}

const isInitPacket = (r: Reg): boolean =>
  r.kind === Kind.PACKET && r.id === 0 && r.off === 0 && r.s === ZERO_S;
const measures = (pkt: Reg, end: Reg): boolean =>
  (pkt.kind === Kind.PACKET && end.kind === Kind.PACKET_END) ||
  (pkt.kind === Kind.PACKET_META && isInitPacket(end));

/** pkt <op> end: `yes` is the state where it holds, `no` the other. */
function learnPacket(op: number, n: number, pkt: Reg, yes: State, no: State): void {
  // The order matters: the pointer's own mark comes after the ranges of its relatives.
  switch (op) {
    case Jmp.JGT:
      provePacket(no, pkt, false);
      return atEnd(yes, n, true);
    case Jmp.JLT:
      provePacket(yes, pkt, true);
      return atEnd(no, n, false);
    case Jmp.JGE:
      provePacket(no, pkt, true);
      return atEnd(yes, n, false);
    case Jmp.JLE:
      provePacket(yes, pkt, false);
      return atEnd(no, n, true);
  }
}

/** Every register of that id is what `isNullNow` says. */
export function settleNull(state: State, n: number, isNullNow: boolean): void {
  const { id, ref, kind } = state.regs[n];
  const matches = (r: Reg): boolean => isNullable(r) && r.kind === kind && r.id === id;
  // A reference that is NULL was never acquired.
  if (isNullNow && ref) state.refs = state.refs.filter(r => r.id !== ref);
  mapRegs(state, r => (matches(r) ? (isNullNow ? scalarReg(constant(0n)) : nonNull(r)) : r));
}

/** Where the scalars that share an id are. Beyond six they are let go, as the kernel does. */
function collectLinked(state: State, id: number, found: LinkedRef[]): void {
  state.frames.forEach((frame, f) => {
    for (let i = 0; i < 10; i++) {
      const r = frame.regs[i];
      if (r.kind !== Kind.SCALAR || r.id !== id) continue;
      if (found.length < MAX_LINKED) found.push({ frame: f, index: i, inStack: false });
      else frame.regs[i] = scalarReg(r.s);
    }
    for (let i = 0; i < frame.stack.length; i++) {
      const s = frame.stack[i];
      if (!isSpill(s) || s.reg!.kind !== Kind.SCALAR || s.reg!.id !== id) continue;
      if (found.length < MAX_LINKED) found.push({ frame: f, index: i, inStack: true });
      else frame.stack[i] = withReg(s, scalarReg(s.reg!.s));
    }
  });
}

/** The value of `r` when `known` of the same id has a new one. */
function follow(r: Reg, known: Reg): Reg {
  if (r === known) return r;
  const linkedAlike =
    !((r.flags | known.flags) & Flag.ADD_CONST) || (r.flags === known.flags && r.off === known.off);
  if (linkedAlike) return known;
  const distance = (r.flags & Flag.ADD_CONST ? r.off : 0) - (known.flags & Flag.ADD_CONST ? known.off : 0);
  return withScalar(r, aluScalar(ADD, true, known.s, constant(BigInt(distance))));
}

/** One of several linked scalars became better known. */
function syncLinked(state: State, known: Reg, linked: readonly LinkedRef[]): void {
  for (const l of linked) {
    const frame = state.frames[l.frame];
    if (l.inStack) {
      const s = frame.stack[l.index];
      if (isSpill(s) && s.reg!.kind === Kind.SCALAR && s.reg!.id === known.id)
        frame.stack[l.index] = withReg(s, follow(s.reg!, known));
    } else {
      const r = frame.regs[l.index];
      if (r.kind === Kind.SCALAR && r.id === known.id) frame.regs[l.index] = follow(r, known);
    }
  }
}

/** Both scalars are what this way of the jump leaves of them. */
function applyRefined(
  state: State,
  insn: Insn,
  refined: [Scalar, Scalar],
  linked: readonly LinkedRef[],
): void {
  const regs = state.regs;
  const x = (insn.op & SRC_X) !== 0;
  const dst = withScalar(regs[insn.dst], refined[0]);
  if (x) {
    const src = withScalar(regs[insn.src], refined[1]);
    regs[insn.src] = src;
    regs[insn.dst] = insn.dst === insn.src ? src : dst;
    if (src.id) syncLinked(state, src, linked);
    if (regs[insn.dst].id) syncLinked(state, regs[insn.dst], linked);
  } else {
    regs[insn.dst] = dst;
    if (dst.id) syncLinked(state, dst, linked);
  }
}

function mayGoto(v: Walk, insn: Insn): void {
  const stay = v.cur.clone();
  stay.mayGoto++;
  const before = previousEntry(v.cur.parent?.insn === v.pc ? v.cur.parent.parent : v.cur.parent, v.cur, v.pc);
  if (before) widen(before, stay);
  v.facts.branch(v.pc, true, true);
  v.push(stay, v.pc + 1);
  v.next = jumpTarget(insn, v.pc);
}

export function walkJump(v: Walk, insn: Insn): void {
  const op = insn.op & 0xf0;
  if (op === Jmp.JCOND) return mayGoto(v, insn);
  const x = (insn.op & SRC_X) !== 0;
  const wide = classOf(insn.op) === Class.JMP;
  const target = jumpTarget(insn, v.pc);
  const dst = v.read(insn.dst);
  const src = x ? v.read(insn.src) : scalarReg(constant(wide ? BigInt(insn.imm) : BigInt(insn.imm >>> 0)));
  if (isPointer(dst)) v.step.flags |= Hist.DST_POINTER;
  if (x && isPointer(src)) v.step.flags |= Hist.SRC_POINTER;

  const scalars = isScalar(dst) && isScalar(src);
  let way = decide(op, wide, dst, src);
  let yes: [Scalar, Scalar] | null = null;
  let no: [Scalar, Scalar] | null = null;
  if (way < 0 && scalars) {
    yes = refine(op, wide, dst.s, src.s, true);
    no = refine(op, wide, dst.s, src.s, false);
    // A way that no value can go is no way.
    if (!yes) way = 0;
    else if (!no) way = 1;
  }
  if (way >= 0) {
    markPrecise(v, insn.dst);
    if (x) markPrecise(v, insn.src);
    v.facts.branch(v.pc, way === 1, way === 0);
    if (way === 1) v.next = target;
    return;
  }
  v.facts.branch(v.pc, true, true);

  const linked: LinkedRef[] = [];
  if (x && isScalar(src) && src.id) collectLinked(v.cur, src.id, linked);
  if (isScalar(dst) && dst.id && dst.id !== (x ? src.id : 0)) collectLinked(v.cur, dst.id, linked);
  if (linked.length > 1) v.step.linked = linked;

  const here = v.cur;
  const there = here.clone();
  if (scalars && yes && no) {
    applyRefined(there, insn, yes, linked);
    applyRefined(here, insn, no, linked);
  } else if (x && wide && isPointer(dst) && isPointer(src)) {
    comparePointers(insn, op, dst, src, here, there);
  } else if (wide && isNullable(dst) && isNull(src) && !x && (op === Jmp.JEQ || op === Jmp.JNE)) {
    settleNull(here, insn.dst, op === Jmp.JNE);
    settleNull(there, insn.dst, op === Jmp.JEQ);
  }
  v.push(there, target);
}

function comparePointers(insn: Insn, op: number, dst: Reg, src: Reg, here: State, there: State): void {
  if (measures(dst, src)) return learnPacket(op, insn.dst, dst, there, here);
  if (measures(src, dst)) return learnPacket(FLIPPED[op] ?? op, insn.src, src, there, here);
  // Equal to a pointer that is not NULL: not NULL itself.
  const equal = op === Jmp.JEQ ? there : op === Jmp.JNE ? here : undefined;
  if (!equal || isNullable(dst) === isNullable(src)) return;
  const [n, other] = isNullable(dst) ? [insn.dst, src] : [insn.src, dst];
  if (isNonNull(other)) equal.regs[n] = nonNull(equal.regs[n]);
}
