/** Caller and server inside of lanes, each on a CPU of its own; and what TCP moves there that knows nothing of calls. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ShmPair } from '../tcp/shm.js';
import { type CallFigures, figuresOf, type Load, middle, SAMPLES } from './figures.js';
import { hosts, SERVER } from './hosts.js';

const PORT = 700;
/** Of the connection that only moves bytes: as of slots with messages of 1 MB. */
const RING_BYTES = 1 << 20;

export async function inLanes(carrier: string, load: Load, rounds: number, ms: number): Promise<CallFigures> {
  const { client, server, close } = await hosts(false);
  try {
    const module = new URL('lane.mjs', import.meta.url);
    const { ports = 1, oneWay = false } = load;
    const serve = { port: PORT, ports, oneWay };
    const callee = await server.openInLane({ module, lanes: [1], data: { carrier, serve } });
    const figures = new SharedArrayBuffer(8 * (1 + SAMPLES));
    const call = { ...load, ...serve, address: SERVER };
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

/** Bytes per second of one connection, one way, written and read in the lanes: the round in the middle. */
export async function bulkInLanes(rounds: number, ms: number): Promise<number> {
  const pair = await ShmPair.create({ connections: 1, ring: RING_BYTES, slots: 4096, frames: 16_384 });
  try {
    const taken: number[] = [];
    for (let round = 0; round < rounds; round++) taken.push(await pair.bulk(ms));
    return taken.sort((a, b) => a - b)[rounds >> 1];
  } finally {
    await pair.close();
  }
}
