/** One module under construction: what its functions share. */
import type { FunctionAnalysis } from './analysis.js';
import type { Guard } from './guard.js';
import type { Program } from './program.js';
import type { ModuleBuilder } from './wasm/encoder.js';

/** Bytes of one frame, as in the kernel. */
export const FRAME_BYTES = 512;
/** Deepest stack that one program can use: MAX_CALL_FRAMES of the kernel. */
export const STACK_OF_PROGRAM = 8 * FRAME_BYTES;

/** Indices of the imported constants. */
export interface UnitGlobals {
  stack: number;
  lane: number;
  state: number;
  slots: number;
}

/** A function of the program as a Wasm function. */
export interface LocalFunction {
  entry: number;
  index: number;
  analysis: FunctionAnalysis;
  /** Registers among r1–r5 that it takes, in order; constants are left out. */
  params: readonly number[];
  /** Takes r10 as its last parameter (the entry function finds it out itself). */
  needsFp: boolean;
  /** It or something it calls may tail-call: LaneState.entryFp does not survive a call to it. */
  movesEntry: boolean;
}

export interface Unit {
  program: Program;
  module: ModuleBuilder;
  globals: UnitGlobals;
  /** Export name → function index. */
  imports: ReadonlyMap<string, number>;
  functions: ReadonlyMap<number, LocalFunction>;
  /** Imported global with the ObjectType of each structure that objects are made of, by its BTF id. */
  objects: ReadonlyMap<number, number>;
  /** Function that finds bytes of an SkBuff's packet, -1 when no LD_ABS or LD_IND is there. */
  skbAt: number;
  /** Table slot of a callback, relative to env.slots. */
  callbackSlot(entry: number): number;
  /** Present in guarded mode. */
  guard: Guard | undefined;
}
