/**
 * What a test of this folder runs on: Node's `dgram` over loopback, which is the oracle, or two stacks of one engine with a
 * wire of the shm NIC between them. Test bodies are the same for both and see no difference.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { assert, suite, type TestOptions } from '../support/suite.js';

/** What the bodies use of `dgram`. The stack's class is declared apart from Node's: they look alike from here. */
export type Dgram = Pick<typeof dgram, 'createSocket' | 'Socket'>;

/** Where a body runs. */
export interface Place {
  name: 'node' | 'engine';
  client: Dgram;
  server: Dgram;
  /** Own address of the server, and of the client, by family. */
  host: { udp4: string; udp6: string };
  from: { udp4: string; udp6: string };
  /** An address that is nobody's own. */
  foreign: string;
  /** The longest payload that can be sent to the server over IPv4. */
  longest: number;
}

const node: Place = {
  ...{ name: 'node', client: dgram, server: dgram, foreign: '192.0.2.9', longest: 65507 },
  ...{ host: { udp4: '127.0.0.1', udp6: '::1' }, from: { udp4: '127.0.0.1', udp6: '::1' } },
};

interface World {
  engine: Engine;
  stacks: Stack[];
  place: Place;
}

let world: Promise<World> | undefined;

const own = (n: number) => [`10.0.0.${n}/24`, `fd00::${n}/64`].map(address => ({ address, dad: false }));

async function build(): Promise<World> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096 });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 1, warmMs: 0, frames: 8192 },
    streams: { count: 256, bytes: 96 << 20, apps: 8 },
  });
  const stacks = [
    await Stack.create({ engine, ports: { 'wire.a': { addresses: own(1) } } }),
    await Stack.create({ engine, ports: { 'wire.b': { addresses: own(2) } } }),
  ];
  await engine.start();
  const [client, server] = stacks.map(s => s.dgram as unknown as Dgram);
  return {
    engine,
    stacks,
    place: {
      ...{ name: 'engine', client, server, foreign: '192.0.2.9', longest: 1472 },
      host: { udp4: '10.0.0.2', udp6: 'fd00::2' },
      from: { udp4: '10.0.0.1', udp6: 'fd00::1' },
    },
  };
}

/** The stacks, for what only they can do. */
export async function stacks(): Promise<{ client: Stack; server: Stack; engine: Engine }> {
  const { stacks, engine } = await (world ??= build());
  return { client: stacks[0], server: stacks[1], engine };
}

async function nothingOpen(): Promise<void> {
  if (!world) return;
  for (const stack of (await world).stacks) assert.is([...stack.dgram.sockets].length, 0);
}

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

/** A suite whose every claim holds for Node's `dgram` and for the engine; `end` closes the file. */
export function both(name: string): {
  test: (claim: string, body: Body, options?: TestOptions) => void;
  /** Of the engine only. */
  engineOnly: (claim: string, body: Body, options?: TestOptions) => void;
  end: () => void;
} {
  const test = suite(name);
  const onEngine = (body: Body) => async () => body((await (world ??= build())).place);
  return {
    test: (claim, body, options) => {
      test(`${claim} (Node)`, () => body(node), options);
      test(`${claim} (engine)`, onEngine(body), options);
    },
    engineOnly: (claim, body, options) => test(claim, onEngine(body), options),
    end: () => {
      test('afterwards no socket is open', nothingOpen);
      test('the stacks close, and leave no stream, no memory and no frame', close);
    },
  };
}

// ── sockets ─────────────────────────────────────────────────────────────────────────────────────────────────────

export type Kind = 'udp4' | 'udp6';

/** A socket that is bound at the server's address. */
export async function bound(place: Place, kind: Kind = 'udp4', port = 0): Promise<dgram.Socket> {
  const socket = place.server.createSocket(kind);
  socket.bind(port, place.host[kind]);
  await once(socket, 'listening');
  return socket;
}

export const portOf = (socket: dgram.Socket): number => (socket.address() as AddressInfo).port;

/** A port that nobody has, for now. */
export async function freePort(place: Place): Promise<number> {
  const socket = place.client.createSocket('udp4').bind(0);
  await once(socket, 'listening');
  const port = portOf(socket);
  await shut(socket);
  return port;
}

/** The next message, and who sent it. */
export const message = async (socket: dgram.Socket): Promise<[string, dgram.RemoteInfo]> => {
  const [data, info] = await once(socket, 'message');
  return [String(data), info];
};

export async function shut(...sockets: dgram.Socket[]): Promise<void> {
  for (const socket of sockets) {
    const closed = once(socket, 'close');
    socket.close();
    await closed;
  }
}

/** What a call throws: its code; 'none' when it does not. */
export function codeOf(call: () => unknown): string {
  try {
    call();
    return 'none';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Does something with a server that is bound and a client that is not; both are closed afterwards. */
export const withPair =
  (
    work: (p: { server: dgram.Socket; client: dgram.Socket; port: number }, place: Place) => Promise<void>,
    kind: Kind = 'udp4',
  ) =>
  async (place: Place): Promise<void> => {
    const server = await bound(place, kind);
    const client = place.client.createSocket(kind);
    await work({ server, client, port: portOf(server) }, place);
    await shut(server, client);
  };
