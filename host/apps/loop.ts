/**
 * Polls the burst API in Node's event loop, for applications that have no loop of their own: news in batches, asleep without.
 * The loops of a thread look about and sleep together: one that looked about by itself would keep the others from their news.
 *
 *   Turns: each loop polls, one after another ─▶ none had news for some time ─▶ asleep, until one of them is woken
 */
import { Looks } from '../engine/looks.js';
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
/** Between two turns of the event loop, ms. */
const TURN_MS = 0.25;
const TICK_MS = 100;
/** A look of those whom nobody wakes (BurstLoopOptions.restMs), ns. */
const RESTLESS_NS = 50_000;
const NS_PER_MS = 1e6;

export class BurstLoop<O> {
  readonly #events: StackEvent<O>[] = [];
  readonly #ticks: NodeJS.Timeout | undefined;
  #stopped = false;
  #asleep = false;
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
    turns.add(this as BurstLoop<unknown>);
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

  /** @internal Sleeps, unless it does; `woken` is called when it has news, its limit is over, or it is roused. */
  sleep(woken: () => void): void {
    if (this.#asleep) return;
    this.#asleep = true;
    const up = (): void => {
      this.#asleep = false;
      woken();
    };
    // A stack that was closed: the next turn hears of it.
    this.calls.wait(this.options.restMs).then(up, up);
  }

  /** @internal Ends the sleep, if it sleeps. */
  rouse(): void {
    if (this.#asleep) this.calls.rouse();
  }

  /** Ends it: the batch in hand is the last. */
  async stop(): Promise<void> {
    this.#stopped = true;
    turns.wake();
    await this.ended;
  }
}

/** The loops of this thread. */
class Turns {
  readonly #loops = new Set<BurstLoop<unknown>>();
  readonly #looks = new Looks(0);
  #running = false;
  /** Ends the common sleep. */
  #woken: (() => void) | undefined;

  add(loop: BurstLoop<unknown>): void {
    this.#loops.add(loop);
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
    this.wake();
  }

  readonly wake = (): void => this.#woken?.();

  async #run(): Promise<void> {
    // Nothing happens in the caller's turn.
    await undefined;
    let idleSinceMs = 0;
    let turnMs = performance.now();
    while (this.#loops.size > 0) {
      let n = 0;
      for (const loop of this.#loops) {
        const made = loop.turn();
        if (made === undefined) this.#loops.delete(loop);
        else n += made;
      }
      const nowMs = performance.now();
      if (n > 0) {
        if (idleSinceMs !== 0) this.#looks.waited((nowMs - idleSinceMs) * NS_PER_MS);
        idleSinceMs = 0;
      } else if (idleSinceMs === 0) idleSinceMs = nowMs;
      else if ((nowMs - idleSinceMs) * NS_PER_MS > this.#lookNs) {
        await this.#sleep();
        turnMs = performance.now();
        continue;
      }
      if (nowMs - turnMs > TURN_MS) {
        await new Promise(next => setImmediate(next));
        turnMs = performance.now();
      }
    }
    this.#running = false;
  }

  get #lookNs(): number {
    for (const loop of this.#loops)
      if (loop.options.restMs !== undefined) return Math.max(RESTLESS_NS, this.#looks.ns);
    return this.#looks.ns;
  }

  async #sleep(): Promise<void> {
    if (this.#loops.size === 0) return;
    await new Promise<void>(woken => {
      this.#woken = woken;
      for (const loop of this.#loops) loop.sleep(this.wake);
    });
    this.#woken = undefined;
    // As long as they are asleep lanes would wake them for each of their events.
    for (const loop of this.#loops) loop.rouse();
  }
}

const turns = new Turns();
