/** Two hosts on a wire for the tests of this folder, with RPCs of every carrier. */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack, type StackOptions } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import type { RpcError } from '../../host/rpc/errors.js';
import type { Rpc } from '../../host/rpc/rpc.js';
import type { DatagramTransport } from '../../host/transports/datagrams.js';
import { assert } from '../support/suite.js';

export const SERVER = '10.0.0.2';
export const CLIENT = '10.0.0.1';

export interface World {
  engine: Engine;
  client: Stack;
  server: Stack;
  /** An RPC of each, to be closed with the stacks. */
  caller: Rpc;
  callee: Rpc;
}

export interface WorldOptions {
  carrier: string;
  engine?: Partial<EngineOptions>;
  link?: Partial<Parameters<typeof modelLink>[0]>;
  stack?: () => Partial<StackOptions>;
  /** A transport that each stack is to load. */
  load?: () => DatagramTransport;
}

/** Two hosts of one inline engine in virtual time; afterwards nothing of them must be left. */
export async function world(options: WorldOptions, work: (w: World) => Promise<void>): Promise<void> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096, delayNs: 50_000, ...options.link });
  const engine = await Engine.create({
    ...{ nics: [a, b], inline: true, clock: 'virtual', warmMs: 0, frames: 8192, seed: 1 },
    streams: { count: 2048, bytes: 96 << 20, apps: 12 },
    ...options.engine,
  });
  try {
    const stack = (port: string, address: string): Promise<Stack> =>
      Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } }, ...options.stack?.() });
    const client = await stack('wire.a', CLIENT);
    const server = await stack('wire.b', SERVER);
    await engine.start();
    const { carrier, load } = options;
    if (load) for (const stack of [client, server]) await stack.load(load());
    const [caller, callee] = [await client.rpc({ carrier }), await server.rpc({ carrier })];
    await work({ engine, client, server, caller, callee });
    await caller.close();
    await callee.close();
    // Homa's servers remember what ended for as long as packets live.
    if (client.messages) engine.run({ untilNs: engine.now() + 6_000_000_000n });
    await client.close();
    await server.close();
    const streams = takeStreamLedger(engine.arena);
    const left = streams.open + streams.closed + streams.lost + streams.lostIds + streams.used;
    assert.is(left, 0, JSON.stringify(streams));
  } finally {
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  }
}

/** The code that a promise is rejected with; 'none' when it is not. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    return (error as RpcError).code ?? String(error);
  }
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed * 131) & 255;
  return bytes;
}
