/**
 * Who asks: what a load is made of, whoever carries its bytes. A caller makes the requests of one connection and knows its
 * answers; a flow keeps so many of them on their way and measures how long each takes.
 *
 *   Flow.ask ─▶ Caller.ask ─▶ out ─▶ connection ─▶ … ─▶ connection ─▶ Flow.take ─▶ Caller.take ─▶ Tally
 */
import type { Answers } from '../service.js';
import type { Tally } from './tally.js';

export interface Caller {
  /** Appends the next request. False: there is none. */
  ask(out: Answers): boolean;
  /** Takes what came. Returns answers that are whole now. @throws Error when they are not what was asked for */
  take(bytes: Uint8Array, n: number): number;
}

export class Flow {
  /** When the requests under way were made, ms: a ring. */
  readonly #since: Float64Array;
  #first = 0;
  #underWay = 0;
  /** No more requests are made. */
  stopped = false;

  constructor(
    readonly caller: Caller,
    readonly outstanding: number,
    readonly tally: Tally,
  ) {
    this.#since = new Float64Array(outstanding);
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Appends requests, at most `most`, until enough are under way. */
  ask(now: number, out: Answers, most = this.outstanding): void {
    for (let n = 0; n < most && this.#underWay < this.outstanding && !this.stopped; n++) {
      if (!this.caller.ask(out)) return;
      this.#since[(this.#first + this.#underWay++) % this.outstanding] = now;
    }
  }

  /** Takes what came at `now`, ms. @throws Error for an answer to nothing */
  take(bytes: Uint8Array, n: number, now: number): void {
    const answers = this.caller.take(bytes, n);
    if (answers > this.#underWay)
      throw new Error(`${answers} answers to ${this.#underWay} requests that are under way`);
    const { tally } = this;
    tally.received(n, answers);
    for (let k = 0; k < answers; k++) {
      tally.took((now - this.#since[this.#first]) * 1e6);
      this.#first = this.#first + 1 === this.outstanding ? 0 : this.#first + 1;
    }
    this.#underWay -= answers;
  }
}
