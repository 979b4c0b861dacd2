/** undici, as it comes: fetch, streams, pipelining and errors over a stack's connector. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { Server } from 'node:net';
import { Readable } from 'node:stream';
import {
  Agent,
  type buildConnector,
  Client,
  type Dispatcher,
  fetch,
  Pool,
  request,
  stream,
  upgrade,
} from 'undici';
import { both, type Place, stacks } from '../sockets/hosts.js';
import { finish, gather, listening, portOf } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

const { test, end } = both('software: undici');
const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url));
const TLS = { key: fixture('key.pem'), cert: fixture('cert.pem') };

type Connect = buildConnector.BuildOptions | buildConnector.connector;

/** undici's option `connect`: the stack's, or options of its own. */
async function connectOf(place: Place, options: object = {}): Promise<Connect> {
  if (place.name === 'node') return options;
  const { client } = await stacks();
  return client.connector(options) as unknown as buildConnector.connector;
}

interface Web {
  server: Server;
  origin: string;
  /** Closes it. */
  close(): Promise<void>;
}

async function served(place: Place, web: http.Server | https.Server, scheme = 'http'): Promise<Web> {
  const server = await listening(place, {}, s => web.emit('connection', s));
  return {
    server,
    origin: `${scheme}://${place.host}:${portOf(server)}`,
    close: async () => {
      web.closeAllConnections();
      await finish(server);
    },
  };
}

/** Does something with a dispatcher, and closes it. */
async function by<T extends Dispatcher>(dispatcher: T, work: (d: T) => Promise<void>): Promise<void> {
  await work(dispatcher);
  await dispatcher.close();
}

const codeOf = (e: unknown): string | undefined =>
  ((e as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? (e as NodeJS.ErrnoException).code;
const failing = (work: Promise<unknown>): Promise<string | undefined> => work.then(() => 'none', codeOf);

test('fetch: a body there, a body back, headers, a redirect, JSON', async place => {
  const web = http.createServer(async (req, res) => {
    if (req.url === '/moved') return res.writeHead(307, { location: '/here' }).end();
    const body = await gather(req);
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ at: req.url, sha: sha(body), kind: req.headers['x-kind'] }));
  });
  const { origin, close } = await served(place, web);
  await by(new Agent({ connect: await connectOf(place) }), async dispatcher => {
    const data = pattern(400_000, 6);
    const r = await fetch(`${origin}/moved`, {
      dispatcher,
      method: 'POST',
      body: data,
      headers: { 'x-kind': 'a' },
    });
    assert.equal([r.status, r.redirected], [200, true]);
    assert.equal(await r.json(), { at: '/here', sha: sha(data), kind: 'a' });
  });
  await close();
});

test('a pool of four connections answers two hundred requests, each with its own answer', async place => {
  const from = new Set<number>();
  const web = http.createServer((req, res) => {
    from.add(req.socket.remotePort!);
    res.end(req.url!.repeat(50));
  });
  const { origin, close } = await served(place, web);
  await by(
    new Pool(origin, { connections: 4, pipelining: 1, connect: await connectOf(place) }),
    async pool => {
      await Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          const { body } = await pool.request({ path: `/${i}`, method: 'GET' });
          assert.is(await body.text(), `/${i}`.repeat(50));
        }),
      );
    },
  );
  assert.is(from.size, 4);
  await close();
});

