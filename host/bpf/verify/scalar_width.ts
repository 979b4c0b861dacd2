/**
 * Scalars cut and extended: what narrow stores, fills, moves with sign and byte swaps leave of a value (kernel: coerce_*).
 */
import { Memo } from './memo.js';
import { constant, isConst, isConst32, type Scalar } from './scalar.js';
import { Draft, settle } from './scalar_draft.js';
import { LOW32, tnumLow } from './tnum.js';

/** Upper half cleared: what every 32-bit operation does to its result. */
export function zext32(s: Scalar): Scalar {
  return truncations.get(4, s, s);
}

function lowerHalf(s: Scalar): Scalar {
  if (s.umax <= LOW32) return s;
  if (isConst32(s)) return constant(s.tv & LOW32);
  const d = Draft.of(s);
  d.t = tnumLow(d.t);
  d.umin = BigInt(s.u32min);
  d.umax = BigInt(s.u32max);
  d.smin = d.umin;
  d.smax = d.umax;
  return settle(d);
}

/** Low `bytes` bytes, zero-extended: what a narrow store keeps and a narrow fill gives. */
export function truncate(s: Scalar, bytes: 1 | 2 | 4): Scalar {
  return truncations.get(bytes, s, s);
}

function cut(s: Scalar, bytes: 1 | 2 | 4): Scalar {
  if (bytes === 4) return lowerHalf(s);
  const mask = (1n << BigInt(bytes * 8)) - 1n;
  if (s.umax <= mask) return s;
  if ((s.tm & mask) === 0n) return constant(s.tv & mask);
  const d = new Draft();
  d.t = { v: s.tv & mask, m: s.tm & mask };
  const sameTop = (s.umin & ~mask) === (s.umax & ~mask);
  d.umin = sameTop ? s.umin & mask : 0n;
  d.umax = sameTop ? s.umax & mask : mask;
  return settle(d);
}

/**
 * Sign-extends the low `bits` bits to 64 (or to 32, upper half cleared). movsx and friends. Ranges survive, known bits
 * of what is not a constant do not (kernel: coerce_reg_to_size_sx).
 */
export function signExtend(s: Scalar, bits: 8 | 16 | 32, is64: boolean): Scalar {
  return extensions.get(bits | (is64 ? 1 : 0), s, s);
}

function extend(s: Scalar, bits: 8 | 16 | 32, is64: boolean): Scalar {
  const width = is64 ? 64 : 32;
  const at = BigInt(bits);
  const widen = (n: bigint): bigint => BigInt.asUintN(width, BigInt.asIntN(bits, n));
  if (isConst(s)) return constant(widen(s.tv));
  const d = new Draft();
  const [from, to] = is64 ? [s.smin, s.smax] : [BigInt(s.s32min), BigInt(s.s32max)];
  let min = -(1n << (at - 1n));
  let max = (1n << (at - 1n)) - 1n;
  if (from >> at === to >> at) {
    const a = BigInt.asIntN(bits, from);
    const b = BigInt.asIntN(bits, to);
    // Same upper bits and ends of the same sign: the extension is monotonic in between.
    if (a >= 0n === b >= 0n) {
      min = a;
      max = b;
    }
  }
  if (is64) {
    d.smin = min;
    d.smax = max;
  } else {
    d.s32min = Number(min);
    d.s32max = Number(max);
    d.umax = LOW32;
  }
  return settle(d);
}

/** BPF_END: the low `bits` bits, their bytes in reverse order when `swaps`. Only known bits survive, ranges do not. */
export function endScalar(s: Scalar, bits: 16 | 32 | 64, swaps: boolean): Scalar {
  const width = BigInt(bits);
  const order = (n: bigint): bigint => {
    n = BigInt.asUintN(bits, n);
    if (!swaps) return n;
    let out = 0n;
    for (let i = 0n; i < width; i += 8n) out = (out << 8n) | ((n >> i) & 0xffn);
    return out;
  };
  const d = new Draft();
  d.t = { v: order(s.tv), m: order(s.tm) };
  return settle(d);
}

const extensions = new Memo((key, s) => extend(s, (key & 0x78) as 8 | 16 | 32, (key & 1) !== 0));
const truncations = new Memo((bytes, s) => cut(s, bytes as 1 | 2 | 4));
