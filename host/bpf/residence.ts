/**
 * Programs that were placed in function tables, and who points to them. A table slot in the arena is a bare number:
 * whoever stores one counts here, so that a program is not taken out, and its slots handed on, under a map entry.
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { ProgramType } from './spec.js';
import { forged } from './stages.js';

/** What is known of one placed program. */
export class Residence {
  readonly #holders = new Map<{ readonly name: string; readonly type: string }, number>();
  /** False once it was unloaded. */
  loaded = true;

  constructor(
    readonly name: string,
    readonly type: ProgramType,
    readonly arena: Arena,
    readonly run: number,
    readonly tail: number,
  ) {}

  /** A map entry begins (1) or ceases (-1) to point here. */
  hold(map: { readonly name: string; readonly type: string }, by: 1 | -1): void {
    const n = (this.#holders.get(map) ?? 0) + by;
    if (n > 0) this.#holders.set(map, n);
    else this.#holders.delete(map);
  }

  /** Maps with entries that point here, those in `except` left out: `map "progs" (prog_array)`. */
  holders(except: ReadonlySet<object> = new Set()): string[] {
    return [...this.#holders.keys()].filter(m => !except.has(m)).map(m => `map "${m.name}" (${m.type})`);
  }
}

const residences = new WeakMap<object, Residence>();
const slots = new WeakMap<Arena, Map<number, Residence>>();

/** The program that a table slot belongs to, run or tail. */
export function residenceAt(arena: Arena, slot: unknown): Residence | undefined {
  const found = typeof slot === 'number' ? slots.get(arena)?.get(slot) : undefined;
  return found?.loaded ? found : undefined;
}

/** Which program each entry of a map points to. */
export class ProgramEntries {
  readonly #entries = new Map<number, Residence>();

  constructor(readonly map: { readonly name: string; readonly type: string }) {}

  put(key: number, program: Residence | undefined): void {
    program?.hold(this.map, 1);
    this.#entries.get(key)?.hold(this.map, -1);
    if (program) this.#entries.set(key, program);
    else this.#entries.delete(key);
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.put(key, undefined);
  }
}

/** For those who place programs: from now on `program` is known as loaded. */
export function settle<P extends object>(program: P, residence: Residence): P {
  residences.set(Object.freeze(program), residence);
  let table = slots.get(residence.arena);
  if (!table) slots.set(residence.arena, (table = new Map()));
  table.set(residence.run, residence).set(residence.tail, residence);
  return program;
}

/** Of what Engine.load or HostPrograms.load returned; undefined for anything else. */
export function residenceOf(program: unknown): Residence | undefined {
  return typeof program === 'object' && program !== null ? residences.get(program) : undefined;
}

/** A program that cannot be taken out yet. */
export const busy = (name: string, holders: readonly string[]): EtherloomError =>
  new EtherloomError('ERR_PROGRAM_BUSY', `${name} is in use at ${holders.join(', ')}`, {
    expected: 'detach it, and delete such entries, first',
  });

/** @throws EtherloomError ERR_STAGE_FORGED */
export function requireLoaded(program: object): Residence {
  const residence = residenceOf(program);
  if (!residence)
    throw forged((program as { name?: string } | undefined)?.name, 'what load() returned, not a copy of it');
  return residence;
}
