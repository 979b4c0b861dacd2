/**
 * How long lanes stood still for orders: each visit of an order to a lane is a stop of its loop, by the lane's own clock from
 * the end of a round to the beginning of the next. Some of it a lane may have waited for a CPU that another thread had, which
 * it does at any other time as well: the kernel counts that (run_delay in /proc/PID/task/TID/schedstat).
 */

export interface Stop {
  /** From the end of one round to the beginning of the next, ns. */
  ns: number;
  /** For so long of it the thread was ready to run and had no CPU, ns. 0 where nobody knows (no addon, inline lanes). */
  waitedNs: number;
}

/** Stops of each lane, as they come. Who reads them may take them out. */
export class Stops {
  #byLane: Stop[][] = [];

  add(lane: number, stops: readonly Stop[]): void {
    while (this.#byLane.length <= lane) this.#byLane.push([]);
    this.#byLane[lane].push(...stops);
  }

  /** What others have, too. */
  join(others: Stops): void {
    for (const [lane, stops] of others.byLane.entries()) this.add(lane, stops);
  }

  /** By lane; empty where none runs. */
  get byLane(): readonly (readonly Stop[])[] {
    return this.#byLane;
  }

  /** By lane: the longest, ns. */
  get longestNs(): number[] {
    return this.#byLane.map(stops => Math.max(0, ...stops.map(s => s.ns)));
  }

  /** By lane: the longest but for what the thread waited for a CPU, ns. */
  get longestRunNs(): number[] {
    return this.#byLane.map(stops => Math.max(0, ...stops.map(s => s.ns - s.waitedNs)));
  }

  /** Returns them and has none from then on. */
  take(): Stops {
    const taken = new Stops();
    taken.#byLane = this.#byLane;
    this.#byLane = [];
    return taken;
  }
}

/** One stop of each lane, of so many ns. */
export function standstill(ns: readonly number[]): Stops {
  const stops = new Stops();
  for (const [lane, n] of ns.entries()) stops.add(lane, [{ ns: n, waitedNs: 0 }]);
  return stops;
}
