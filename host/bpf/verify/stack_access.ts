/**
 * Loads and stores of the stack: spills and fills, partial ones, variable offsets, helpers' buffers
 * (kernel: check_stack_read, check_stack_write, check_stack_range_initialized).
 */

import { MAX_OFF } from './alu.js';
import { markPrecise } from './precision.js';
import {
  constReg,
  constVar,
  isNull,
  isPointer,
  isScalar,
  Kind,
  type Reg,
  scalarReg,
  UNKNOWN_REG,
  withId,
  withScalar,
  ZERO_S,
} from './regs.js';
import { isConst } from './scalar.js';
import { truncate } from './scalar_width.js';
import {
  Byte,
  byteOf,
  isScalarSpill,
  isSpill,
  STACK_BYTES,
  scrub,
  slotOf,
  spill,
  spillSize,
  typeAt,
  unlinked,
  withReg,
  write,
} from './stack.js';
import { type Frame, Hist } from './state.js';
import type { Walk } from './walk.js';

/** First and last offset that an access through `r` may start at. */
export interface Range {
  min: number;
  max: number;
}

export const frameOf = (v: Walk, r: Reg): Frame => v.cur.frames[r.size];

/** Checks that every byte lies in the frame's 512, and notes how deep the stack gets. */
export function stackRange(v: Walk, n: number, r: Reg, off: number, size: number): Range {
  if (r.s === ZERO_S) {
    const at = r.off + off;
    if (at >= -STACK_BYTES && at + size <= 0) {
      noteDepth(v, r, at);
      return { min: at, max: at };
    }
  }
  const fixed = constVar(r);
  let min: bigint;
  let max: bigint;
  if (fixed !== undefined) min = max = BigInt(fixed) + BigInt(r.off + off);
  else {
    if (r.s.smax >= MAX_OFF || r.s.smin <= -MAX_OFF)
      v.fail('stack-bounds', `r${n} points anywhere around the stack: its offset has no bounds`);
    min = r.s.smin + BigInt(r.off + off);
    max = r.s.smax + BigInt(r.off + off);
  }
  if (min < -STACK_BYTES || max + BigInt(size) > 0n) {
    const where = min === max ? `${min}` : `${min} to ${max}`;
    v.fail(
      'stack-bounds',
      `${size} bytes at fp${where.startsWith('-') ? '' : '+'}${where}; the stack is fp-512 to fp-1`,
    );
  }
  noteDepth(v, r, Number(min));
  return { min: Number(min), max: Number(max) };
}

function noteDepth(v: Walk, r: Reg, at: number): void {
  const sub = v.cfg.subprogs[frameOf(v, r).subprog];
  if (-at > sub.stackDepth) sub.stackDepth = (7 - at) & ~7;
}

/** Stores register `n` (undefined: an immediate) of `size` bytes at a fixed offset. */
export function storeFixed(
  v: Walk,
  frame: Frame,
  index: number,
  off: number,
  size: number,
  value: Reg | undefined,
  n: number,
): void {
  const at = slotOf(off);
  const byte = byteOf(off);
  const old = frame.slot(at);
  if (size === 8) frame.markWritten(at);
  if (value && byte === 0 && isScalar(value)) {
    // An immediate (n < 0) has no maker to look for beyond this store.
    const fits = size === 8 || value.s.umax < 1n << BigInt(size * 8);
    let kept = value;
    if (n >= 0 && value.id === 0 && fits && !isConst(value.s)) {
      kept = withId(value, v.newId());
      v.cur.regs[n] = kept;
    }
    frame.setSlot(at, spill(old, fits ? kept : unlinked(value), size));
    noteStack(v, index, at);
    return;
  }
  if (value && isPointer(value)) {
    if (size !== 8) v.fail('stack-spill', `r${n} is a pointer: it is spilled as 8 bytes at a multiple of 8`);
    if (value.kind === Kind.STACK && index !== v.cur.depth)
      v.fail('stack-spill', `r${n} points into the stack: it cannot be spilled into the stack of the caller`);
    frame.setSlot(at, spill(old, value, 8));
    noteStack(v, index, at);
    return;
  }
  let type: number = Byte.MISC;
  if (value && isNull(value)) {
    // Zero bytes carry no precision of their own: what made them zero must be exact.
    if (n >= 0) markPrecise(v, n);
    type = Byte.ZERO;
  }
  frame.setSlot(at, write(old, byte, size, type));
}

function noteStack(v: Walk, frame: number, slot: number): void {
  const step = v.step;
  step.flags |= Hist.STACK;
  step.frame = frame;
  step.slot = slot;
}

