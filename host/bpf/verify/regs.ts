/**
 * Register states. A Reg is immutable and shared by reference between states, frames and stack slots:
 * copying a state copies arrays of references, and equal references need no comparison.
 */
import type { MapInfo } from './maps.js';
import { constant, isConst, type Scalar, UNKNOWN } from './scalar.js';
import { asSigned } from './tnum.js';

/** What a register holds (enum bpf_reg_type of the kernel, by the parts that we support). */
export const Kind = {
  NONE: 0,
  SCALAR: 1,
  CTX: 2,
  MAP_PTR: 3,
  MAP_VALUE: 4,
  STACK: 5,
  PACKET: 6,
  PACKET_META: 7,
  PACKET_END: 8,
  MEM: 9,
  FUNC: 10,
  MAP_KEY: 11,
  SOCK_COMMON: 12,
  /** A structure of the engine that a kfunc gave: `size` is its place in objectTypes. */
  OBJECT: 13,
  /** An object that a program made: `size` is the id of its structure in the program's BTF. */
  OWNED: 14,
} as const;

export const kindNames: readonly string[] = [
  'uninitialised',
  'scalar',
  'ctx',
  'map_ptr',
  'map_value',
  'fp',
  'packet',
  'packet_meta',
  'packet_end',
  'mem',
  'func',
  'map_key',
  'sock_common',
  'object',
  'object of the program',
];

export const describeKind = (kind: number): string => kindNames[kind];

export const Flag = {
  /** May be NULL. */
  NULLABLE: 1,
  RDONLY: 2,
  /** MEM: record of a ring buffer, to be submitted or discarded. */
  RINGBUF: 4,
  /** SCALAR: equals the others of its id plus `off`. */
  ADD_CONST: 8,
  /** OWNED: it is a tree's or list's, and to be had while the lock is held. */
  BORROWED: 16,
  /** OWNED: its structure has a bpf_spin_lock, so the id goes on naming it. */
  LOCKABLE: 32,
} as const;

/** Packet ranges below zero: what a comparison with data_end said about the pointer itself. */
export const AT_PACKET_END = -1;
export const BEYOND_PACKET_END = -2;

export class Reg {
  constructor(
    readonly kind: number,
    /** The value, or the variable part of a pointer's offset. */
    readonly s: Scalar,
    /** Fixed part of a pointer's offset; scalars with ADD_CONST: distance from the others of the id. */
    readonly off: number,
    /** Scalars: equal values have equal ids. Nullable pointers: checked together. Packets: same variable offset. 0 = none. */
    readonly id: number,
    readonly flags: number,
    /** PACKET, PACKET_META: bytes proven from the base on. MEM: size. STACK: frame. FUNC: subprogram. OBJECT, OWNED: type. */
    readonly size: number,
    readonly map: MapInfo | undefined,
    /** Reference that it belongs to, 0 = none. */
    readonly ref: number,
    /** Which of several inner maps a map pointer or value belongs to, 0 = the map itself. */
    readonly uid: number,
  ) {}
}

export const ZERO_S = constant(0n);
export const NOT_INIT = new Reg(Kind.NONE, UNKNOWN, 0, 0, 0, 0, undefined, 0, 0);

/** The register that holds exactly such a scalar, without links. One object per scalar. */
export function scalarReg(s: Scalar): Reg {
  return (s.reg ??= new Reg(Kind.SCALAR, s, 0, 0, 0, 0, undefined, 0, 0)) as Reg;
}

export const UNKNOWN_REG = scalarReg(UNKNOWN);
export const constReg = (v: bigint): Reg => scalarReg(constant(v));

export const pointer = (kind: number, more: Partial<Reg> = {}): Reg =>
  new Reg(
    kind,
    more.s ?? ZERO_S,
    more.off ?? 0,
    more.id ?? 0,
    more.flags ?? 0,
    more.size ?? 0,
    more.map,
    more.ref ?? 0,
    more.uid ?? 0,
  );

export const withId = (r: Reg, id: number): Reg =>
  new Reg(r.kind, r.s, r.off, id, r.flags, r.size, r.map, r.ref, r.uid);
export const withSize = (r: Reg, size: number): Reg =>
  new Reg(r.kind, r.s, r.off, r.id, r.flags, size, r.map, r.ref, r.uid);
/** A scalar with another value but the same links. */
export const withScalar = (r: Reg, s: Scalar): Reg =>
  s === r.s
    ? r
    : r.id === 0
      ? scalarReg(s)
      : new Reg(r.kind, s, r.off, r.id, r.flags, r.size, r.map, r.ref, r.uid);

export const isScalar = (r: Reg): boolean => r.kind === Kind.SCALAR;
export const isPointer = (r: Reg): boolean => r.kind > Kind.SCALAR;
export const isNullable = (r: Reg): boolean => (r.flags & Flag.NULLABLE) !== 0;
export const isPacket = (r: Reg): boolean => r.kind === Kind.PACKET || r.kind === Kind.PACKET_META;
export const isPacketAny = (r: Reg): boolean => isPacket(r) || r.kind === Kind.PACKET_END;
/** The constant 0, which may stand for NULL. */
export const isNull = (r: Reg): boolean => r.kind === Kind.SCALAR && isConst(r.s) && r.s.tv === 0n;

/** Least whole offset of a pointer. */
export const minOff = (r: Reg): bigint => BigInt(r.off) + r.s.smin;
/** Variable part, when it is in fact a constant. */
export const constVar = (r: Reg): number | undefined =>
  r.s === ZERO_S ? 0 : isConst(r.s) ? Number(asSigned(r.s.tv)) : undefined;

/**
 * Can the pointer not be zero? In the kernel no pointer that arithmetic can reach is; arena addresses are small,
 * so only those count that did not go below the start of their region (stack: of its 512 bytes).
 */
export function isNonNull(r: Reg): boolean {
  if (r.kind <= Kind.SCALAR || isNullable(r)) return false;
  if (r.kind === Kind.PACKET_END || r.kind === Kind.FUNC) return false;
  return minOff(r) >= (r.kind === Kind.STACK ? -512n : 0n);
}

/** The pointer after it was found not to be NULL. */
export function nonNull(r: Reg): Reg {
  const flags = r.flags & ~Flag.NULLABLE;
  if (r.kind === Kind.MAP_VALUE && r.map?.inner) {
    // An element of a map of maps is a map. Its lookups are told apart by the id it was found under.
    return new Reg(Kind.MAP_PTR, ZERO_S, 0, 0, 0, 0, r.map.inner, 0, r.id);
  }
  // The id goes on naming a spin lock's element and is of no use otherwise.
  const id = (r.map && r.map.lockOff >= 0) || r.flags & Flag.LOCKABLE ? r.id : 0;
  return new Reg(r.kind, r.s, r.off, id, flags, r.size, r.map, r.ref, r.uid);
}
