/**
 * Timers that were started on the host's thread: by test runs in an engine. Their wheel is the host instance's, and the
 * engine turns it as it goes along, in workers' engines when one falls due.
 */
import { LaneWheelLayout } from '../layout/layout.gen.js';
import { type Arena, WHEEL_BYTES } from '../mem/arena.js';
import type { Core } from '../mem/core.js';

const NEVER = 0xffffffffffffffffn;

export class HostTimers {
  readonly #linked: number;
  readonly #inbox: number;

  constructor(
    readonly arena: Arena,
    readonly core: Core,
  ) {
    const at = arena.header.wheelsAt + core.lane * WHEEL_BYTES;
    this.#linked = (at + LaneWheelLayout.linked) >>> 2;
    this.#inbox = (at + LaneWheelLayout.inbox) >>> 2;
  }

  get #idle(): boolean {
    const { u32 } = this.arena;
    return u32[this.#linked] === 0 && Atomics.load(u32, this.#inbox) === 0;
  }

  /** Fires what is due. Returns callbacks run. */
  run(nowNs: bigint): number {
    if (this.#idle) return 0;
    this.core.exports.clock_set(nowNs);
    return this.core.exports.timers_run();
  }

  /** When the next one falls due, ns. */
  nextDueNs(): bigint | undefined {
    if (this.#idle) return undefined;
    const due = BigInt.asUintN(64, this.core.exports.timers_next_due());
    return due === NEVER ? undefined : due;
  }
}
