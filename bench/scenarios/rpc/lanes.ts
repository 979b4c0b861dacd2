/** Caller and server inside of lanes, each on a CPU of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CallFigures, figuresOf, type Load, middle, SAMPLES } from './figures.js';
import { hosts, SERVER } from './hosts.js';

const PORT = 700;

export async function inLanes(carrier: string, load: Load, rounds: number, ms: number): Promise<CallFigures> {
  const { client, server, close } = await hosts(false);
  try {
    const module = new URL('lane.mjs', import.meta.url);
    const callee = await server.openInLane({ module, lanes: [1], data: { carrier, serve: PORT } });
    const figures = new SharedArrayBuffer(8 * (1 + SAMPLES));
    const call = { address: SERVER, port: PORT, ...load };
    const caller = await client.openInLane({ module, lanes: [0], data: { carrier, figures, call } });
    const seen = new Float64Array(figures);
    await sleep(ms);
    const taken: CallFigures[] = [];
    for (let round = 0; round < rounds; round++) {
      const [before, from] = [seen[0], performance.now()];
      await sleep(ms);
      const [n, took] = [seen[0] - before, performance.now() - from];
      const times = Float64Array.from(
        { length: Math.min(n, SAMPLES) },
        (_, i) => seen[1 + ((before + n - 1 - i) % SAMPLES)],
      );
      taken.push(figuresOf(n, took, times));
    }
    await caller.close();
    await callee.close();
    return middle(taken);
  } finally {
    await close();
  }
}
