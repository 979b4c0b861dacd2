/** Sources of streamed bodies that are watched: what each gives, and whether it was ended. */
import type { Rng } from '../../support/fuzz.js';

/** What is wrong with a source; `stalls`: it says nothing more, and never ends by itself. */
export type Fault = 'none' | 'short' | 'long' | 'throws' | 'stalls';

export class Source implements AsyncIterableIterator<Uint8Array> {
  /** It came to its end, threw, or was told that nobody wants more. */
  ended = false;
  #at = 0;
  readonly #most: number;

  /** @param piece bytes at a time @param waits turns of the event loop before each piece */
  constructor(
    readonly bytes: Uint8Array,
    readonly fault: Fault,
    readonly piece: number,
    readonly waits: number,
  ) {
    const half = bytes.length >> 1;
    this.#most = fault === 'none' || fault === 'long' ? bytes.length : half;
  }

  static random(rng: Rng, bytes: Uint8Array, fault: Fault): Source {
    return new Source(
      bytes,
      fault,
      1 + rng.below(rng.pick([10, 2000, 100_000])) + (bytes.length >> 6),
      rng.below(3),
    );
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (let i = 0; i < this.waits; i++) await new Promise(turn => setImmediate(turn));
    const at = this.#at;
    if (this.ended) return { done: true, value: undefined };
    if (at < this.#most) {
      this.#at = Math.min(this.#most, at + this.piece);
      return { done: false, value: this.bytes.subarray(at, this.#at) };
    }
    if (this.fault === 'stalls') return new Promise(() => {});
    if (this.fault === 'long' && at === this.#most) {
      this.#at++;
      return { done: false, value: new Uint8Array(1) };
    }
    this.ended = true;
    if (this.fault === 'throws') throw new Error('the source broke');
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.ended = true;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
