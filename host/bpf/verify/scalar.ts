/**
 * The abstract scalar: a tnum and four ranges (u64, s64, u32, s32), each sharpened by the others, as the kernel
 * keeps them in struct bpf_reg_state. Values are immutable and shared between verifier states; equal reference
 * means equal value. Made in scalar_draft.ts; transfer functions stand in
 * scalar_alu.ts and scalar_width.ts, comparisons in scalar_jump.ts.
 */
import { asSigned, asUnsigned, LOW32, type Tnum, tnumIn, U64_MAX } from './tnum.js';

export const S64_MIN = -(1n << 63n);
export const S64_MAX = (1n << 63n) - 1n;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;
export const U32_MAX = 0xffff_ffff;

let made = 0;

export class Scalar {
  /** Serial number, for memo.ts. */
  readonly id = ++made;
  #reg: unknown;

  constructor(
    /** Known bits. */
    readonly tv: bigint,
    /** Unknown bits. */
    readonly tm: bigint,
    readonly umin: bigint,
    readonly umax: bigint,
    readonly smin: bigint,
    readonly smax: bigint,
    readonly u32min: number,
    readonly u32max: number,
    readonly s32min: number,
    readonly s32max: number,
  ) {}

  /** The register that holds it, made when first asked for (regs.ts). */
  get reg(): unknown {
    return this.#reg;
  }

  set reg(reg: unknown) {
    this.#reg = reg;
  }
}

export const UNKNOWN = new Scalar(0n, U64_MAX, 0n, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX);

function makeConst(v: bigint): Scalar {
  const u = asUnsigned(v);
  const low = Number(u & LOW32);
  const s = asSigned(u);
  return new Scalar(u, 0n, u, u, s, s, low, low, low | 0, low | 0);
}

const CACHE_FROM = -128n;
const CACHE_TO = 4096n;
const small: Scalar[] = [];
for (let v = CACHE_FROM; v <= CACHE_TO; v++) small.push(makeConst(v));

/** The scalar that is exactly `v` modulo 2^64. Small ones are shared. */
export function constant(v: bigint): Scalar {
  const s = asSigned(v);
  return s >= CACHE_FROM && s <= CACHE_TO ? small[Number(s - CACHE_FROM)] : makeConst(v);
}

export const isConst = (s: Scalar): boolean => s.tm === 0n;
/** Unsigned value of a constant. */
export const constValue = (s: Scalar): bigint => s.tv;
export const isConst32 = (s: Scalar): boolean => (s.tm & LOW32) === 0n;
export const tnumOf = (s: Scalar): Tnum => ({ v: s.tv, m: s.tm });

/** True when every value that `cur` allows is allowed by `old`, in every view (kernel: range_within and tnum_in). */
export function within(old: Scalar, cur: Scalar): boolean {
  return (
    old === cur ||
    old === UNKNOWN ||
    (old.umin <= cur.umin &&
      old.umax >= cur.umax &&
      old.smin <= cur.smin &&
      old.smax >= cur.smax &&
      old.u32min <= cur.u32min &&
      old.u32max >= cur.u32max &&
      old.s32min <= cur.s32min &&
      old.s32max >= cur.s32max &&
      tnumIn(tnumOf(old), tnumOf(cur)))
  );
}

/** Same value set in every view. */
export function same(a: Scalar, b: Scalar): boolean {
  return (
    a === b ||
    (a.tv === b.tv &&
      a.tm === b.tm &&
      a.umin === b.umin &&
      a.umax === b.umax &&
      a.smin === b.smin &&
      a.smax === b.smax &&
      a.u32min === b.u32min &&
      a.u32max === b.u32max &&
      a.s32min === b.s32min &&
      a.s32max === b.s32max)
  );
}

/** Whether a concrete 64-bit value is allowed. */
export function allows(s: Scalar, value: bigint): boolean {
  const u = asUnsigned(value);
  const i = asSigned(value);
  const low = Number(u & LOW32);
  return (
    (u & ~s.tm) === s.tv &&
    u >= s.umin &&
    u <= s.umax &&
    i >= s.smin &&
    i <= s.smax &&
    low >= s.u32min &&
    low <= s.u32max &&
    (low | 0) >= s.s32min &&
    (low | 0) <= s.s32max
  );
}
