/**
 * Comparisons of the scalar domain: can a conditional jump be decided, and what do its two ways teach
 * (kernel: is_scalar_branch_taken, regs_refine_cond_op)?
 */
import { Jmp } from '../insn.js';
import { Memo } from './memo.js';
import { S32_MAX, S32_MIN, S64_MAX, S64_MIN, type Scalar, same, U32_MAX } from './scalar.js';
import { Draft, intersect, trySettle } from './scalar_draft.js';
import { zext32 } from './scalar_width.js';
import { LOW32, tnumDisjoint, tnumLow, tnumOr, U64_MAX } from './tnum.js';

/** The view that a comparison of one width and signedness uses. */
interface View {
  min(s: Scalar): bigint | number;
  max(s: Scalar): bigint | number;
}
const U64V: View = { min: s => s.umin, max: s => s.umax };
const S64V: View = { min: s => s.smin, max: s => s.smax };
const U32V: View = { min: s => s.u32min, max: s => s.u32max };
const S32V: View = { min: s => s.s32min, max: s => s.s32max };

const signed = (op: number): boolean =>
  op === Jmp.JSGT || op === Jmp.JSGE || op === Jmp.JSLT || op === Jmp.JSLE;
const bits = (s: Scalar, is64: boolean) => (is64 ? { v: s.tv, m: s.tm } : tnumLow({ v: s.tv, m: s.tm }));

/** The jump with its two operands swapped. */
const SWAPPED: Record<number, number> = {
  [Jmp.JGT]: Jmp.JLT,
  [Jmp.JGE]: Jmp.JLE,
  [Jmp.JLT]: Jmp.JGT,
  [Jmp.JLE]: Jmp.JGE,
  [Jmp.JSGT]: Jmp.JSLT,
  [Jmp.JSGE]: Jmp.JSLE,
  [Jmp.JSLT]: Jmp.JSGT,
  [Jmp.JSLE]: Jmp.JSGE,
};
/** The jump that is taken exactly when this one is not. */
const OPPOSITE: Record<number, number> = {
  [Jmp.JEQ]: Jmp.JNE,
  [Jmp.JNE]: Jmp.JEQ,
  [Jmp.JGT]: Jmp.JLE,
  [Jmp.JGE]: Jmp.JLT,
  [Jmp.JLT]: Jmp.JGE,
  [Jmp.JLE]: Jmp.JGT,
  [Jmp.JSGT]: Jmp.JSLE,
  [Jmp.JSGE]: Jmp.JSLT,
  [Jmp.JSLT]: Jmp.JSGE,
  [Jmp.JSLE]: Jmp.JSGT,
};

/** 1: always taken, 0: never, −1: not known. */
export function branchTaken(op: number, is64: boolean, a: Scalar, b: Scalar): 1 | 0 | -1 {
  const ta = bits(a, is64);
  const tb = bits(b, is64);
  const u = is64 ? U64V : U32V;
  const s = is64 ? S64V : S32V;
  switch (op) {
    case Jmp.JEQ:
    case Jmp.JNE: {
      const equal = op === Jmp.JEQ ? 1 : 0;
      if (ta.m === 0n && tb.m === 0n) return ta.v === tb.v ? equal : ((1 - equal) as 0 | 1);
      const apart =
        tnumDisjoint(ta, tb) ||
        u.min(a) > u.max(b) ||
        u.max(a) < u.min(b) ||
        s.min(a) > s.max(b) ||
        s.max(a) < s.min(b);
      return apart ? ((1 - equal) as 0 | 1) : -1;
    }
    case Jmp.JSET: {
      const [x, c] = tb.m === 0n ? [ta, tb] : [tb, ta];
      if (c.m !== 0n) return -1;
      if (x.v & c.v) return 1;
      return (x.v | x.m) & c.v ? -1 : 0;
    }
  }
  const view = signed(op) ? s : u;
  switch (op) {
    case Jmp.JGT:
    case Jmp.JSGT:
      return view.min(a) > view.max(b) ? 1 : view.max(a) <= view.min(b) ? 0 : -1;
    case Jmp.JGE:
    case Jmp.JSGE:
      return view.min(a) >= view.max(b) ? 1 : view.max(a) < view.min(b) ? 0 : -1;
    case Jmp.JLT:
    case Jmp.JSLT:
      return view.max(a) < view.min(b) ? 1 : view.min(a) >= view.max(b) ? 0 : -1;
    case Jmp.JLE:
    case Jmp.JSLE:
      return view.max(a) <= view.min(b) ? 1 : view.min(a) > view.max(b) ? 0 : -1;
    default:
      return -1;
  }
}

