/**
 * What the JIT knows of a register's value, and with that where the value lives:
 *   const, fp, func   nowhere: it is written where it is used
 *   w32               in the register's i32 local; the upper half is zero
 *   w64               in the register's i64 local
 * The lattice is const | fp | func < w32 (more bits are higher) < w64; a join goes up.
 */
export type Value =
  | { readonly k: 'const'; readonly v: bigint }
  /** Frame pointer of this function + off. */
  | { readonly k: 'fp'; readonly off: number }
  /** Callback: slot of its first instruction. */
  | { readonly k: 'func'; readonly pc: number }
  /** `nonzero`: known not to be 0 (an address that needs no null check). */
  | { readonly k: 'w32'; readonly bits: number; readonly nonzero?: boolean }
  | { readonly k: 'w64'; readonly bits: number };

const small: readonly Value[] = Array.from({ length: 256 }, (_, v) => ({ k: 'const', v: BigInt(v) }));

/** Unsigned 64-bit constant. */
export const constant = (v: bigint): Value => (v < 256n ? small[Number(v)] : { k: 'const', v });

const narrow: readonly Value[] = Array.from({ length: 33 }, (_, bits) => ({ k: 'w32', bits }));
const wide: readonly Value[] = Array.from({ length: 65 }, (_, bits) => ({ k: 'w64', bits }));

/** Some value below 2^bits: kept as i32 when it fits. */
export const unknown = (bits: number): Value =>
  bits <= 32 ? narrow[Math.max(bits, 1)] : wide[Math.min(bits, 64)];
export const ZERO = constant(0n);
export const ANY = wide[64];
export const ANY32 = narrow[32];
export const ADDRESS: Value = { k: 'w32', bits: 32, nonzero: true };

/** A value in an i64 local of which facts say that it is below 2^bits. */
export const stored64 = (bits: number): Value => wide[bits];

function bitLength(v: bigint): number {
  const hi = Number(v >> 32n);
  return hi ? 64 - Math.clz32(hi) : 32 - Math.clz32(Number(v));
}

/** v < 2^bitsOf(v). */
export function bitsOf(value: Value): number {
  switch (value.k) {
    case 'const':
      return bitLength(value.v);
    case 'fp':
    case 'func':
      return 32;
    default:
      return value.bits;
  }
}

export function same(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a.k !== b.k) return false;
  switch (a.k) {
    case 'const':
      return a.v === (b as { v: bigint }).v;
    case 'fp':
      return a.off === (b as { off: number }).off;
    case 'func':
      return a.pc === (b as { pc: number }).pc;
    case 'w32':
      return a.bits === (b as typeof a).bits && a.nonzero === (b as typeof a).nonzero;
    default:
      return a.bits === (b as { bits: number }).bits;
  }
}

/** Least value that covers both. `widen`: a value that keeps growing in a loop goes to the top of its kind at once. */
export function join(a: Value, b: Value, widen = false): Value {
  if (same(a, b)) return a;
  const bits = Math.max(bitsOf(a), bitsOf(b));
  if (widen) return a.k === 'w64' || b.k === 'w64' || bits > 32 ? ANY : ANY32;
  return a.k === 'w64' || b.k === 'w64' ? wide[bits] : unknown(bits);
}
