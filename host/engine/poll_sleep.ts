/** How a lane with descriptors sleeps: in poll(2), until one of them is readable or its eventfd is written (mem/wakes.ts). */
import type { Arena } from '../mem/arena.js';
import { systemCalls } from '../mem/wakes.js';
import type { Native } from '../native/load.js';
import type { LaneDriver } from '../nic/driver.js';

const POLLIN = 1;
const POLLFD_BYTES = 8;

/** A lane's sleep on descriptors and on its eventfd. */
export class PollSleep {
  readonly #native: Native;
  /** struct pollfd[]: the eventfd, then those of the drivers. */
  readonly #pollfds: Uint8Array;
  readonly #view: DataView;
  readonly #count = new Uint8Array(8);

  private constructor(
    native: Native,
    readonly eventFd: number,
    readonly drivers: readonly LaneDriver[],
  ) {
    this.#native = native;
    const fds = drivers.reduce((n, driver) => n + driver.fds.length, 1);
    this.#pollfds = new Uint8Array(fds * POLLFD_BYTES);
    this.#view = new DataView(this.#pollfds.buffer);
    for (let i = 0; i < fds; i++) this.#view.setInt16(i * POLLFD_BYTES + 4, POLLIN, true);
    this.#view.setInt32(0, eventFd, true);
  }

  /** Undefined when the lane has no eventfd: it sleeps on its word. */
  static of(arena: Arena, lane: number, drivers: readonly LaneDriver[]): PollSleep | undefined {
    const addon = systemCalls();
    const fd = arena.lane(lane).eventFd - 1;
    return addon && fd >= 0 ? new PollSleep(addon, fd, drivers) : undefined;
  }

  /** Sleeps until one of them is readable, or for `ms`. Blocks the thread. */
  wait(ms: number): void {
    let at = POLLFD_BYTES;
    for (const { fds } of this.drivers)
      for (let i = 0; i < fds.length; i++, at += POLLFD_BYTES) this.#view.setInt32(at, fds[i], true);
    if (this.#native.poll(this.#pollfds, ms) <= 0) return;
    if (this.#view.getInt16(6, true) & POLLIN) this.#native.read(this.eventFd, this.#count);
  }
}
