/**
 * How scalars are made: a Draft is filled in, and `settle` sharpens bits and ranges by one another (kernel:
 * reg_bounds_sync) into an immutable Scalar.
 */
import {
  constant,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  Scalar,
  tnumOf,
  U32_MAX,
  UNKNOWN,
  within,
} from './scalar.js';
import {
  asSigned,
  asUnsigned,
  LOW32,
  TNUM_UNKNOWN,
  type Tnum,
  tnumDisjoint,
  tnumHigh,
  tnumIntersect,
  tnumLow,
  tnumRange,
  U64_MAX,
} from './tnum.js';

/** A scalar being worked out. Fields as in Scalar; `settle` makes it consistent and immutable. */
export class Draft {
  t: Tnum = TNUM_UNKNOWN;
  umin = 0n;
  umax = U64_MAX;
  smin = S64_MIN;
  smax = S64_MAX;
  u32min = 0;
  u32max = U32_MAX;
  s32min = S32_MIN;
  s32max = S32_MAX;

  static of(s: Scalar): Draft {
    const d = new Draft();
    d.t = { v: s.tv, m: s.tm };
    d.umin = s.umin;
    d.umax = s.umax;
    d.smin = s.smin;
    d.smax = s.smax;
    d.u32min = s.u32min;
    d.u32max = s.u32max;
    d.s32min = s.s32min;
    d.s32max = s.s32max;
    return d;
  }

  /** Forgets the 64-bit ranges. */
  loose64(): this {
    this.umin = 0n;
    this.umax = U64_MAX;
    this.smin = S64_MIN;
    this.smax = S64_MAX;
    return this;
  }

  /** Forgets the 32-bit ranges. */
  loose32(): this {
    this.u32min = 0;
    this.u32max = U32_MAX;
    this.s32min = S32_MIN;
    this.s32max = S32_MAX;
    return this;
  }
}

/** Takes bounds from the known bits. */
function boundsFromBits(d: Draft): void {
  const { v, m } = d.t;
  const top = v | m;
  const smin = asSigned(v | (m & (1n << 63n)));
  const smax = asSigned(v | (m & asUnsigned(S64_MAX)));
  if (smin > d.smin) d.smin = smin;
  if (smax < d.smax) d.smax = smax;
  if (v > d.umin) d.umin = v;
  if (top < d.umax) d.umax = top;
  const v32 = Number(v & LOW32);
  const m32 = Number(m & LOW32);
  const top32 = (v32 | m32) >>> 0;
  d.s32min = Math.max(d.s32min, v32 | (m32 & S32_MIN));
  d.s32max = Math.min(d.s32max, v32 | (m32 & S32_MAX));
  d.u32min = Math.max(d.u32min, v32);
  d.u32max = Math.min(d.u32max, top32);
}

/** 32-bit ranges from 64-bit ones, and u32 against s32. */
function deduce32(d: Draft): void {
  const narrow = (from: bigint, to: bigint): void => {
    const lo = Number(from & LOW32);
    const hi = Number(to & LOW32);
    const up = to >> 32n;
    const down = from >> 32n;
    if (up === down) {
      d.u32min = Math.max(d.u32min, lo);
      d.u32max = Math.min(d.u32max, hi);
      if ((lo | 0) <= (hi | 0)) {
        d.s32min = Math.max(d.s32min, lo | 0);
        d.s32max = Math.min(d.s32max, hi | 0);
      }
    } else if (up === down + 1n && (lo | 0) < 0 && (hi | 0) >= 0) {
      // The range wraps once around 2^32: seen as signed it does not wrap.
      d.s32min = Math.max(d.s32min, lo | 0);
      d.s32max = Math.min(d.s32max, hi | 0);
    }
  };
  if (d.umax - d.umin <= LOW32) narrow(d.umin, d.umax);
  if (d.smax - d.smin <= LOW32) narrow(d.smin, d.smax);
  if (d.s32min >>> 0 <= d.s32max >>> 0) {
    d.u32min = Math.max(d.u32min, d.s32min >>> 0);
    d.u32max = Math.min(d.u32max, d.s32max >>> 0);
  } else if (d.u32max < d.s32min >>> 0) {
    // Signed range crosses zero and the unsigned one lies in its non-negative part.
    d.s32min = Math.max(d.s32min, 0);
    d.u32max = Math.min(d.u32max, d.s32max);
  } else if (d.u32min > d.s32max) {
    d.s32max = Math.min(d.s32max, -1);
    d.u32min = Math.max(d.u32min, d.s32min >>> 0);
  }
  if ((d.u32min | 0) <= (d.u32max | 0)) {
    d.s32min = Math.max(d.s32min, d.u32min | 0);
    d.s32max = Math.min(d.s32max, d.u32max | 0);
  }
}

