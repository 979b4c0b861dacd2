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
