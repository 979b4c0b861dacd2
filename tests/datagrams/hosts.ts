/**
 * What a test of this folder runs on: Node's `dgram` over loopback, which is the oracle, or two stacks of one engine with a
 * wire of the shm NIC between them. Test bodies are the same for both and see no difference.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { claims, closeClean, type TwoStacks, twoStacks } from '../support/both.js';
import { assert } from '../support/suite.js';

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

let world: Promise<TwoStacks> | undefined;

/** The stacks, for what only they can do. */
export const stacks = (): Promise<TwoStacks> => (world ??= twoStacks());

async function engine(): Promise<Place> {
  const made = await stacks();
  const [client, server] = [made.client, made.server].map(s => s.dgram as unknown as Dgram);
  return {
    ...{ name: 'engine', client, server, foreign: '192.0.2.9', longest: 1472 },
    host: { udp4: '10.0.0.2', udp6: 'fd00::2' },
    from: { udp4: '10.0.0.1', udp6: 'fd00::1' },
  };
}

async function nothingOpen(): Promise<void> {
  if (!world) return;
  const { client, server } = await world;
  for (const stack of [client, server]) assert.is([...stack.dgram.sockets].length, 0);
}

async function close(): Promise<void> {
  const built = world;
  world = undefined;
  if (built) await closeClean(await built);
}

/** A suite whose every claim holds for Node's `dgram` and for the engine; `end` closes the file. */
export function both(name: string) {
  const { plain, ...tests } = claims(name, node, engine);
  return {
    ...tests,
    end: () => {
      plain('afterwards no socket is open', nothingOpen);
      plain('the stacks close, and leave no stream, no memory and no frame', close);
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
