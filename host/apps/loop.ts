/** Polls the burst API in Node's event loop, for applications that have no loop of their own: news in batches, asleep without. */
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
  /** How long it polls without news before it sleeps, ms: a sleep costs some 25 µs to end. Default 0.05, as lanes. */
  lookMs?: number;
  /** Longest sleep, ms: of inline engines, whose steps are made in it. Default: until there is news. */
  restMs?: number;
  /** Called some ten times a second. */
  tick?: (nowMs: number) => void;
}

/** Polls before the event loop has its turn. */
const TURN = 64;
const LOOK_MS = 0.05;
/** Most between two ticks while nothing happens. */
const TICK_MS = 100;

export class BurstLoop<O> {
  readonly #events: StackEvent<O>[] = [];
  readonly #lookMs: number;
  readonly #restMs: number | undefined;
  #stopped = false;
  /** Resolves when it is over; rejects with what `news` threw. */
  readonly ended: Promise<void>;

  constructor(
    readonly calls: Polled<O>,
    readonly news: (events: readonly StackEvent<O>[], n: number) => void,
    readonly options: BurstLoopOptions = {},
  ) {
    this.#lookMs = options.lookMs ?? LOOK_MS;
    this.#restMs = options.tick ? Math.min(options.restMs ?? TICK_MS, TICK_MS) : options.restMs;
    this.ended = this.#run();
    // Whoever does not wait for the end hears of an error when it does.
    this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    // Nothing happens in the caller's turn.
    await undefined;
    for (let turns = 1, newsMs = performance.now(); !this.#stopped; turns++) {
      const n = this.#poll();
      if (n > 0) {
        this.news(this.#events, n);
        this.calls.flush();
        newsMs = performance.now();
      } else if (performance.now() - newsMs > this.#lookMs) {
        await this.calls.wait(this.#restMs);
        this.options.tick?.(performance.now());
      }
      if (turns % TURN === 0) {
        this.options.tick?.(performance.now());
        await new Promise(next => setImmediate(next));
      }
    }
  }

  /** A stack that was closed ends the loop. */
  #poll(): number {
    try {
      return this.calls.poll(this.#events);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_STACK_CLOSED') throw error;
      this.#stopped = true;
      return 0;
    }
  }

  /** Ends it: the batch in hand is the last. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.calls.rouse();
    await this.ended;
  }
}
