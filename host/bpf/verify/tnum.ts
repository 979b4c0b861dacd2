/**
 * Tristate numbers: a 64-bit value of which some bits are known (kernel/bpf/tnum.c; Vishwanathan et al., CGO 2022).
 * `v` holds the known bits, `m` has a 1 for each unknown bit; v & m = 0; both are unsigned 64-bit bigints.
 */
export interface Tnum {
  readonly v: bigint;
  readonly m: bigint;
}

const U64 = (n: bigint): bigint => BigInt.asUintN(64, n);
const S64 = (n: bigint): bigint => BigInt.asIntN(64, n);
export const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const LOW32 = 0xffff_ffffn;

export const tnum = (v: bigint, m: bigint): Tnum => ({ v, m });
export const TNUM_UNKNOWN: Tnum = { v: 0n, m: U64_MAX };

/** Bits needed to write `n`. */
function bitLength(n: bigint): number {
  const high = Number(n >> 32n);
  return high ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(n & LOW32));
}

/** The tightest tnum that holds every value from `min` to `max` (unsigned). */
export function tnumRange(min: bigint, max: bigint): Tnum {
  const differing = bitLength(min ^ max);
  if (differing >= 64) return TNUM_UNKNOWN;
  const unknown = (1n << BigInt(differing)) - 1n;
  return { v: min & ~unknown, m: unknown };
}

export function tnumAdd(a: Tnum, b: Tnum): Tnum {
  const masks = a.m + b.m;
  const values = a.v + b.v;
  const sigma = masks + values;
  const m = U64((sigma ^ values) | a.m | b.m);
  return { v: U64(values) & ~m, m };
}

export function tnumSub(a: Tnum, b: Tnum): Tnum {
  const diff = a.v - b.v;
  const m = U64(((diff + a.m) ^ (diff - b.m)) | a.m | b.m);
  return { v: U64(diff) & ~m, m };
}

export function tnumAnd(a: Tnum, b: Tnum): Tnum {
  const v = a.v & b.v;
  return { v, m: (a.v | a.m) & (b.v | b.m) & ~v };
}

export function tnumOr(a: Tnum, b: Tnum): Tnum {
  const v = a.v | b.v;
  return { v, m: (a.m | b.m) & ~v };
}

export function tnumXor(a: Tnum, b: Tnum): Tnum {
  const m = a.m | b.m;
  return { v: (a.v ^ b.v) & ~m, m };
}

/** Long multiplication over the bits of `a`, uncertainty gathered apart from the certain product. */
export function tnumMul(a: Tnum, b: Tnum): Tnum {
  const certain = { v: U64(a.v * b.v), m: 0n };
  if (a.m === 0n && b.m === 0n) return certain;
  let unsure: Tnum = { v: 0n, m: 0n };
  let { v: av, m: am } = a;
  let { v: bv, m: bm } = b;
  while (av !== 0n || am !== 0n) {
    if (av & 1n) unsure = tnumAdd(unsure, { v: 0n, m: bm });
    else if (am & 1n) unsure = tnumAdd(unsure, { v: 0n, m: bv | bm });
    av >>= 1n;
    am >>= 1n;
    bv = U64(bv << 1n);
    bm = U64(bm << 1n);
  }
  return tnumAdd(certain, unsure);
}

export const tnumLsh = (a: Tnum, by: bigint): Tnum => ({ v: U64(a.v << by), m: U64(a.m << by) });
export const tnumRsh = (a: Tnum, by: bigint): Tnum => ({ v: a.v >> by, m: a.m >> by });

/** Arithmetic shift; `bits` is 32 or 64. A 32-bit result is zero-extended. */
export function tnumArsh(a: Tnum, by: bigint, bits: 32 | 64): Tnum {
  const shift = (n: bigint): bigint => BigInt.asUintN(bits, BigInt.asIntN(bits, n) >> by);
  return { v: shift(a.v), m: shift(a.m) };
}

/** Values that may be in both. Only meaningful when some value is. */
export function tnumIntersect(a: Tnum, b: Tnum): Tnum {
  const m = a.m & b.m;
  return { v: (a.v | b.v) & ~m, m };
}

/** True when no value can be in both: a bit known in both differs. */
export const tnumDisjoint = (a: Tnum, b: Tnum): boolean => ((a.v ^ b.v) & ~(a.m | b.m) & U64_MAX) !== 0n;

/** True when every value of `b` is one of `a`. */
export const tnumIn = (a: Tnum, b: Tnum): boolean => (b.m & ~a.m) === 0n && a.v === (b.v & ~a.m);

export const tnumLow = (a: Tnum): Tnum => ({ v: a.v & LOW32, m: a.m & LOW32 });
export const tnumHigh = (a: Tnum): Tnum => ({ v: a.v & ~LOW32, m: a.m & ~LOW32 });
export const asSigned = S64;
export const asUnsigned = U64;
