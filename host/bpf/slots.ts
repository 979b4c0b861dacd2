/** Function table slots. A program has the same slots in every lane's table: a slot in the arena means the same everywhere. */
import { EtherloomError } from '../errors.js';
import type { Core } from '../mem/core.js';

/** Lane links carry a slot in 15 bits of their options. */
const LAST_SLOT = 0x7fff;

/** From here on: functions of the host's own instance that no lane has (callbacks of the interpreter). */
const HOST_SLOTS = LAST_SLOT + 1;
/** Slots that programs had when the first of those came. */
const grownFrom = new WeakMap<WebAssembly.Table, number>();

/** One past the last slot of a table in which programs may stand. */
export const tableEnd = (core: Core): number => grownFrom.get(core.table) ?? core.table.length;

/** A free slot beyond those of programs, for a function that only this instance has. */
export function hostSlot(core: Core): number {
  const { table } = core;
  if (table.length < HOST_SLOTS) {
    grownFrom.set(table, table.length);
    table.grow(HOST_SLOTS - table.length);
  }
  for (let slot = HOST_SLOTS; slot < table.length; slot++) if (table.get(slot) === null) return slot;
  return table.grow(1);
}

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

/** In this lane each first slot of these pairs calls what stands at the second. Between bursts. */
export function aliasSlots(core: Core, pairs: readonly number[]): void {
  for (let i = 0; i < pairs.length; i += 2) core.table.set(pairs[i], core.table.get(pairs[i + 1]));
}