/** u64 against s64. */
function deduce64(d: Draft): void {
  const su = asUnsigned(d.smin);
  const eu = asUnsigned(d.smax);
  if (su <= eu) {
    if (su > d.umin) d.umin = su;
    if (eu < d.umax) d.umax = eu;
  } else if (d.umax < su) {
    if (d.smin < 0n) d.smin = 0n;
    if (d.smax < d.umax) d.umax = d.smax;
  } else if (d.umin > eu) {
    if (d.smax > -1n) d.smax = -1n;
    if (su > d.umin) d.umin = su;
  }
  const us = asSigned(d.umin);
  const ue = asSigned(d.umax);
  if (us <= ue) {
    if (us > d.smin) d.smin = us;
    if (ue < d.smax) d.smax = ue;
  }
}

/** 64-bit ranges from 32-bit ones. */
function deduceMixed(d: Draft): void {
  const lo = BigInt(d.u32min);
  const hi = BigInt(d.u32max);
  const umin = (d.umin & ~LOW32) | lo;
  const umax = (d.umax & ~LOW32) | hi;
  if (umin > d.umin) d.umin = umin;
  if (umax < d.umax) d.umax = umax;
  const smin = (d.smin & ~LOW32) | lo;
  const smax = (d.smax & ~LOW32) | hi;
  if (smin > d.smin) d.smin = smin;
  if (smax < d.smax) d.smax = smax;
  if (d.smin >= BigInt(S32_MIN) && d.smax <= BigInt(S32_MAX)) {
    if (BigInt(d.s32min) > d.smin) d.smin = BigInt(d.s32min);
    if (BigInt(d.s32max) < d.smax) d.smax = BigInt(d.s32max);
  }
}

/** Known bits from the ranges. */
function bitsFromBounds(d: Draft): void {
  const wide = tnumIntersect(d.t, tnumRange(d.umin, d.umax));
  const low = tnumIntersect(tnumLow(wide), tnumRange(BigInt(d.u32min), BigInt(d.u32max)));
  const high = tnumHigh(wide);
  d.t = { v: high.v | low.v, m: high.m | low.m };
}

const contradicts = (d: Draft): boolean =>
  d.umin > d.umax || d.smin > d.smax || d.u32min > d.u32max || d.s32min > d.s32max;

/**
 * Makes a draft consistent: each view sharpened by the others until the kernel's fixed number of rounds.
 * @returns null when the views contradict one another, i.e. no value is possible.
 */
export function trySettle(d: Draft): Scalar | null {
  boundsFromBits(d);
  for (let round = 0; round < 3; round++) {
    const { umin, umax, smin, smax, u32min, u32max, s32min, s32max } = d;
    deduce32(d);
    deduce64(d);
    deduceMixed(d);
    // Cheap exit: most drafts are stable after the first round.
    if (
      u32min === d.u32min &&
      u32max === d.u32max &&
      s32min === d.s32min &&
      s32max === d.s32max &&
      umin === d.umin &&
      umax === d.umax &&
      smin === d.smin &&
      smax === d.smax
    )
      break;
  }
  if (contradicts(d)) return null;
  if (
    tnumDisjoint(d.t, tnumRange(d.umin, d.umax)) ||
    tnumDisjoint(tnumLow(d.t), tnumRange(BigInt(d.u32min), BigInt(d.u32max)))
  )
    return null;
  bitsFromBounds(d);
  boundsFromBits(d);
  if (contradicts(d)) return null;
  if (d.t.m === 0n) return constant(d.t.v);
  if (
    d.t.m === U64_MAX &&
    d.umax === U64_MAX &&
    d.umin === 0n &&
    d.smin === S64_MIN &&
    d.smax === S64_MAX &&
    isLoose32(d)
  )
    return UNKNOWN;
  return share(d);
}

const SHARED_SLOTS = 1 << 14;
const shared: (Scalar | undefined)[] = new Array(SHARED_SLOTS).fill(undefined);

