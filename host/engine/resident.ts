/**
 * In-lane applications: a module that the thread of each lane loads and asks between its steps. What a connection of that
 * lane brings is answered without another thread, and without waking one.
 *
 *   lane.step: packets ─▶ streams ─▶ events ─▶ resident.poll: read, write, doorbells ─▶ lane.step …
 *
 * A resident is of its lane's life: what it throws ends the lane, which is replaced, and it begins anew. Its streams are in
 * the arena, and stay. It must not block, and what it takes long for, every connection of the lane waits for.
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';

/** Which module, and what each lane's instance of it is given. */
export interface ResidentOptions {
  /** URL of an ES module that Node loads as it is (no TypeScript): its default export is a `SeatResident`. */
  module: string | URL;
  /** Cloned to each lane; a SharedArrayBuffer in it is shared by all. */
  data?: unknown;
}

/** What a resident has to work with. `StreamApp.over(arena, number)` makes this thread the application of that number. */
export interface LaneSeat {
  readonly arena: Arena;
  readonly lane: number;
  readonly data: unknown;
}

export interface Resident {
  /** Does what there is to do. 0: nothing, and the lane may sleep if it has nothing to do either. */
  poll(): number;
}

export type SeatResident = (seat: LaneSeat) => Resident | Promise<Resident>;

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
