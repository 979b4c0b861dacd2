/**
 * Polls the burst API in Node's event loop, for applications that have no loop of their own: news in batches, asleep without.
 * The loops of a thread take turns (host/engine/turns.ts).
 */
import { type Driven, turnsOf } from '../engine/turns.js';
import type { StackEvent } from '../net/burst/sockets.js';

/** What it needs of the burst API: a stack's and a StackApp have it. */
export interface Polled<O> {
  poll(events: StackEvent<O>[], max?: number): number;
  flush(): void;
  /** Without a limit: each leaves a timer behind. */
  wait(ms?: number): Promise<boolean>;
  rouse(): void;
}

export interface BurstLoopOptions {
  /** Longest sleep, ms: of inline engines, whose steps are made in it. Default: until there is news. */
  restMs?: number;
  /** Called some ten times a second. */
  tick?: (nowMs: number) => void;
}

/** Connections told of before what they wrote leaves: the lanes work meanwhile. */
const BATCH = 16;
const TICK_MS = 100;

/** Those of this thread. */
const turns = turnsOf();

export class BurstLoop<O> implements Driven {
  readonly #events: StackEvent<O>[] = [];
  readonly #ticks: NodeJS.Timeout | undefined;
  #stopped = false;
  #end!: (error?: unknown) => void;
  /** Resolves when it is over; rejects with what `news` threw. */
  readonly ended: Promise<void>;

  constructor(
    readonly calls: Polled<O>,
    readonly news: (events: readonly StackEvent<O>[], n: number) => void,
    readonly options: BurstLoopOptions = {},
  ) {
    this.ended = new Promise((resolve, reject) => {
      this.#end = error => (error === undefined ? resolve() : reject(error));
    });
    // Whoever does not wait for the end hears of an error when it does.
    this.ended.catch(() => {});
    if (options.tick) this.#ticks = setInterval(() => this.#tick(), TICK_MS).unref();
    turns.add(this);
  }

  #tick(): void {
    this.#try(() => {
      this.options.tick?.(performance.now());
      // It may be asleep, and stay so.
      this.calls.flush();
    }, undefined);
  }

  /** @internal One poll, and what it brought. Returns connections with news; undefined: it is over. */
  turn(): number | undefined {
    if (!this.#stopped) {
      const n = this.#try(() => this.calls.poll(this.#events, BATCH), 0);
      if (n === 0) return 0;
      if (!this.#stopped) {
        this.#try(() => {
          this.news(this.#events, n);
          this.calls.flush();
        }, undefined);
        return n;
      }
    }
    clearInterval(this.#ticks);
    this.#end();
    return undefined;
  }

  /** What it throws ends the loop; that the stack was closed is no error. */
  #try<T>(work: () => T, otherwise: T): T {
    try {
      return work();
    } catch (error) {
      this.#stopped = true;
      if ((error as { code?: string }).code !== 'ERR_STACK_CLOSED') this.#end(error);
      turns.wake();
      return otherwise;
    }
  }

  /** @internal */
  get waits(): boolean {
    return false;
  }

  /** @internal `tick` has a timer. */
  get nextMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** @internal */
  get nowMs(): number {
    return performance.now();
  }

  /** @internal */
  get restless(): boolean {
    return this.options.restMs !== undefined;
  }

  /** @internal Rejects of a stack that was closed: the next turn hears of it. */
  wait(): Promise<unknown> {
    return this.calls.wait(this.options.restMs);
  }

  /** @internal */
  rouse(): void {
    this.calls.rouse();
  }

  /** Ends it: the batch in hand is the last. */
  async stop(): Promise<void> {
    this.#stopped = true;
    turns.wake();
    await this.ended;
  }
}
