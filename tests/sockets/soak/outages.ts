/**
 * When nobody could answer: a lane is dead until it is back, and a process that is halted (SIGSTOP, a debugger, a machine that
 * sleeps) stands still with all of its lanes while the clocks of its peers go on.
 */

/** A look at the clock so often; one that comes so late says that the process stood still, ms. */
const LOOK_MS = 250;
const LATE_MS = 2000;

/** How long this process stood still. Does not keep it alive. */
export class Pulse {
  #last = performance.now();
  #stoodMs = 0;
  readonly #heard: ((from: number, to: number) => void)[] = [];

  constructor() {
    setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Calls back after it stood still, with when that was. */
  onStood(heard: (from: number, to: number) => void): void {
    this.#heard.push(heard);
  }

  #look(): void {
    const from = this.#last;
    const to = performance.now();
    this.#last = to;
    if (to - from < LATE_MS) return;
    this.#stoodMs += to - from;
    for (const heard of this.#heard) heard(from, to);
  }

  get stoodMs(): number {
    this.#look();
    return this.#stoodMs;
  }
}

/** Of this process. */
export const pulse = new Pulse();

interface Outage {
  /** undefined: all. */
  lane: number | undefined;
  from: number;
  to: number;
}

export class Outages {
  readonly #all: Outage[] = [];

  constructor() {
    pulse.onStood((from, to) => this.#all.push({ lane: undefined, from, to }));
  }

  /** A lane was ended. What is returned is called when it is back. */
  begin(lane: number): () => void {
    const outage: Outage = { lane, from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.#all.push(outage);
    return () => {
      outage.to = performance.now();
    };
  }

  /** Whether lane `lane` was ended, or not yet back, at some time since `from`. */
  ended(lane: number, from: number): boolean {
    return this.#all.some(o => o.lane === lane && o.to >= from);
  }

  /** Whether anybody could not answer at some time since `from`. */
  some(from: number): boolean {
    return this.#all.some(o => o.to >= from);
  }

  /** The longest there was, ms. */
  get longestMs(): number {
    const now = performance.now();
    return this.#all.reduce((most, { from, to }) => Math.max(most, Math.min(to, now) - from), 0);
  }
}
