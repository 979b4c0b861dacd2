/**
 * Programs that were placed in function tables, and who points to them. A table slot in the arena is a bare number:
 * whoever stores one counts here, so that a program is not taken out, and its slots handed on, under a map entry.
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import { type AttachType, attachType, type ProgramSpec, type ProgramType } from './spec.js';
import { forged } from './stages.js';

/** Where a program was placed: table slots that mean the same in every lane. */
export interface Placed {
  /** Slot for hooks and test runs. */
  readonly run: number;
  /** Slot for PROG_ARRAY values. */
  readonly tail: number;
}

/** What an entry of a map may be set to: what Engine.load or HostPrograms.load returned, or a collection's program. */
export type ProgramRef<P extends Placed = Placed> = P | { readonly placed: P };

/** A map as those who count its entries name it. */
export interface Holder {
  readonly name: string;
  readonly type: string;
}

/** What is known of one placed program. */
export class Residence {
  readonly name: string;
  readonly type: ProgramType;
  readonly attach: AttachType;
  readonly #holders = new Map<Holder, number>();
  /** False once it was unloaded. */
  loaded = true;
  /** What load() returned. */
  program: Placed | undefined;

  constructor(
    readonly spec: ProgramSpec,
    readonly arena: Arena,
    readonly run: number,
    readonly tail: number,
  ) {
    this.name = spec.name;
    this.type = spec.type;
    this.attach = attachType(spec);
  }

  /** A map entry begins (1) or ceases (-1) to point here. */
  hold(map: Holder, by: 1 | -1): void {
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

/** The loaded program that a table slot belongs to, run or tail. */
export function programAt(arena: Arena, slot: number): Placed | undefined {
  const found = slots.get(arena)?.get(slot);
  return found?.loaded ? found.program : undefined;
}

/** For those who place programs: from now on `program` is known as loaded. */
export function settle<P extends Placed>(program: P, residence: Residence): P {
  residences.set(Object.freeze(program), residence);
  residence.program = program;
  let table = slots.get(residence.arena);
  if (!table) slots.set(residence.arena, (table = new Map()));
  table.set(residence.run, residence).set(residence.tail, residence);
  return program;
}

/** Of what Engine.load or HostPrograms.load returned, or a collection's program; undefined for anything else. */
export function residenceOf(program: unknown): Residence | undefined {
  if (typeof program !== 'object' || program === null) return undefined;
  return residences.get(program) ?? residences.get((program as { placed?: object }).placed ?? program);
}

/** A program that cannot be taken out yet. */
export const busy = (name: string, holders: readonly string[]): EtherloomError =>
  new EtherloomError('ERR_PROGRAM_BUSY', `${name} is in use at ${holders.join(', ')}`, {
    expected: 'detach it, delete such entries, and cancel such timers (cancelTimers), first',
  });

/** @throws EtherloomError ERR_STAGE_FORGED */
export function requireLoaded(program: object): Residence {
  const residence = residenceOf(program);
  if (!residence)
    throw forged((program as { name?: string } | undefined)?.name, 'what load() returned, not a copy of it');
  return residence;
}
