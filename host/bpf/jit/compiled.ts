/**
 * CompiledProgram: a Wasm module made from a VerifiedProgram for one arena, and how a lane takes it in.
 *
 * The module imports
 *   env.memory  the arena                        env.table   the lane's function table (funcref), if it calls by slot
 *   env.stack   i32 const: LaneState.stackTop     env.lane    i32 const: lane number
 *   env.state   i32 const: address of LaneState   env.slots   i32 const: first of the program's table slots
 *   o.<n>       i32 const: ObjectType of the objects that it makes
 *   h.<name>    helpers: raw exports of the lane's core instance, typed by the helper table
 * and exports
 *   run   (ctx i32) → i64   entry from the loop: resets the tail-call count
 *   tail  (ctx i32) → i64   entry from a tail call (PROG_ARRAY values are table slots of this function, 0 = empty)
 *
 * Table slots of a program: slots + 0 run, + 1 tail, + 2 … its callbacks.
 */
import type { ObjectLayout } from '../objects/layout.js';
import type { MapSpec, ProgramSpec } from '../spec.js';
import type { VerifiedProgram } from '../verify/verified.js';

/** Where a map of the spec lives in the arena. Addresses are baked into the code. */
export interface BoundMap {
  spec: MapSpec;
  /** Address of the MapHeader. */
  addr: number;
  /** Array types: MapHeader.dataAt, stride, laneStride. When given, the JIT bakes them in instead of loading them. */
  dataAt?: number | undefined;
  stride?: number | undefined;
  laneStride?: number | undefined;
  /** Types with programs in their entries: whether the program that is compiled may use the map. */
  programs?: { check(program: ProgramSpec): void; claim(program: ProgramSpec): void } | undefined;
  /** Hash types: when given, the JIT writes lookups into the program instead of calling the core. */
  table?: HashTableShape | undefined;
}

/** What a lookup in a hash table needs to know of it; nothing of it changes while the map lives. */
export interface HashTableShape {
  keySize: number;
  /** Address of the buckets: {u32 head, u32 lock} each. */
  bucketsAt: number;
  /** Number of buckets − 1. */
  mask: number;
  /** Coefficients of the hash (assembly/bpf/maps/hash_key.ts). */
  seeds: BigUint64Array;
  /** Offsets in an element. */
  keyAt: number;
  valueAt: number;
  /** LRU types: offset of the word that a lookup sets to 1. */
  refAt?: number;
  /** Per-CPU types: offset of the address of lane 0's value, and the way to the next lane's. */
  perCpu?: { valuesAt: number; laneStride: number };
}

/** Keys are those of ProgramSpec.maps. */
export type MapBinding = Readonly<Record<number, BoundMap>>;

export interface CompiledProgram {
  readonly spec: ProgramSpec;
  /** Present for verified mode; absent in guarded mode. */
  readonly verified: VerifiedProgram | undefined;
  readonly mode: 'verified' | 'guarded';
  readonly bytes: Uint8Array;
  /** Posted to lanes; compiled code is shared between threads. */
  readonly module: WebAssembly.Module;
  /** Helper exports that the module imports. */
  readonly helpers: readonly string[];
  /** Types of the objects that it makes: imports o.0, o.1 … */
  readonly objects: readonly ObjectLayout[];
  /** Functions whose address it takes, in the order of their table slots: names as in ProgramSpec.funcs. */
  readonly callbacks: readonly string[];
  /** Table slots it needs: 2 + callbacks. */
  readonly slotCount: number;
  readonly compileUs: number;
}
