/** How time passes for an application on the thread of an inline engine: it is the one that makes the engine's steps. */
import type { Engine } from '../engine/engine.js';
import type { StreamApp } from '../streams/stream_app.js';
import type { Rest } from './burst/sockets.js';

const NS_PER_MS = 1e6;
/** Longest sleep between two steps in real time, ms: packets from outside announce themselves to nobody. */
const MOST_SLEEP_MS = 1;

export class InlineRest implements Rest {
  constructor(
    readonly engine: Engine,
    /** Whether who waits keeps the process alive: the event loop's sockets do that themselves, each as long as it is `ref`ed. */
    readonly keepsAlive = true,
  ) {}

  step(): void {
    if (this.engine.state === 'running') this.engine.step();
  }

  #end(ms: number | undefined): bigint | undefined {
    return ms === undefined ? undefined : this.engine.now() + BigInt(Math.round(ms * NS_PER_MS));
  }

  /**
   * Steps as long as there is work at the present time; virtual time jumps to what is due next. Returns ms to sleep before
   * the next look, undefined when there is news, the time is over, or nothing is ever to come.
   */
  #until(app: StreamApp, end: bigint | undefined): number | undefined {
    const { engine } = this;
    while (engine.state === 'running') {
      const worked = engine.step();
      if (app.pending) return undefined;
      if (end !== undefined && engine.now() >= end) return undefined;
      if (worked !== 0) continue;
      const due = engine.nextDueNs();
      const next = due === undefined || (end !== undefined && due > end) ? end : due;
      if (!engine.virtual) {
        const left = next === undefined ? MOST_SLEEP_MS : Number(next - engine.now()) / NS_PER_MS;
        return Math.max(0, Math.min(left, MOST_SLEEP_MS));
      }
      if (next === undefined) return undefined;
      if (next > engine.now()) engine.advance(next - engine.now());
    }
    return undefined;
  }

  async wait(app: StreamApp, ms: number | undefined): Promise<boolean> {
    const end = this.#end(ms);
    for (;;) {
      const sleep = this.#until(app, end);
      if (sleep === undefined) return app.pending;
      await new Promise(done => {
        const timer = setTimeout(done, sleep);
        if (!this.keepsAlive) timer.unref();
      });
    }
  }

  waitSync(app: StreamApp, ms: number | undefined): boolean {
    const end = this.#end(ms);
    for (;;) {
      const sleep = this.#until(app, end);
      if (sleep === undefined) return app.pending;
      // Address 0 of the arena is 0 for ever: a sleep.
      Atomics.wait(app.arena.i32, 0, 0, sleep);
    }
  }
}