/** The same object as lately for the same value: the walk compares references first, and memo.ts only them. */
function share(d: Draft): Scalar {
  const { t, umin, umax, smin, smax, u32min, u32max, s32min, s32max } = d;
  const slot =
    (Math.imul(u32min, 0x9e3779b1) ^
      Math.imul(u32max, 0x85ebca6b) ^
      Math.imul(s32min, 0xc2b2ae35) ^
      Math.imul(s32max, 0x27d4eb2f) ^
      Math.imul(Number(t.m & LOW32), 0x165667b1)) >>>
    18;
  const s = shared[slot];
  if (
    s !== undefined &&
    s.u32min === u32min &&
    s.u32max === u32max &&
    s.s32min === s32min &&
    s.s32max === s32max &&
    s.tv === t.v &&
    s.tm === t.m &&
    s.umin === umin &&
    s.umax === umax &&
    s.smin === smin &&
    s.smax === smax
  )
    return s;
  return (shared[slot] = new Scalar(t.v, t.m, umin, umax, smin, smax, u32min, u32max, s32min, s32max));
}

const isLoose32 = (d: Draft): boolean =>
  d.u32min === 0 && d.u32max === U32_MAX && d.s32min === S32_MIN && d.s32max === S32_MAX;

/** For transfer functions, which cannot make an empty set out of a non-empty one; should views disagree all the same, nothing is known. */
export const settle = (d: Draft): Scalar => trySettle(d) ?? UNKNOWN;

/** Any value of `bytes` bytes as a load gives it: zero-extended, or sign-extended to 64 bits. */
export function loadRange(bytes: 1 | 2 | 4 | 8, signed = false): Scalar {
  return signed ? SIGNED_LOADS[bytes] : LOADS[bytes];
}

export function fromUnsigned(min: bigint, max: bigint): Scalar {
  const d = new Draft();
  d.umin = min;
  d.umax = max;
  return settle(d);
}

export function fromSigned(min: bigint, max: bigint): Scalar {
  const d = new Draft();
  d.smin = min;
  d.smax = max;
  return settle(d);
}

const LOADS = {
  1: fromUnsigned(0n, 0xffn),
  2: fromUnsigned(0n, 0xffffn),
  4: fromUnsigned(0n, LOW32),
  8: UNKNOWN,
} as const;
const SIGNED_LOADS = {
  1: fromSigned(-128n, 127n),
  2: fromSigned(-32768n, 32767n),
  4: fromSigned(BigInt(S32_MIN), BigInt(S32_MAX)),
  8: UNKNOWN,
} as const;

/** What may be in both; null when nothing can. */
export function intersect(a: Scalar, b: Scalar): Scalar | null {
  if (a === b) return a;
  if (tnumDisjoint(tnumOf(a), tnumOf(b))) return null;
  const d = Draft.of(a);
  d.t = tnumIntersect(d.t, tnumOf(b));
  if (b.umin > d.umin) d.umin = b.umin;
  if (b.umax < d.umax) d.umax = b.umax;
  if (b.smin > d.smin) d.smin = b.smin;
  if (b.smax < d.smax) d.smax = b.smax;
  d.u32min = Math.max(d.u32min, b.u32min);
  d.u32max = Math.min(d.u32max, b.u32max);
  d.s32min = Math.max(d.s32min, b.s32min);
  d.s32max = Math.min(d.s32max, b.s32max);
  return trySettle(d);
}

/** The smallest scalar of this domain that holds both. */
export function union(a: Scalar, b: Scalar): Scalar {
  if (within(a, b)) return a;
  if (within(b, a)) return b;
  const d = new Draft();
  const m = a.tm | b.tm | (a.tv ^ b.tv);
  d.t = { v: a.tv & ~m, m };
  d.umin = a.umin < b.umin ? a.umin : b.umin;
  d.umax = a.umax > b.umax ? a.umax : b.umax;
  d.smin = a.smin < b.smin ? a.smin : b.smin;
  d.smax = a.smax > b.smax ? a.smax : b.smax;
  d.u32min = Math.min(a.u32min, b.u32min);
  d.u32max = Math.max(a.u32max, b.u32max);
  d.s32min = Math.min(a.s32min, b.s32min);
  d.s32max = Math.max(a.s32max, b.s32max);
  return settle(d);
}
