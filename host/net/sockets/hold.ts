/** Whether a socket or server keeps the process alive: while it is at work and wants to (`ref`, the default; `unref`). */
import type { SocketLoop } from './loop.js';

export class Hold {
  #wanted = true;
  #held = false;

  constructor(
    readonly loop: SocketLoop,
    /** Whether there is anything to wait for. */
    readonly busy: () => boolean,
  ) {}

  want(wanted: boolean): void {
    this.#wanted = wanted;
    this.update();
  }

  /** To be called when `busy` may have changed. */
  update(): void {
    const hold = this.#wanted && this.busy();
    if (hold !== this.#held) this.loop.hold(hold);
    this.#held = hold;
  }
}
