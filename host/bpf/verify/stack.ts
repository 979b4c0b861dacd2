/**
 * One 8-byte stack slot: what each byte holds, and the register spilled there. Immutable, like registers.
 * Bytes count from the lowest address, so byte 0 of slot n is at fp − 8(n + 1): where an aligned spill starts.
 */
import { Flag, isScalar, Kind, Reg, UNKNOWN_REG } from './regs.js';

/** Two bits a byte. */
export const Byte = { INVALID: 0, SPILL: 1, MISC: 2, ZERO: 3 } as const;
export const ALL_SPILL = 0x5555;
export const ALL_MISC = 0xaaaa;
export const ALL_ZERO = 0xffff;

export const STACK_BYTES = 512;
export const SLOTS = STACK_BYTES / 8;

export class Slot {
  constructor(
    /** Eight Byte values, byte 0 in the lowest bits. */
    readonly types: number,
    /** Spilled register when byte 0 is SPILL. */
    readonly reg: Reg | undefined,
  ) {}
}

export const EMPTY = new Slot(0, undefined);
const MISC = new Slot(ALL_MISC, undefined);
const ZERO = new Slot(ALL_ZERO, undefined);

export const slot = (types: number, reg: Reg | undefined): Slot =>
  types === 0 ? EMPTY : types === ALL_MISC ? MISC : types === ALL_ZERO ? ZERO : new Slot(types, reg);

/** Slot number of a byte at `off` (negative) from the frame pointer. */
export const slotOf = (off: number): number => (-off - 1) >> 3;
/** Byte within its slot. */
export const byteOf = (off: number): number => off & 7;
export const typeAt = (s: Slot, byte: number): number => (s.types >> (byte * 2)) & 3;

/** Bits of `count` bytes from `byte` on, each set to `type`. */
function span(byte: number, count: number, type: number): number {
  let bits = 0;
  for (let i = byte; i < byte + count; i++) bits |= type << (i * 2);
  return bits;
}

const mask = (byte: number, count: number): number => span(byte, count, 3);

export const isSpill = (s: Slot): boolean => (s.types & 3) === Byte.SPILL && s.reg !== undefined;
export const isScalarSpill = (s: Slot): boolean => isSpill(s) && isScalar(s.reg!);

/** Bytes of the spill from byte 0 on. */
export function spillSize(s: Slot): number {
  let size = 0;
  while (size < 8 && typeAt(s, size) === Byte.SPILL) size++;
  return size;
}

/** The slot with its spill forgotten: those bytes hold something. */
export function scrub(s: Slot): Slot {
  let types = 0;
  for (let i = 0; i < 8; i++) {
    const t = typeAt(s, i);
    types |= (t === Byte.SPILL ? Byte.MISC : t) << (i * 2);
  }
  return slot(types, undefined);
}

/**
 * The slot after a register was spilled into its first `size` bytes. Bytes above keep what they were
 * (zero, never written) but for those of an older spill, which become misc.
 */
export function spill(s: Slot, reg: Reg, size: number): Slot {
  if (size === 8) return new Slot(ALL_SPILL, reg);
  const rest = scrub(s).types & ~mask(0, size);
  return new Slot(rest | span(0, size, Byte.SPILL), reg);
}

/** The slot after `count` bytes at `byte` were written with data of no known register. */
export function write(s: Slot, byte: number, count: number, type: number): Slot {
  const base = isSpill(s) || hasSpillBytes(s) ? scrub(s) : s;
  return slot((base.types & ~mask(byte, count)) | span(byte, count, type), undefined);
}

function hasSpillBytes(s: Slot): boolean {
  for (let i = 0; i < 8; i++) if (typeAt(s, i) === Byte.SPILL) return true;
  return false;
}

/** The slot with another register in its spill. */
export const withReg = (s: Slot, reg: Reg): Slot => (reg === s.reg ? s : new Slot(s.types, reg));

/** True when a load of the whole slot gives an unbounded scalar. */
export function isAllMisc(s: Slot): boolean {
  for (let i = 0; i < 8; i++) {
    const t = typeAt(s, i);
    if (t !== Byte.MISC && t !== Byte.INVALID) return false;
  }
  return true;
}

/** The scalar that a load of the whole slot gives, if it is one: a full spill or all misc. */
export function scalarOf(s: Slot): Reg | undefined {
  if (s.types === ALL_SPILL && s.reg?.kind === Kind.SCALAR) return s.reg;
  return isAllMisc(s) ? UNKNOWN_REG : undefined;
}

/** Register without its link, for narrowing spills and fills. */
export const unlinked = (r: Reg): Reg =>
  r.id === 0 && r.off === 0
    ? r
    : new Reg(r.kind, r.s, 0, 0, r.flags & ~Flag.ADD_CONST, r.size, r.map, r.ref, r.uid);
