/**
 * Memory that lanes may still be reading: what was published is replaced by one store, and freed when every running lane
 * has passed a burst boundary since. So readers need no lock.
 */
import { LanePhase } from '../layout/layout.gen.js';
import type { Arena } from './arena.js';

interface Block {
  addresses: number[];
  /** Epoch of each lane when it was retired. */
  epochs: number[];
}

export class Retired {
  #blocks: Block[] = [];

  constructor(readonly arena: Arena) {}

  /** Gives blocks of the scratch region up; they are freed by a later `collect`. */
  add(addresses: number[]): void {
    if (addresses.length) this.#blocks.push({ addresses, epochs: this.#epochs() });
  }

  /** Frees what no lane can be reading any more. */
  collect(): void {
    const { arena } = this;
    this.#blocks = this.#blocks.filter(old => {
      const busy = old.epochs.some((epoch, i) => {
        const lane = arena.lane(i);
        return lane.phase === LanePhase.RUNNING && lane.sleeping === 0 && lane.epoch === epoch;
      });
      if (!busy) for (const at of old.addresses) arena.scratch.free(at);
      return busy;
    });
  }

  #epochs(): number[] {
    return Array.from({ length: this.arena.header.laneCount }, (_, i) => this.arena.lane(i).epoch);
  }
}
