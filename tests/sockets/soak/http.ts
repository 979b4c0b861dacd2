/** HTTP of the soak: bodies of all lengths both ways, kept connections and new ones, and clients that go in the middle. */
import { once } from 'node:events';
import http, { type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { bytesOf, type CallFrom, type Counted, inTime, MOST, PORTS, sum, Workers } from './load.js';

export interface HttpEnd {
  web: http.Server;
  /** Connections that clients reset unannounced: their right when nobody answered them for long. */
  reset: string[];
}

/** `GET /LENGTH/SEED` has those bytes, `POST /sum` the sum of what it is sent; `?cut` says that the client will go. */
export function httpServer(errors: string[]): HttpEnd {
  const cut = new WeakSet<Duplex>();
  const last = new WeakMap<Duplex, string>();
  const gone = new WeakSet<Duplex>();
  const reset: string[] = [];
  const server = http.createServer((request, response) => {
    if (request.url!.endsWith('?cut')) cut.add(request.socket);
    const from = `${request.method} ${request.url} of ${request.socket.remoteAddress}`;
    last.set(request.socket, `${from}, ${request.headers.connection}`);
    response.once('close', () => last.set(request.socket, `${last.get(request.socket)}, answered`));
    answer(request, response).catch(error => {
      if (!cut.has(request.socket) && !gone.has(request.socket))
        errors.push(`http server, ${request.url}: ${error.message}`);
    });
  });
  // An idle connection that the server ends just when its client asks again would be the server's doing.
  Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const said = `http server: ${error.message}, after ${last.get(socket) ?? 'no request'}`;
    if (error.code === 'ECONNRESET') gone.add(socket);
    if (!cut.has(socket)) (gone.has(socket) ? reset : errors).push(said);
    socket.destroy();
  });
  return { web: server, reset };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url!, 'http://x');
  const [length, seed] = pathname.slice(1).split('/').map(Number);
  const closed = once(response, 'close');
  if (request.method === 'POST') response.end(sum(await bodyOf(request)));
  else {
    response.writeHead(200, { 'Content-Length': length });
    const bytes = bytesOf(length, seed);
    // In pieces, as room allows.
    for (let at = 0; at < length && !response.destroyed; at += 16384)
      if (!response.write(bytes.subarray(at, at + 16384)))
        await Promise.race([once(response, 'drain'), closed]);
    response.end();
  }
  await closed;
  if (!response.writableFinished) throw new Error('the client went before the answer was sent');
}

async function bodyOf(from: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

/** Mostly short bodies, some that fill every ring. */
const lengthOf = (next: () => number): number => next() % (next() % 4 === 0 ? MOST : 4096);

/** The connection that a call has got. */
interface On {
  socket: Duplex | undefined;
}

export function httpLoad({ net, host, seed }: CallFrom, workers: number): Workers {
  const createConnection = net.connect as unknown as (options: object) => Duplex;
  /** Of no request that would tell of an error. */
  const atRest = new WeakSet<Duplex>();
  /** Nobody answered when they asked whether the server is there. */
  const givenUp = new WeakSet<Duplex>();
  class Agent extends http.Agent {
    override createConnection(options: object): Duplex {
      load.total.connections++;
      const socket = createConnection({ ...options, noDelay: true });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ETIMEDOUT') {
          load.total.givenUp++;
          givenUp.add(socket);
        } else if (atRest.has(socket)) load.wrong(new Error(`at rest: ${error.message}`));
      });
      return socket;
    }
  }
  const kept = new Agent({ keepAlive: true, maxSockets: workers });
  const ask = (on: On, options: RequestOptions, body?: Buffer): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const request = http.request({ host, port: PORTS.http, agent: kept, ...options }, response => {
        const { socket } = response;
        response.once('end', () => atRest.add(socket));
        resolve(response);
      });
      request.once('socket', socket => {
        atRest.delete(socket);
        on.socket = socket;
      });
      request.once('error', reject).end(body);
    });
  const turn = async (next: () => number, total: Counted): Promise<void> => {
    const on: On = { socket: undefined };
    await call(on, next, total).catch(error => {
      if (error.code === 'EHOSTUNREACH') total.unreached++;
      else if (!on.socket || !givenUp.has(on.socket)) throw error;
    });
  };

  const call = async (on: On, next: () => number, total: Counted): Promise<void> => {
    const [length, at] = [lengthOf(next), next() % MOST];
    const way = next() % 10;
    if (way === 0) return cutOff(on, length + 65536, at, total);
    const agent = way < 3 ? new Agent() : kept;
    if (way < 6) {
      const body = bytesOf(length, at);
      const response = await inTime('POST', ask(on, { agent, method: 'POST', path: '/sum' }, body));
      const told = String(await inTime('answer to POST', bodyOf(response)));
      if (told !== sum(body)) throw new Error(`${length} bytes arrived as others: ${told}`);
    } else {
      const path = `/${length}/${at}`;
      const response = await inTime('GET', ask(on, { agent, path }));
      const body = await inTime(`body of ${path}`, bodyOf(response));
      if (response.statusCode !== 200 || !body.equals(bytesOf(length, at)))
        throw new Error(`${path}: ${response.statusCode}, ${body.length} bytes, not those`);
    }
    total.answers++;
    total.bytes += length;
  };

  /** Goes when the first bytes are here. */
  const cutOff = async (on: On, length: number, at: number, total: Counted): Promise<void> => {
    const agent = new Agent();
    const response = await inTime('GET', ask(on, { agent, path: `/${length % MOST}/${at}?cut` }));
    response.once('error', () => {});
    response.destroy();
    agent.destroy();
    total.cut++;
  };

  const load = new Workers('http', workers, seed, turn);
  const stop = load.stop.bind(load);
  load.stop = async () => {
    await stop();
    kept.destroy();
  };
  return load;
}
