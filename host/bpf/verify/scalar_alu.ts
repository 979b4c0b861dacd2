/**
 * Transfer functions of the scalar domain: what ALU instructions do to ranges and known bits
 * (kernel: adjust_scalar_min_max_vals). As precise as the kernel, not more: a program that the kernel
 * refuses for want of precision is refused here too. Pure functions over immutable scalars.
 */
import { Alu } from '../insn.js';
import { Memo } from './memo.js';
import {
  constant,
  constValue,
  isConst,
  isConst32,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  type Scalar,
  tnumOf,
  U32_MAX,
  UNKNOWN,
} from './scalar.js';
import { Draft, settle } from './scalar_draft.js';
import { zext32 } from './scalar_width.js';
import {
  asUnsigned,
  LOW32,
  type Tnum,
  tnumAdd,
  tnumAnd,
  tnumArsh,
  tnumLow,
  tnumLsh,
  tnumMul,
  tnumOr,
  tnumRsh,
  tnumSub,
  tnumXor,
  U64_MAX,
} from './tnum.js';

const inS64 = (n: bigint): boolean => n >= S64_MIN && n <= S64_MAX;
const inS32 = (n: number): boolean => n >= S32_MIN && n <= S32_MAX;

function add(d: Draft, a: Scalar, b: Scalar): void {
  d.t = tnumAdd(tnumOf(a), tnumOf(b));
  const umin = a.umin + b.umin;
  const umax = a.umax + b.umax;
  // Both ends wrap or none does: the range stays one interval.
  if (umin > U64_MAX === umax > U64_MAX) {
    d.umin = asUnsigned(umin);
    d.umax = asUnsigned(umax);
  }
  const smin = a.smin + b.smin;
  const smax = a.smax + b.smax;
  if (inS64(smin) && inS64(smax)) {
    d.smin = smin;
    d.smax = smax;
  }
  add32(d, a, b);
}

function add32(d: Draft, a: Scalar, b: Scalar): void {
  const umin = a.u32min + b.u32min;
  const umax = a.u32max + b.u32max;
  if (umin > U32_MAX === umax > U32_MAX) {
    d.u32min = umin >>> 0;
    d.u32max = umax >>> 0;
  }
  const smin = a.s32min + b.s32min;
  const smax = a.s32max + b.s32max;
  if (inS32(smin) && inS32(smax)) {
    d.s32min = smin;
    d.s32max = smax;
  }
}

function sub(d: Draft, a: Scalar, b: Scalar): void {
  d.t = tnumSub(tnumOf(a), tnumOf(b));
  const umin = a.umin - b.umax;
  const umax = a.umax - b.umin;
  if (umin < 0n === umax < 0n) {
    d.umin = asUnsigned(umin);
    d.umax = asUnsigned(umax);
  }
  const smin = a.smin - b.smax;
  const smax = a.smax - b.smin;
  if (inS64(smin) && inS64(smax)) {
    d.smin = smin;
    d.smax = smax;
  }
  sub32(d, a, b);
}

function sub32(d: Draft, a: Scalar, b: Scalar): void {
  const umin = a.u32min - b.u32max;
  const umax = a.u32max - b.u32min;
  if (umin < 0 === umax < 0) {
    d.u32min = umin >>> 0;
    d.u32max = umax >>> 0;
  }
  const smin = a.s32min - b.s32max;
  const smax = a.s32max - b.s32min;
  if (inS32(smin) && inS32(smax)) {
    d.s32min = smin;
    d.s32max = smax;
  }
}

const least = (...ns: bigint[]): bigint => ns.reduce((a, b) => (b < a ? b : a));
const most = (...ns: bigint[]): bigint => ns.reduce((a, b) => (b > a ? b : a));

function mul(d: Draft, a: Scalar, b: Scalar): void {
  d.t = tnumMul(tnumOf(a), tnumOf(b));
  const umax = a.umax * b.umax;
  if (umax <= U64_MAX) {
    d.umin = a.umin * b.umin;
    d.umax = umax;
  }
  const ends = [a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax];
  if (ends.every(inS64)) {
    d.smin = least(...ends);
    d.smax = most(...ends);
  }
  mul32(d, a, b);
}

