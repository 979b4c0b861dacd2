/** Sockets in pairs: what most claims of this folder begin with, and how they end. */
import { once } from 'node:events';
import type {
  AddressInfo,
  Server,
  ServerOpts,
  Socket,
  SocketConstructorOpts,
  TcpNetConnectOpts,
} from 'node:net';
import type { Place } from './hosts.js';

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** A server that listens, at the server's address only: loopback has other connections. */
export async function listening(
  place: Place,
  options: ServerOpts = {},
  onConnection: (socket: Socket) => void = () => {},
): Promise<Server> {
  const server = place.server.createServer(options, onConnection);
  server.listen(0, place.host);
  await once(server, 'listening');
  return server;
}

export interface Pair {
  server: Server;
  /** The end that connected, and the one that was accepted. */
  near: Socket;
  far: Socket;
}

export interface PairOptions {
  server?: ServerOpts;
  near?: SocketConstructorOpts & Partial<TcpNetConnectOpts>;
}

/** A connection with both its ends. */
export async function pair(place: Place, options: PairOptions = {}): Promise<Pair> {
  const server = await listening(place, options.server);
  const near = place.client.connect({ host: place.host, port: portOf(server), ...options.near });
  const [[far]] = await Promise.all([once(server, 'connection'), once(near, 'connect')]);
  return { server, near, far };
}

/** Does something with a pair; afterwards nothing of it is open. */
export const withPair =
  (work: (p: Pair, place: Place) => Promise<void>, options: PairOptions = {}) =>
  async (place: Place): Promise<void> => {
    const p = await pair(place, options);
    await work(p, place);
    await finish(p.server, p.near, p.far);
  };

/** Destroys sockets, closes the server, and waits for all. */
export async function finish(server: Server, ...sockets: Socket[]): Promise<void> {
  for (const s of sockets) {
    s.on('error', () => {});
    s.destroy();
  }
  if (server.listening) {
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
}

/** The next error of a socket; `close` without one is a failure. */
export const errorOf = (socket: Socket): Promise<NodeJS.ErrnoException> =>
  new Promise((resolve, reject) => {
    let heard = false;
    socket.once('error', error => {
      heard = true;
      resolve(error);
    });
    socket.once('close', () => heard || reject(new Error('it closed without an error')));
  });

/** Everything up to the end of a stream. */
export async function gather(socket: NodeJS.ReadableStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (d: Buffer) => parts.push(d));
  await once(socket, 'end');
  return Buffer.concat(parts);
}

/** The arguments of the next such event; unlike `once` of node:events it is not rejected by `error`. */
export const heard = <T extends unknown[]>(emitter: NodeJS.EventEmitter, name: string): Promise<T> =>
  new Promise(done => emitter.once(name, (...args) => done(args as T)));

/** Names of events in the order in which they came. */
export function recorded(socket: NodeJS.EventEmitter, names: readonly string[]): string[] {
  const heard: string[] = [];
  for (const name of names)
    socket.on(name, (...args: unknown[]) => heard.push(name === 'close' ? `close ${args[0]}` : name));
  return heard;
}

/** `code` of what a call throws. */
export function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
}

/** Lets the event loop turn until something holds. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(next => setTimeout(next, 1));
  }
}