test('pipelining: ten requests under way on one connection are answered in order', async place => {
  const waiting: http.ServerResponse[] = [];
  const web = http.createServer((_, res) => {
    waiting.push(res);
    if (waiting.length === 10) for (const [i, r] of waiting.entries()) r.end(`${i}`);
  });
  const { origin, close } = await served(place, web);
  await by(new Client(origin, { pipelining: 10, connect: await connectOf(place) }), async client => {
    const ask = (): Promise<string> =>
      client.request({ path: '/', method: 'GET', blocking: false }).then(({ body }) => body.text());
    const texts = await Promise.all(Array.from({ length: 10 }, ask));
    assert.equal(texts, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });
  await close();
});

test('streams: ten megabytes there in chunks, and ten back into a file’s place, held back by who reads', async place => {
  const data = pattern(10_000_000, 3);
  const web = http.createServer(async (req, res) => {
    const hash = createHash('sha256');
    for await (const chunk of req) hash.update(chunk as Buffer);
    res.setHeader('x-sha', hash.digest('hex'));
    res.end(data);
  });
  const { origin, close } = await served(place, web);
  await by(new Agent({ connect: await connectOf(place) }), async dispatcher => {
    const chunks = Array.from({ length: 100 }, (_, i) => data.subarray(i * 100_000, (i + 1) * 100_000));
    const hash = createHash('sha256');
    let told: unknown;
    await stream(
      origin,
      { dispatcher, method: 'POST', body: Readable.from(chunks), opaque: hash },
      ({ opaque, headers }) => {
        told = headers['x-sha'];
        return opaque as typeof hash;
      },
    );
    assert.equal([told, hash.digest('hex')], [sha(data), sha(data)]);
  });
  await close();
});

test('TLS: known by name, HTTP/1.1 or by ALPN HTTP/2; nobody vouches: the certificate’s code', async place => {
  const web = https.createServer(TLS, (req, res) => res.end(`1.1 ${req.method}`));
  const one = await served(place, web, 'https');
  const connect = await connectOf(place, { ca: TLS.cert, servername: 'peer.test' });
  await by(new Agent({ connect }), async dispatcher => {
    const { body } = await request(one.origin, { dispatcher });
    assert.is(await body.text(), '1.1 GET');
  });
  const strangers = new Agent({ connect: await connectOf(place) });
  assert.is(await failing(request(one.origin, { dispatcher: strangers })), 'DEPTH_ZERO_SELF_SIGNED_CERT');
  await strangers.close();
  await one.close();
  const web2 = http2.createSecureServer(TLS, (req, res) => res.end(`2 ${req.method}`));
  const server = await listening(place, {}, s => web2.emit('connection', s));
  const both = { ca: TLS.cert, ...(place.name === 'node' ? {} : { ALPNProtocols: ['h2', 'http/1.1'] }) };
  await by(
    new Agent({ allowH2: true, connect: await connectOf(place, { ...both, allowH2: true }) }),
    async dispatcher => {
      const { body } = await request(`https://${place.host}:${portOf(server)}`, { dispatcher });
      assert.is(await body.text(), '2 GET');
    },
  );
  await finish(server);
});

test('errors by their codes: refused, cut off in the answer, silent, aborted', async place => {
  const web = http.createServer((req, res) => {
    if (req.url === '/cut') {
      res.writeHead(200, { 'content-length': 100 });
      res.write('half');
      setTimeout(() => req.socket.resetAndDestroy(), 20);
    }
  });
  const { origin, close } = await served(place, web);
  const dispatcher = new Agent({ headersTimeout: 100, connect: await connectOf(place) });
  const cut = await request(`${origin}/cut`, { dispatcher });
  assert.ok(['ECONNRESET', 'UND_ERR_SOCKET'].includes((await failing(cut.body.text()))!));
  assert.is(await failing(request(`${origin}/silent`, { dispatcher })), 'UND_ERR_HEADERS_TIMEOUT');
  const controller = new AbortController();
  const aborted = fetch(`${origin}/silent`, { dispatcher, signal: controller.signal });
  setTimeout(() => controller.abort(), 20);
  assert.is(await aborted.catch((e: Error) => e.name), 'AbortError');
  await dispatcher.destroy();
  await close();
  const later = new Agent({ connect: await connectOf(place) });
  assert.is(await failing(fetch(origin, { dispatcher: later })), 'ECONNREFUSED');
  await later.close();
});

test('upgrade: the socket is the caller’s, then', async place => {
  const web = http.createServer().on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
  });
  const { server, origin, close } = await served(place, web);
  const dispatcher = new Agent({ connect: await connectOf(place) });
  const { socket } = await upgrade(origin, { dispatcher, protocol: 'echo' });
  const data = pattern(100_000, 2);
  const back = gather(socket);
  socket.end(data);
  assert.is(sha(await back), sha(data));
  if (!socket.destroyed) await once(socket, 'close');
  await dispatcher.close();
  await close();
  assert.is(server.listening, false);
});

end();
