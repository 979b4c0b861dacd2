/**
 * What a test of this folder runs on: Node's `net` over loopback, which is the oracle, or two stacks of one engine with a
 * wire of the shm NIC between them. Test bodies are the same for both and see no difference.
 */
import net from 'node:net';
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { StackNet } from '../../host/net/sockets/net.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { assert, suite, type TestOptions } from '../support/suite.js';

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

interface World {
  engine: Engine;
  stacks: Stack[];
  place: Place;
}

let world: Promise<World> | undefined;

async function build(): Promise<World> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096 });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 1, warmMs: 0, frames: 8192 },
    streams: { count: 256, bytes: 96 << 20, apps: 8 },
  });
  const [client, server] = [
    await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24', 'fd00::1/64'] } } }),
    await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24', 'fd00::2/64'] } } }),
  ];
  await engine.start();
  const asNet = (n: StackNet): Net => n as unknown as Net;
  return {
    engine,
    stacks: [client, server],
    place: {
      ...{ name: 'engine', client: asNet(client.net), server: asNet(server.net) },
      ...{ host: '10.0.0.2', from: '10.0.0.1', host6: 'fd00::2', foreign: '192.0.2.9' },
    },
  };
}

/** The stacks, for what only they can do. */
export async function stacks(): Promise<{ client: Stack; server: Stack; engine: Engine }> {
  const { stacks, engine } = await (world ??= build());
  return { client: stacks[0], server: stacks[1], engine };
}

/** What every file leaves behind: stacks without a connection and without a listener. */
async function nothingOpen(): Promise<void> {
  if (!world) return;
  for (const stack of (await world).stacks) {
    const { connections, listeners } = stack.net.loop.sockets;
    assert.equal([[...connections].length, [...listeners].length], [0, 0]);
  }
}

/** Closes what the tests of all files ran on: nothing of it may be left. */
async function close(): Promise<void> {
  if (!world) return;
  const { engine, stacks: all } = await world;
  world = undefined;
  for (const stack of all) await stack.close();
  const { open, closed, lost, lostIds, used } = takeStreamLedger(engine.arena);
  assert.equal({ open, closed, lost, lostIds, used }, { open: 0, closed: 0, lost: 0, lostIds: 0, used: 0 });
  const { ledger } = await engine.stop();
  assert.is(ledger.lost + ledger.doubled, 0);
}

type Body = (place: Place) => Promise<void>;

/** A suite whose every claim holds for Node's `net` and for the engine; `end` closes the file, `last` all of them. */
export function both(name: string): {
  test: (claim: string, body: Body, options?: TestOptions) => void;
  /** Of the engine only. */
  engineOnly: (claim: string, body: Body, options?: TestOptions) => void;
  end: () => void;
  last: () => void;
} {
  const test = suite(name);
  const onEngine = (body: Body) => async () => body((await (world ??= build())).place);
  return {
    test: (claim, body, options) => {
      test(`${claim} (Node)`, () => body(node), options);
      test(`${claim} (engine)`, onEngine(body), options);
    },
    engineOnly: (claim, body, options) => test(claim, onEngine(body), options),
    end: () => test('afterwards no connection and no listener is open', nothingOpen),
    last: () => test('the stacks close, and leave no stream, no memory and no frame', close),
  };
}
