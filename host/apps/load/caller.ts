/**
 * Who asks: what a load is made of, whoever carries its bytes. A caller makes the requests of one connection and knows its
 * answers; a flow keeps so many of them on their way and measures how long each takes.
 *
 *   Flow.ask ─▶ Caller.ask ─▶ out ─▶ connection ─▶ … ─▶ connection ─▶ Flow.take ─▶ Caller.take ─▶ Tally
 */
import type { Answers } from '../service.js';
import type { Tally } from './tally.js';

export interface Caller {
  /** Appends the next requests, at most `most`. Returns how many: fewer when there are no more. */
  ask(out: Answers, most: number): number;
  /** Takes what came. Returns answers that are whole now. @throws Error when they are not what was asked for */
  take(bytes: Uint8Array, n: number): number;
}

export class Flow {
  /** Requests under way that were made together, the oldest first: a ring of when, ms, and how many. */
  readonly #since: Float64Array;
  readonly #count: Float64Array;
  #first = 0;
  #batches = 0;
  #underWay = 0;
  /** No more requests are made. */
  stopped = false;

  constructor(
    readonly caller: Caller,
    readonly outstanding: number,
    readonly tally: Tally,
  ) {
    this.#since = new Float64Array(outstanding);
    this.#count = new Float64Array(outstanding);
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Appends requests, at most `most`, until enough are under way. */
  ask(now: number, out: Answers, most = this.outstanding): void {
    const room = Math.min(most, this.outstanding - this.#underWay);
    if (room <= 0 || this.stopped) return;
    const asked = this.caller.ask(out, room);
    if (asked === 0) return;
    const at = (this.#first + this.#batches++) % this.outstanding;
    this.#since[at] = now;
    this.#count[at] = asked;
    this.#underWay += asked;
  }

  /** Takes what came at `now`, ms. @throws Error for an answer to nothing */
  take(bytes: Uint8Array, n: number, now: number): void {
    const answers = this.caller.take(bytes, n);
    if (answers > this.#underWay)
      throw new Error(`${answers} answers to ${this.#underWay} requests that are under way`);
    const { tally } = this;
    tally.received(n, answers);
    for (let left = answers; left > 0; ) {
      const of = Math.min(left, this.#count[this.#first]);
      tally.took((now - this.#since[this.#first]) * 1e6, of);
      left -= of;
      this.#count[this.#first] -= of;
      if (this.#count[this.#first] > 0) break;
      this.#first = this.#first + 1 === this.outstanding ? 0 : this.#first + 1;
      this.#batches--;
    }
    this.#underWay -= answers;
  }
}
