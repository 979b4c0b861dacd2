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
  /** What its answer is made of. */
  #source: Pieces | Streamed | undefined;

  constructor(
    readonly caller: { address: string; port: number } | undefined,
    /** A request that is read while it comes. */
    readonly body: RpcBody | undefined,
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

  /** All of it came. */
  keep(kept: KeptRequest): void {
    this.#kept = kept;
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(kept);
  }

  /** Its answer is made of pieces: they end when nobody waits for it. False: nobody does. */
  answersWith(source: Pieces | Streamed): boolean {
    this.#source = source;
    if (this.#cancelled) endSource(source);
    return !this.#cancelled;
  }

  /** Answers, as soon as all of it came. */
  answer(how: (kept: KeptRequest) => void): void {
    if (this.#cancelled) return;
    if (this.#kept !== undefined) how(this.#kept);
    else this.#answer = how;
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.#cancelled = true;
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
