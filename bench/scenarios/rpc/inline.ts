/** Caller and server in the thread that measures, which makes the engine's steps, too: what both ends cost together. */
import type { RpcEvent } from '../../../host/rpc/event.js';
import { type CallFigures, type Load, middle, Times } from './figures.js';
import { hosts, SERVER } from './hosts.js';

const PORT = 700;

/** The burst API. */
export async function inBursts(
  carrier: string,
  load: Load,
  rounds: number,
  ms: number,
): Promise<CallFigures> {
  const { client, server, close } = await hosts(true);
  try {
    const caller = (await client.rpc({ carrier })).burst;
    const callee = (await server.rpc({ carrier })).burst;
    await callee.listen({ port: PORT });
    const peer = caller.peer(SERVER, PORT);
    const bytes = new Uint8Array(load.bytes).fill(7);
    const began = new Float64Array(load.inFlight);
    const events: RpcEvent[] = [];
    const times = new Times();
    const ask = (tag: number): void => {
      began[tag] = performance.now();
      if (caller.begin(peer, bytes, tag) === 0) throw new Error('no room');
    };
    const round = (): CallFigures => {
      times.clear();
      const from = performance.now();
      let now = from;
      while (now < from + ms) {
        for (let k = callee.poll(events) - 1; k >= 0; k--) events[k].reply(events[k].bytes);
        const n = caller.poll(events);
        if (n > 0) now = performance.now();
        for (let i = 0; i < n; i++) {
          const e = events[i];
          if (e.kind !== 'response') throw e.error;
          times.took((now - began[e.tag as number]) * 1000);
          ask(e.tag as number);
        }
      }
      return times.figures(now - from);
    };
    for (let tag = 0; tag < load.inFlight; tag++) ask(tag);
    round();
    return middle(Array.from({ length: rounds }, round));
  } finally {
    await close();
  }
}

/** Promises. */
export async function inPromises(
  carrier: string,
  load: Load,
  rounds: number,
  ms: number,
): Promise<CallFigures> {
  const { client, server, close } = await hosts(true);
  try {
    const caller = await client.rpc({ carrier });
    const callee = await server.rpc({ carrier });
    await callee.serve({ port: PORT }, request => request);
    const to = { address: SERVER, port: PORT };
    const bytes = new Uint8Array(load.bytes).fill(7);
    const times = new Times();
    let ended = false;
    const calling = async (): Promise<void> => {
      while (!ended) {
        const began = performance.now();
        await caller.call(to, bytes);
        times.took((performance.now() - began) * 1000);
      }
    };
    const all = Array.from({ length: load.inFlight }, calling);
    const taken: CallFigures[] = [];
    for (let round = 0; round <= rounds; round++) {
      times.clear();
      const from = performance.now();
      await new Promise(next => setTimeout(next, ms));
      if (round > 0) taken.push(times.figures(performance.now() - from));
    }
    ended = true;
    await Promise.all(all);
    return middle(taken);
  } finally {
    await close();
  }
}
