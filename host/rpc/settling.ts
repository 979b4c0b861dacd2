/** The end of an endpoint: it has turns until what was answered is on its way, or nobody takes that. */
import { type Driven, turnsOf } from '../engine/turns.js';
import type { Entered } from './place.js';

/** However much of it there is, ms. */
export const MOST_MS = 10_000;

class Settling implements Driven {
  readonly waits = true;
  readonly #untilMs: number;
  readonly #realUntilMs = performance.now() + MOST_MS;

  constructor(
    readonly entered: Entered,
    readonly settled: () => void,
  ) {
    this.#untilMs = this.nowMs + MOST_MS;
  }

  turn(): number | undefined {
    const { endpoint } = this.entered;
    try {
      // An engine that stands still sends nothing, and its time may do so, too.
      const late = this.nowMs >= this.#untilMs || performance.now() >= this.#realUntilMs;
      if (this.entered.runs && !late && endpoint.settle()) return 0;
    } catch {
      // The stack is no more.
    }
    this.settled();
    return undefined;
  }

  get nextMs(): number {
    return Math.min(this.entered.endpoint.nextMs, this.#untilMs);
  }

  get nowMs(): number {
    return this.entered.endpoint.nowMs();
  }

  wait(): Promise<unknown> {
    return this.entered.endpoint.ready ? Promise.resolve() : this.entered.wait();
  }

  rouse(): void {
    this.entered.rouse();
  }
}

/** Ends a closed endpoint when what was answered is on its way, and gives its application back. */
export async function leaveSettled(entered: Entered): Promise<void> {
  const { endpoint, virtual } = entered;
  if (endpoint.settling) {
    entered.hold(true);
    await new Promise<void>(settled =>
      turnsOf(virtual?.key, virtual?.time).add(new Settling(entered, settled)),
    );
    entered.hold(false);
  }
  endpoint.end();
  await entered.leave();
}