function mul32(d: Draft, a: Scalar, b: Scalar): void {
  const umax = BigInt(a.u32max) * BigInt(b.u32max);
  if (umax <= LOW32) {
    d.u32min = a.u32min * b.u32min;
    d.u32max = Number(umax);
  }
  // Products of two 32-bit numbers may pass 2^53: exactness matters only below 2^31, where doubles are exact.
  const ends = [a.s32min * b.s32min, a.s32min * b.s32max, a.s32max * b.s32min, a.s32max * b.s32max];
  if (ends.every(inS32)) {
    // `+ 0` turns a −0 into 0.
    d.s32min = Math.min(...ends) + 0;
    d.s32max = Math.max(...ends) + 0;
  }
}

function bitwise(d: Draft, op: number, a: Scalar, b: Scalar): void {
  const combine = op === Alu.AND ? tnumAnd : op === Alu.OR ? tnumOr : tnumXor;
  d.t = combine(tnumOf(a), tnumOf(b));
  const low = tnumLow(d.t);
  d.umin = d.t.v;
  d.umax = d.t.v | d.t.m;
  d.u32min = Number(low.v);
  d.u32max = Number(low.v | low.m);
  if (op === Alu.AND) {
    d.umax = least(d.umax, a.umax, b.umax);
    d.u32max = Math.min(d.u32max, a.u32max, b.u32max);
  } else if (op === Alu.OR) {
    d.umin = most(d.umin, a.umin, b.umin);
    d.u32min = Math.max(d.u32min, a.u32min, b.u32min);
  }
}

/** Shifts by a constant; the caller has seen that it is one and below the width. */
function lsh64(d: Draft, a: Scalar, by: bigint): void {
  d.t = tnumLsh(tnumOf(a), by);
  if (a.umax <= U64_MAX >> by) {
    d.umin = a.umin << by;
    d.umax = a.umax << by;
  }
  const smin = a.smin << by;
  const smax = a.smax << by;
  if (inS64(smin) && inS64(smax)) {
    d.smin = smin;
    d.smax = smax;
  } else if (by === 32n) {
    // First half of the sign-extension idiom: << 32 then s>> 32 keeps the s32 range.
    d.smin = BigInt(a.s32min) << 32n;
    d.smax = BigInt(a.s32max) << 32n;
  }
}

function rsh64(d: Draft, a: Scalar, by: bigint): void {
  d.t = tnumRsh(tnumOf(a), by);
  d.umin = a.umin >> by;
  d.umax = a.umax >> by;
}

function arsh64(d: Draft, a: Scalar, by: bigint): void {
  d.t = tnumArsh(tnumOf(a), by, 64);
  d.smin = a.smin >> by;
  d.smax = a.smax >> by;
}

function shift32(d: Draft, op: number, a: Scalar, by: number): void {
  const low = tnumLow(tnumOf(a));
  if (op === Alu.LSH) {
    d.t = tnumLow(tnumLsh(low, BigInt(by)));
    if (a.u32max <= U32_MAX >>> by) {
      d.u32min = (a.u32min << by) >>> 0;
      d.u32max = (a.u32max << by) >>> 0;
    }
  } else if (op === Alu.RSH) {
    d.t = tnumRsh(low, BigInt(by));
    d.u32min = a.u32min >>> by;
    d.u32max = a.u32max >>> by;
  } else {
    d.t = tnumArsh(low, BigInt(by), 32);
    d.s32min = a.s32min >> by;
    d.s32max = a.s32max >> by;
  }
}

const UNKNOWN_32 = ((): Scalar => {
  const d = new Draft();
  d.umax = LOW32;
  return settle(d);
})();

