/**
 * What keeps a process alive that waits for lanes: their threads, ports and timers do not, so that a process ends like any of
 * Node's when nothing it waits for is left. Whoever waits for them holds this meanwhile.
 */

/** Longest time of a timer, ms: this one fires every 24 days. */
const FAR_MS = 2 ** 31 - 1;

export class Alive {
  #holds = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** Something begins to keep the process alive, or does so no more. */
  hold(on: boolean): void {
    this.#holds += on ? 1 : -1;
    if (this.#ended) return;
    if (this.#holds === 0) this.#timer?.unref();
    else if (on && this.#holds === 1) {
      this.#timer ??= setInterval(() => {}, FAR_MS);
      this.#timer.ref();
    }
  }

  /** Holds until `work` is done. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.hold(true);
    try {
      return await work;
    } finally {
      this.hold(false);
    }
  }

  /** From now on nobody keeps the process alive by it. */
  end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
  }
}

/** Whether an engine that runs keeps the process alive: what was asked for, else whether it has worker lanes and no stack. */
export class EngineHold {
  /** What `ref` and `unref` said, if they did. */
  #wanted: boolean | undefined;
  #stacks = 0;
  #running = false;
  #held = false;

  constructor(
    readonly alive: Alive,
    readonly inline: boolean,
  ) {}

  want(wanted: boolean): void {
    this.#wanted = wanted;
    this.#settle();
  }

  /** A stack is on the engine from now on, or no more. */
  inhabit(on: boolean): void {
    this.#stacks += on ? 1 : -1;
    this.#settle();
  }

  run(on: boolean): void {
    this.#running = on;
    this.#settle();
  }

  #settle(): void {
    const held = this.#running && (this.#wanted ?? (!this.inline && this.#stacks === 0));
    if (held !== this.#held) this.alive.hold(held);
    this.#held = held;
  }
}
