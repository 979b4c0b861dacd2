/**
 * The packets that a thread is writing, named in LaneState as the loop names its burst (assembly/core/hand.ts): a lane
 * that dies before their frames are free does not write them again when it is replaced. They are sent once, or never.
 */
import { LaneStateLayout, RingLayout } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';

export class Hand {
  readonly #ring: number;
  readonly #end: number;

  constructor(
    readonly arena: Arena,
    lane: number,
  ) {
    const { at } = arena.lane(lane);
    this.#ring = (at + LaneStateLayout.handRing) >> 2;
    this.#end = (at + LaneStateLayout.handEnd) >> 2;
  }

  /** The first `n` packets of the consumer view `ring` end with this thread. */
  take(ring: number, n: number): void {
    const { u32 } = this.arena;
    u32[this.#end] = u32[(ring + RingLayout.cachedConsumer) >> 2] + n;
    u32[this.#ring] = ring;
  }

  empty(): void {
    this.arena.u32[this.#ring] = 0;
  }
}
