/** A request that a handler works on: what it may ask, and what becomes of its answer. */
import { endSource, type Pieces, type RpcBody, type Streamed } from './body.js';
import type { KeptRequest } from './event.js';
import type { RpcContext } from './server.js';

export class Request implements RpcContext {
  #kept: KeptRequest | undefined;
  #abort: AbortController | undefined;
  #cancelled = false;
  /** An answer that came before all of the request. */
  #answer: ((kept: KeptRequest) => void) | undefined;
  /** What counts for its caller until its handler has returned, and what the answer is made of was made. */
  #held: { letGo(): void } | undefined;
  /** What its answer is made of. */
  #source: Pieces | Streamed | undefined;

  constructor(
    readonly caller: { address: string; port: number } | undefined,
    /** A request that is read while it comes. */
    readonly body: RpcBody | undefined,
    /** Nobody waited for its answer any more, and now nobody works on it: there may be room for others. */
    private readonly onLeft: () => void,
  ) {}

  /** Made when it is asked for. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#cancelled) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get from(): { address: string; port: number } {
    return this.caller ?? this.#kept!.from;
  }

  /** Somebody works on it. */
  hold(held: { letGo(): void }): void {
    this.#held = held;
  }

  letGo(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.letGo();
    if (this.#cancelled) this.onLeft();
  }

  /** All of it came. */
  keep(kept: KeptRequest): void {
    this.#kept = kept;
    this.#held?.letGo();
    this.#held = kept.hold();
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(kept);
  }

  /** Its answer is made of pieces: they end when nobody waits for it. False: nobody does. */
  answersWith(source: Pieces | Streamed): boolean {
    this.#source = source;
    if (!this.#cancelled) return true;
    endSource(source);
    this.letGo();
    return false;
  }

  /** Answers, as soon as all of it came. Its handler has returned, and has made what it answers with. */
  answer(how: (kept: KeptRequest) => void): void {
    if (this.#cancelled) return this.letGo();
    if (this.#kept !== undefined) how(this.#kept);
    else this.#answer = how;
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.#cancelled = true;
    // It has returned: what it gave waited for the rest of the request.
    if (this.#answer !== undefined) this.letGo();
    this.#answer = undefined;
    if (this.#source !== undefined) endSource(this.#source);
    this.#abort?.abort();
  }

  /** The rest of it will not come. */
  lose(error: Error): void {
    this.body?.fail(error);
    this.cancel();
  }
}
