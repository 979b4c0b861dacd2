/**
 * Programs as the engine holds them: what is posted to lanes, and the table slots that all lanes agree on.
 * A program has the same slots in every lane's table, so that a slot in the arena means the same everywhere.
 */
import type { CompiledProgram } from '../bpf/jit/compiled.js';
import type { LinkableProgram } from '../bpf/jit/instantiate.js';
import { EtherloomError } from '../errors.js';
import type { Core } from '../mem/core.js';

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
  /** How long each lane's loop stood still to take it in, ns; empty when no lane was running. */
  readonly pausesNs: readonly number[];
}

/** Lane links carry a slot in 15 bits of their options. */
const LAST_SLOT = 0x7fff;

/** Hands out runs of table slots. */
export class SlotAllocator {
  #next: number;
  /** Freed runs by length. */
  readonly #free = new Map<number, number[]>();

  constructor(base: number) {
    this.#next = Math.max(1, base);
  }

  /** @throws EtherloomError ERR_TABLE_FULL */
  alloc(count: number): number {
    const again = this.#free.get(count)?.pop();
    if (again !== undefined) return again;
    const at = this.#next;
    if (at + count > LAST_SLOT)
      throw new EtherloomError('ERR_TABLE_FULL', `no ${count} table slots left`, {
        expected: `at most ${LAST_SLOT} slots in use`,
      });
    this.#next += count;
    return at;
  }

  free(at: number, count: number): void {
    const list = this.#free.get(count) ?? [];
    list.push(at);
    this.#free.set(count, list);
  }
}

/** Empties the table slots of a program in this lane. */
export function removeProgram(core: Core, slots: number, count: number): void {
  for (let i = 0; i < count; i++) if (slots + i < core.table.length) core.table.set(slots + i, null);
}
