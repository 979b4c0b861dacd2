/**
 * Programs as the engine holds them: what is posted to lanes, and the table slots that all lanes agree on.
 * A program has the same slots in every lane's table, so that a slot in the arena means the same everywhere.
 */
import type { CompiledProgram } from '../bpf/jit/compiled.js';
import type { LinkableProgram } from '../bpf/jit/instantiate.js';
import type { Stops } from './stops.js';

/** The part of a CompiledProgram that a lane needs; everything in it can be posted. */
export type PostedProgram = LinkableProgram;

/** A program with its place in the tables. */
export interface PlacedProgram {
  readonly id: number;
  readonly name: string;
  /** First of its table slots: + 0 run, + 1 tail, + 2 … callbacks. */
  readonly slots: number;
  readonly program: PostedProgram;
}

/** A program that every lane has instantiated. */
export interface LoadedProgram extends PlacedProgram {
  readonly compiled: CompiledProgram;
  /** Table slot for hooks. */
  readonly run: number;
  /** Table slot for PROG_ARRAY values. */
  readonly tail: number;
  /** By lane: the longest time that its loop stood still to take it in, ns; empty when no lane was running. */
  readonly pausesNs: readonly number[];
  /** All of those times, and those for which lanes let it go: of several that go at once the first has them. */
  readonly stops: Stops;
}
