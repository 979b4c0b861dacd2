/** Descriptors that lanes refused: each lane counts them, the host tells of them when it looks. */
import type { LaneStateView } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';

/** Descriptors of a receive ring that left their frame or the packet area: whoever fills that ring is at fault. */
export interface BadDescriptor {
  lane: number;
  /** How many since the last report. */
  count: number;
  /** Of the last one: address relative to the packet area, and bytes. */
  address: number;
  length: number;
}

export class BadDescriptors {
  readonly #lanes: readonly LaneStateView[];
  readonly #seen: number[];

  constructor(
    arena: Arena,
    readonly tell: (bad: BadDescriptor) => void,
  ) {
    this.#lanes = Array.from({ length: arena.header.laneCount }, (_, i) => arena.lane(i));
    this.#seen = this.#lanes.map(() => 0);
  }

  /** Says which lanes refused some since the last look. */
  look(): void {
    // After each step of an inline engine: nothing is made here while there are none.
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      const state = this.#lanes[lane];
      const count = (state.badDescriptors - this.#seen[lane]) >>> 0;
      if (count === 0) continue;
      this.#seen[lane] = state.badDescriptors;
      this.tell({ lane, count, address: state.badAddr, length: state.badLen });
    }
  }
}
