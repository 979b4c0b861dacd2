/**
 * In-lane applications: a module that the thread of each lane loads and asks between its steps. What a connection of that
 * lane brings is answered without another thread, and without waking one.
 *
 *   lane.step: packets ─▶ streams ─▶ events ─▶ resident.poll: read, write, doorbells ─▶ lane.step …
 *
 * One is given to the engine and lives as long as it (EngineOptions.resident); others come and go (Engine.seat). While one is
 * being loaded the lane goes on with its packets.
 *
 * A resident is of its lane's life: what it throws ends the lane, which is replaced, and it begins anew. Its streams are in
 * the arena, and stay. It must not block, and what it takes long for, every connection of the lane waits for.
 */
import type { MessagePort } from 'node:worker_threads';
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';

/** Which module, and what each lane's instance of it is given. */
export interface ResidentOptions {
  /** URL of an ES module that Node loads as it is (no TypeScript): its default export is a `SeatResident`. */
  module: string | URL;
  /** Cloned to each lane; a SharedArrayBuffer in it is shared by all. */
  data?: unknown;
}

/** What a resident has to work with. `StreamApp.seated(arena, number, lane)` makes this thread the application of that number. */
export interface LaneSeat {
  readonly arena: Arena;
  readonly lane: number;
  readonly data: unknown;
}

export interface Resident {
  /**
   * Does what there is to do. 0: nothing, and the lane may sleep if it has nothing to do either. What it throws ends the lane.
   * @param nowNs the lane's clock
   */
  poll(nowNs: number): number;
}

export type SeatResident = (seat: LaneSeat) => Resident | Promise<Resident>;

/** A seat that is taken while the engine runs (Engine.seat), as a lane is told of it. */
export interface SeatOrder {
  /** Which one: `unseat` names it. */
  id: number;
  module: string;
  data: unknown;
}

/** The same for the host: each life of the lane begins it anew. */
export interface SeatPlan {
  module: string | URL;
  /** What this life's resident is given; what of it must be transferred. The one before, if any, is no more. */
  begin(): { data: unknown; transfer: MessagePort[] };
  /** Ends it, also while its module is being loaded: `seat` rejects with its reason when the lane has heard. */
  signal?: AbortSignal;
}

/** All that live in a lane. Most have nobody: then a poll is a look at a number. */
export class Residents implements Resident {
  readonly #seated: { id: number; resident: Resident }[] = [];
  #count = 0;

  poll(nowNs: number): number {
    let work = 0;
    for (let i = 0; i < this.#count; i++) work += this.#seated[i].resident.poll(nowNs);
    return work;
  }

  get size(): number {
    return this.#count;
  }

  has(id: number): boolean {
    return this.#seated.some(s => s.id === id);
  }

  add(id: number, resident: Resident): void {
    this.#seated.push({ id, resident });
    this.#count++;
  }

  remove(id: number): void {
    const at = this.#seated.findIndex(s => s.id === id);
    if (at < 0) return;
    this.#seated.splice(at, 1);
    this.#count--;
  }
}

/** Loads the module and makes the lane's instance. @throws EtherloomError ERR_RESIDENT */
export async function seatResident(
  { module, data }: ResidentOptions,
  arena: Arena,
  lane: number,
): Promise<Resident> {
  try {
    const { default: seat } = (await import(String(module))) as { default: SeatResident };
    const resident = await seat({ arena, lane, data });
    if (typeof resident?.poll !== 'function') throw new TypeError('it has no poll()');
    return resident;
  } catch (cause) {
    throw new EtherloomError(
      'ERR_RESIDENT',
      `lane ${lane} cannot seat ${module}: ${(cause as Error).message}`,
      {
        expected: 'a module whose default export returns { poll() }',
        cause,
      },
    );
  }
}
