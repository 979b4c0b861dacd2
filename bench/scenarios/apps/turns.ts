/** Applications of the burst API that share a thread and never sleep: each polls in its turn. */
import type { Polled } from '../../../host/apps/loop.js';
import type { StackEvent } from '../../../host/net/burst/sockets.js';

export interface Party<O> {
  calls: Polled<O>;
  news(events: readonly StackEvent<O>[], n: number): void;
}

/** Polls of each before Node's event loop has its turn. */
const ROUNDS = 256;
/** Connections told of before what they wrote leaves: the lane works meanwhile. */
const BATCH = 16;

/** Never ends but by what a party throws. */
export async function takeTurns<O>(parties: readonly Party<O>[]): Promise<never> {
  const events: StackEvent<O>[] = [];
  for (;;) {
    for (let round = 0; round < ROUNDS; round++)
      for (const { calls, news } of parties) {
        const n = calls.poll(events, BATCH);
        if (n === 0) continue;
        news(events, n);
        calls.flush();
      }
    await new Promise(next => setImmediate(next));
  }
}