/** `a < b` (or ≤ when `orEqual`) is known: raise b's floor, lower a's ceiling. */
function order(
  is64: boolean,
  isSigned: boolean,
  orEqual: boolean,
  a: Scalar,
  b: Scalar,
): [Scalar, Scalar] | null {
  const da = Draft.of(a);
  const db = Draft.of(b);
  if (is64) {
    const gap = orEqual ? 0n : 1n;
    if (isSigned) {
      if (!orEqual && (b.smax === S64_MIN || a.smin === S64_MAX)) return null;
      if (b.smax - gap < da.smax) da.smax = b.smax - gap;
      if (a.smin + gap > db.smin) db.smin = a.smin + gap;
    } else {
      if (!orEqual && (b.umax === 0n || a.umin === U64_MAX)) return null;
      if (b.umax - gap < da.umax) da.umax = b.umax - gap;
      if (a.umin + gap > db.umin) db.umin = a.umin + gap;
    }
  } else {
    const gap = orEqual ? 0 : 1;
    if (isSigned) {
      if (!orEqual && (b.s32max === S32_MIN || a.s32min === S32_MAX)) return null;
      da.s32max = Math.min(da.s32max, b.s32max - gap);
      db.s32min = Math.max(db.s32min, a.s32min + gap);
    } else {
      if (!orEqual && (b.u32max === 0 || a.u32min === U32_MAX)) return null;
      da.u32max = Math.min(da.u32max, b.u32max - gap);
      db.u32min = Math.max(db.u32min, a.u32min + gap);
    }
  }
  const ra = trySettle(da);
  const rb = trySettle(db);
  return ra && rb ? [ra, rb] : null;
}

/** Both equal in the compared width. */
function equal(is64: boolean, a: Scalar, b: Scalar): [Scalar, Scalar] | null {
  if (is64) {
    const both = intersect(a, b);
    return both && [both, both];
  }
  const low = intersect(zext32(a), zext32(b));
  if (!low) return null;
  const take = (s: Scalar): Scalar | null => {
    const d = Draft.of(s);
    d.t = { v: (d.t.v & ~LOW32 & U64_MAX) | low.tv, m: (d.t.m & ~LOW32 & U64_MAX) | low.tm };
    d.u32min = Math.max(d.u32min, low.u32min);
    d.u32max = Math.min(d.u32max, low.u32max);
    d.s32min = Math.max(d.s32min, low.s32min);
    d.s32max = Math.min(d.s32max, low.s32max);
    return trySettle(d);
  };
  const ra = take(a);
  const rb = take(b);
  return ra && rb && [ra, rb];
}

/** `a` differs from the constant `c` in the compared width: a range that ends in c loses that end. */
function exclude(is64: boolean, a: Scalar, c: Scalar): Scalar | null {
  const d = Draft.of(a);
  if (is64) {
    if (d.umin === c.umin) d.umin++;
    else if (d.umax === c.umin) d.umax--;
    if (d.smin === c.smin) d.smin++;
    else if (d.smax === c.smin) d.smax--;
    if (d.umin > U64_MAX || d.smin > S64_MAX) return null;
  } else {
    if (d.u32min === c.u32min) d.u32min++;
    else if (d.u32max === c.u32min) d.u32max--;
    if (d.s32min === c.s32min) d.s32min++;
    else if (d.s32max === c.s32min) d.s32max--;
    if (d.u32min > U32_MAX || d.s32min > S32_MAX) return null;
  }
  return trySettle(d);
}

/**
 * What both operands are known to be after `op` went the way `taken` says.
 * @returns null when that way is impossible. Then the decision rests on both operands: they must be marked precise.
 */
export function refine(
  op: number,
  is64: boolean,
  a: Scalar,
  b: Scalar,
  taken: boolean,
): [Scalar, Scalar] | null {
  return refinements.get(op | (is64 ? 1 : 0) | (taken ? 2 : 0), a, b);
}

const refinements = new Memo<[Scalar, Scalar] | null>((key, a, b) => {
  const refined = refineBoth(key & 0xf0, (key & 1) !== 0, a, b, (key & 2) !== 0);
  // What taught nothing keeps its identity: equal references are the verifier's fast path.
  return refined && [same(a, refined[0]) ? a : refined[0], same(b, refined[1]) ? b : refined[1]];
});

function refineBoth(
  op: number,
  is64: boolean,
  a: Scalar,
  b: Scalar,
  taken: boolean,
): [Scalar, Scalar] | null {
  if (op === Jmp.JSET) return refineSet(is64, a, b, taken);
  if (!taken) op = OPPOSITE[op];
  const isConst = (s: Scalar): boolean => bits(s, is64).m === 0n;
  switch (op) {
    case Jmp.JEQ:
      return equal(is64, a, b);
    case Jmp.JNE: {
      const ra = isConst(b) ? exclude(is64, a, b) : a;
      const rb = !isConst(b) && isConst(a) ? exclude(is64, b, a) : b;
      return ra && rb && [ra, rb];
    }
    case Jmp.JLT:
    case Jmp.JSLT:
      return order(is64, signed(op), false, a, b);
    case Jmp.JLE:
    case Jmp.JSLE:
      return order(is64, signed(op), true, a, b);
    default: {
      const swapped = refineBoth(SWAPPED[op], is64, b, a, true);
      return swapped && [swapped[1], swapped[0]];
    }
  }
}

function refineSet(is64: boolean, a: Scalar, b: Scalar, taken: boolean): [Scalar, Scalar] | null {
  const constB = bits(b, is64).m === 0n;
  if (!constB) {
    if (bits(a, is64).m !== 0n) return [a, b];
    const swapped = refineSet(is64, b, a, taken);
    return swapped && [swapped[1], swapped[0]];
  }
  const mask = is64 ? b.tv : b.tv & LOW32;
  const d = Draft.of(a);
  if (!taken) d.t = { v: d.t.v & ~mask & U64_MAX, m: d.t.m & ~mask & U64_MAX };
  // One bit only: which one was set is known.
  else if (mask !== 0n && (mask & (mask - 1n)) === 0n) d.t = tnumOr(d.t, { v: mask, m: 0n });
  const ra = trySettle(d);
  return ra && [ra, b];
}
