/** Two hosts of one engine and the wire between them: a lane each, or both in the thread that measures. */
import { allowedCpus } from '../../../host/engine/cpus.js';
import { Engine } from '../../../host/engine/engine.js';
import { native } from '../../../host/native/load.js';
import { Stack } from '../../../host/net/stack.js';
import { modelLink } from '../../../host/nic/index.js';
import { homa } from '../../../host/transports/homa/index.js';
import { SPIN } from '../nic/peers.js';

export const SERVER = '10.0.0.2';
const CLIENT = '10.0.0.1';
const HOUR_MS = 3_600_000;

export interface Hosts {
  engine: Engine;
  client: Stack;
  server: Stack;
  close(): Promise<void>;
}

/** A CPU for each lane; none where there is no addon or one CPU only. */
function ownCpus(): { cpus?: number[] } {
  const loaded = native();
  const cpus = allowedCpus().slice(0, 2);
  return loaded.ok && loaded.native.pin && cpus.length === 2 ? { cpus } : {};
}

export async function hosts(inline: boolean): Promise<Hosts> {
  const { a, b } = modelLink({
    name: 'wire',
    queues: 1,
    firstLanes: inline ? [0, 0] : [0, 1],
    ringSlots: 4096,
  });
  const engine = await Engine.create({
    ...{ nics: [a, b], frames: 16_384, streams: { count: 2048, bytes: 192 << 20, apps: 16 } },
    ...(inline ? { inline } : { lanes: 2, spinUs: SPIN, hangMs: HOUR_MS, ...ownCpus() }),
  });
  const stack = (port: string, address: string): Promise<Stack> =>
    Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } }, messages: homa() });
  const client = await stack('wire.a', CLIENT);
  const server = await stack('wire.b', SERVER);
  await engine.start();
  const close = async (): Promise<void> => {
    await client.close();
    await server.close();
    await engine.stop();
  };
  return { engine, client, server, close };
}
