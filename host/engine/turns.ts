/**
 * Those who poll in a thread's event loop, applications and endpoints of calls, take turns, look about and sleep together: one
 * that looked about by itself would keep the others from their news. Those of an engine in virtual time have turns of their
 * own, which let its time jump when nobody has anything to do.
 *
 *   turn, turn, … ─▶ none had news for some time ─▶ asleep, until one of them is woken        (virtual: the next thing that is due)
 */
import { Looks } from './looks.js';

/** The time of an engine that passes only when it is told. */
export interface VirtualTime {
  /** Jumps to what is due next, at most to `untilMs` of its clock. Whether it did: nothing may be due. */
  advance(untilMs: number): boolean;
}

export interface Driven {
  /** One poll, and what it brought; throws nothing. Returns events; undefined: it is over. */
  turn(): number | undefined;
  /** Whether somebody waits for something to happen. */
  readonly waits: boolean;
  /** When somebody is late next, and the time, ms. */
  readonly nextMs: number;
  readonly nowMs: number;
  /** Nobody wakes it: it looks about for longer before a sleep. */
  readonly restless?: boolean;
  /** Resolves when there is news, or it was roused. */
  wait(): Promise<unknown>;
  rouse(): void;
}

/** Between two turns of the event loop, ms. */
const TURN_MS = 0.25;
/** A look of those whom nobody wakes, ns. */
const RESTLESS_NS = 50_000;
const NS_PER_MS = 1e6;
/** Longest time that passes between two turns of the event loop in virtual time, ms. */
const STEP_MS = 100;
/** Longest timer, ms. */
const FAR_MS = 2 ** 31 - 1;

export class Turns {
  readonly #all = new Set<Driven>();
  readonly #asleep = new Set<Driven>();
  readonly #looks = new Looks(0);
  #running = false;
  /** Ends the common sleep. */
  #woken: (() => void) | undefined;

  constructor(readonly time: VirtualTime | undefined) {}

  add(driven: Driven): void {
    this.#all.add(driven);
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
    this.wake();
  }

  /** Ends a sleep: something was asked of one of them. */
  readonly wake = (): void => this.#woken?.();

  async #run(): Promise<void> {
    // Nothing happens in the caller's turn.
    await undefined;
    let idleSinceMs = 0;
    let turnMs = performance.now();
    while (this.#all.size > 0) {
      let n = 0;
      for (const driven of this.#all) {
        const made = driven.turn();
        if (made === undefined) this.#all.delete(driven);
        else n += made;
      }
      const nowMs = performance.now();
      if (n > 0) {
        if (idleSinceMs !== 0) this.#looks.waited((nowMs - idleSinceMs) * NS_PER_MS);
        idleSinceMs = 0;
        // Whoever was answered goes on before the next look.
        await undefined;
      } else if (this.time !== undefined) await this.#pass(this.time);
      else if (idleSinceMs === 0) idleSinceMs = nowMs;
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
    for (const driven of this.#all) if (driven.restless) return Math.max(RESTLESS_NS, this.#looks.ns);
    return this.#looks.ns;
  }

  /** Virtual time: what others do comes first, then time passes, if somebody waits for that. */
  async #pass(time: VirtualTime): Promise<void> {
    await new Promise(next => setImmediate(next));
    let untilMs = Number.POSITIVE_INFINITY;
    let waits = false;
    for (const driven of this.#all) {
      waits ||= driven.waits;
      // In steps: what is made in the event loop meanwhile, as the pieces of a body, is not to be late for want of turns.
      untilMs = Math.min(untilMs, driven.nextMs, driven.nowMs + STEP_MS);
    }
    if (waits && time.advance(untilMs)) return;
    await new Promise<void>(woken => {
      this.#woken = woken;
      // What is due may be due to others: somebody else lets time pass.
      if (waits) setTimeout(woken, 1);
      else setTimeout(woken, 5).unref();
    });
    this.#woken = undefined;
  }

  async #sleep(): Promise<void> {
    if (this.#all.size === 0) return;
    let ms = FAR_MS;
    for (const driven of this.#all) ms = Math.min(ms, driven.nextMs - driven.nowMs);
    // Who waits for something keeps the process alive; a look at who is late does not.
    const timer = ms < FAR_MS ? setTimeout(this.wake, Math.max(0, ms)).unref() : undefined;
    await new Promise<void>(woken => {
      this.#woken = woken;
      for (const driven of this.#all) this.#lay(driven);
    });
    this.#woken = undefined;
    clearTimeout(timer);
    // As long as they are asleep lanes would wake them for each of their events.
    for (const driven of this.#asleep) driven.rouse();
  }

  #lay(driven: Driven): void {
    if (this.#asleep.has(driven)) return;
    this.#asleep.add(driven);
    const up = (): void => {
      this.#asleep.delete(driven);
      this.wake();
    };
    driven.wait().then(up, up);
  }
}

const ofThread = new Turns(undefined);
const ofTimes = new WeakMap<object, Turns>();

/** The turns of this thread, or those of an engine in virtual time. @param key the engine */
export function turnsOf(key?: object, time?: VirtualTime): Turns {
  if (key === undefined || time === undefined) return ofThread;
  const known = ofTimes.get(key) ?? new Turns(time);
  ofTimes.set(key, known);
  return known;
}