function concrete(op: number, is64: boolean, a: bigint, b: bigint): bigint | undefined {
  const width = is64 ? 64 : 32;
  switch (op) {
    case Alu.ADD:
      return a + b;
    case Alu.SUB:
      return a - b;
    case Alu.MUL:
      return a * b;
    case Alu.AND:
      return a & b;
    case Alu.OR:
      return a | b;
    case Alu.XOR:
      return a ^ b;
    case Alu.NEG:
      return -a;
    case Alu.LSH:
    case Alu.RSH:
    case Alu.ARSH: {
      const by = BigInt.asUintN(width, b);
      if (by >= BigInt(width)) return undefined;
      if (op === Alu.LSH) return a << by;
      return op === Alu.RSH ? BigInt.asUintN(width, a) >> by : BigInt.asIntN(width, a) >> by;
    }
    default:
      return undefined;
  }
}

/**
 * `dst op= src` for two scalars; NEG ignores `src`. MOV and END are not ALU here (assign, endScalar).
 * Division and modulo, and shifts by what is not a constant below the width, give an unknown, as in the kernel.
 */
export function aluScalar(op: number, is64: boolean, dst: Scalar, src: Scalar): Scalar {
  return results.get(op | (is64 ? 1 : 0), dst, src);
}

const results = new Memo((key, dst, src) => workOut(key & 0xf0, (key & 1) !== 0, dst, src));

function workOut(op: number, is64: boolean, dst: Scalar, src: Scalar): Scalar {
  const bothConst = is64 ? isConst(dst) && isConst(src) : isConst32(dst) && isConst32(src);
  if (bothConst || (op === Alu.NEG && (is64 ? isConst(dst) : isConst32(dst)))) {
    const v = concrete(op, is64, constValue(dst), constValue(src));
    if (v === undefined) return is64 || op === Alu.DIV || op === Alu.MOD ? UNKNOWN : UNKNOWN_32;
    return constant(is64 ? v : BigInt.asUintN(32, v));
  }
  const d = new Draft();
  const width = is64 ? 64 : 32;
  switch (op) {
    case Alu.ADD:
      is64 ? add(d, dst, src) : add32(low32(d, tnumAdd, dst, src), dst, src);
      break;
    case Alu.SUB:
      is64 ? sub(d, dst, src) : sub32(low32(d, tnumSub, dst, src), dst, src);
      break;
    case Alu.NEG: {
      const zero = constant(0n);
      is64 ? sub(d, zero, dst) : sub32(low32(d, tnumSub, zero, dst), zero, dst);
      break;
    }
    case Alu.MUL:
      is64 ? mul(d, dst, src) : mul32(low32(d, tnumMul, dst, src), dst, src);
      break;
    case Alu.AND:
    case Alu.OR:
    case Alu.XOR:
      bitwise(d, op, is64 ? dst : zext32(dst), is64 ? src : zext32(src));
      break;
    case Alu.LSH:
    case Alu.RSH:
    case Alu.ARSH: {
      const known = is64 ? isConst(src) : isConst32(src);
      const by = is64 ? src.tv : src.tv & LOW32;
      if (!known || by >= BigInt(width)) return is64 ? UNKNOWN : UNKNOWN_32;
      if (!is64) shift32(d, op, dst, Number(by));
      else if (op === Alu.LSH) lsh64(d, dst, by);
      else if (op === Alu.RSH) rsh64(d, dst, by);
      else arsh64(d, dst, by);
      break;
    }
    default:
      // DIV and MOD. The kernel forgets the upper half, too, of the 32-bit ones.
      return UNKNOWN;
  }
  if (!is64) {
    d.t = tnumLow(d.t);
    d.loose64();
    d.umax = LOW32;
  }
  return settle(d);
}

/** Known bits of a 32-bit operation. */
function low32(d: Draft, op: (a: Tnum, b: Tnum) => Tnum, a: Scalar, b: Scalar): Draft {
  d.t = tnumLow(op(tnumLow(tnumOf(a)), tnumLow(tnumOf(b))));
  return d;
}
