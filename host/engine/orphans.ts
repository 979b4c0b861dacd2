/**
 * What becomes of a lane that was given up: those who had something there are told, and its streams end. Nothing of the
 * lane runs any more, so the host's instance of the core answers for it.
 *
 *   supervisor: lost ─▶ heirs (transports: what their connections are to say) ─▶ streams closed, applications told
 *                                                       applications let go ─▶ poll: numbers and memory come back
 */
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';

/** Called with the lane that was given up, before its streams are closed. */
export type Heir = (lane: number) => void;

export class Orphans {
  readonly #lost: number[] = [];
  readonly #heirs = new Set<Heir>();

  constructor(
    readonly arena: Arena,
    /** The host's instance. */
    readonly core: Core,
  ) {}

  /** Lanes that were given up. */
  get lanes(): readonly number[] {
    return this.#lost;
  }

  /** Has `heir` told of lanes that are given up from now on. Returns what ends that. */
  follow(heir: Heir): () => void {
    this.#heirs.add(heir);
    return () => {
      this.#heirs.delete(heir);
    };
  }

  /** Lane `lane` was given up, and what it left is mended. */
  bury(lane: number): void {
    if (this.#lost.includes(lane)) return;
    this.#lost.push(lane);
    for (const heir of this.#heirs)
      try {
        heir(lane);
      } catch (error) {
        // The others, and the applications, are told all the same.
        queueMicrotask(() => {
          throw error;
        });
      }
    this.core.exports.stream_bury(lane);
  }

  /** What the lanes that are no more were asked since the last look. */
  poll(): void {
    for (const lane of this.#lost) this.core.exports.stream_attend(lane);
  }
}