/** Stores at an offset that is only known as a range: any byte of it may have changed. */
export function storeVariable(
  v: Walk,
  frame: Frame,
  range: Range,
  size: number,
  value: Reg | undefined,
  n: number,
): void {
  const zero = value !== undefined && isNull(value);
  let usedZero = false;
  for (let off = range.min; off < range.max + size; off++) {
    const at = slotOf(off);
    const byte = byteOf(off);
    const old = frame.slot(at);
    if (zero && isScalarSpill(old) && typeAt(old, byte) === Byte.SPILL && isNull(old.reg!)) {
      usedZero = true;
      continue;
    }
    const stays = zero && typeAt(old, byte) === Byte.ZERO;
    if (stays) usedZero = true;
    frame.setSlot(at, write(old, byte, 1, stays ? Byte.ZERO : Byte.MISC));
  }
  if (usedZero && n >= 0) markPrecise(v, n);
}

/** Loads `size` bytes at a fixed offset into register `dst`. */
export function loadFixed(
  v: Walk,
  frame: Frame,
  index: number,
  off: number,
  size: number,
  dst: number,
): void {
  const at = slotOf(off);
  const byte = byteOf(off);
  const s = frame.slot(at);
  const regs = v.cur.regs;
  frame.markSlotRead(at);
  if (isSpill(s)) {
    const spilled = spillSize(s);
    if (size === 8 && spilled === 8) {
      regs[dst] = fill(v, frame, at, size);
      noteStack(v, index, at);
      return;
    }
    if (isPointer(s.reg!))
      v.fail('stack-spill', `a pointer is spilled at fp${-8 * (at + 1)}: it is loaded as 8 bytes`);
    if (byte === 0 && size <= spilled) {
      const whole = fill(v, frame, at, size);
      const s2 = truncate(whole.s, size as 1 | 2 | 4);
      regs[dst] = whole.s.umax < 1n << BigInt(size * 8) ? withScalar(whole, s2) : scalarReg(s2);
      noteStack(v, index, at);
      return;
    }
  }
  let zeros = 0;
  let spills = 0;
  for (let i = byte; i < byte + size; i++) {
    const t = typeAt(s, i);
    if (t === Byte.ZERO) zeros++;
    else if (t === Byte.SPILL) spills++;
  }
  if (zeros === size) regs[dst] = constReg(0n);
  else if (spills === size && isNull(s.reg!)) {
    regs[dst] = constReg(0n);
    noteStack(v, index, at);
  } else regs[dst] = UNKNOWN_REG;
}

/** The spilled register; an unknown scalar gets an id that slot and register share. */
function fill(v: Walk, frame: Frame, at: number, size: number): Reg {
  const s = frame.slot(at);
  let r = s.reg!;
  if (!isScalar(r)) return r;
  if (r.flags) r = unlinked(r);
  if (r.id === 0 && !isConst(r.s) && (size === 8 || r.s.umax < 1n << BigInt(size * 8)))
    r = withId(r, v.newId());
  frame.stack[at] = withReg(s, r);
  return r;
}

/** Loads at an offset that is only known as a range. */
export function loadVariable(v: Walk, frame: Frame, range: Range, size: number, dst: number): void {
  readBytes(v, frame, range.min, range.max + size - range.min, false);
  let zero = true;
  for (let off = range.min; zero && off < range.max + size; off++)
    zero = typeAt(frame.slot(slotOf(off)), byteOf(off)) === Byte.ZERO;
  v.cur.regs[dst] = zero ? constReg(0n) : UNKNOWN_REG;
}

/** A helper (or a load whose place varies) reads `size` bytes, and may overwrite them. */
export function readBytes(_v: Walk, frame: Frame, min: number, size: number, clobber: boolean): void {
  for (let off = min; off < min + size; off++) {
    const at = slotOf(off);
    const byte = byteOf(off);
    frame.markSlotRead(at);
    if (!clobber) continue;
    const s = frame.slot(at);
    frame.setSlot(at, write(isSpill(s) ? scrub(s) : s, byte, 1, Byte.MISC));
  }
}

/** A helper fills `size` bytes that need not have held anything. */
export function overwriteBytes(_v: Walk, frame: Frame, min: number, size: number): void {
  for (let off = min; off < min + size; off++) {
    const at = slotOf(off);
    if (byteOf(off) === 0 && off + 8 <= min + size) {
      frame.markWritten(at);
      frame.setSlot(at, scrubbed);
      off += 7;
    } else frame.setSlot(at, write(frame.slot(at), byteOf(off), 1, Byte.MISC));
  }
}

const scrubbed = write(spill({ types: 0, reg: undefined }, UNKNOWN_REG, 8), 0, 8, Byte.MISC);
