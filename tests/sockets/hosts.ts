/**
 * What a test of this folder runs on: Node's `net` over loopback, which is the oracle, or two stacks of one engine with a
 * wire of the shm NIC between them. Test bodies are the same for both and see no difference.
 */
import net from 'node:net';
import type { StackNet } from '../../host/net/sockets/net.js';
import { claims, closeClean, type TwoStacks, twoStacks } from '../support/both.js';
import { assert } from '../support/suite.js';

/** What the bodies use of `net`. The stack's classes are declared apart from Node's: they look alike from here. */
export type Net = Pick<typeof net, 'createServer' | 'connect' | 'createConnection' | 'Socket' | 'Server'>;

/** Where a body runs. */
export interface Place {
  name: 'node' | 'engine';
  /** The host that connects, and the one that listens. */
  client: Net;
  server: Net;
  /** Address of the host that listens, and of the one that connects. */
  host: string;
  from: string;
  /** The one of IPv6 that listens, if this machine has IPv6. */
  host6: string;
  /** An address that neither can be reached at nor is anybody's own. */
  foreign: string;
}

const node: Place = {
  ...{ name: 'node', client: net, server: net },
  ...{ host: '127.0.0.1', from: '127.0.0.1', host6: '::1', foreign: '192.0.2.9' },
};

const asNet = (n: StackNet): Net => n as unknown as Net;
let world: Promise<TwoStacks> | undefined;

/** The stacks, for what only they can do. */
export const stacks = (): Promise<TwoStacks> => (world ??= twoStacks());

async function engine(): Promise<Place> {
  const { client, server } = await stacks();
  return {
    ...{ name: 'engine', client: asNet(client.net), server: asNet(server.net) },
    ...{ host: '10.0.0.2', from: '10.0.0.1', host6: 'fd00::2', foreign: '192.0.2.9' },
  };
}

/** What every file leaves behind: stacks without a connection and without a listener. */
async function nothingOpen(): Promise<void> {
  if (!world) return;
  const { client, server } = await world;
  for (const stack of [client, server]) {
    const { connections, listeners } = stack.net.loop.sockets;
    assert.equal([[...connections].length, [...listeners].length], [0, 0]);
  }
}

/** Closes what the tests of all files ran on. */
async function close(): Promise<void> {
  const built = world;
  world = undefined;
  if (built) await closeClean(await built);
}

/** A suite whose every claim holds for Node's `net` and for the engine; `end` closes the file, `last` all of them. */
export function both(name: string) {
  const { plain, ...tests } = claims(name, node, engine);
  return {
    ...tests,
    end: () => plain('afterwards no connection and no listener is open', nothingOpen),
    last: () => plain('the stacks close, and leave no stream, no memory and no frame', close),
  };
}
