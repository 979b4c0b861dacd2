/** Software of Node's own on the sockets: HTTP in all its kinds, TLS, and an upgrade, none of which knows of the engine. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls, { type TLSSocket } from 'node:tls';
import { both, type Place, stacks } from '../sockets/hosts.js';
import { finish, gather, listening, portOf } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

const { test, engineOnly, end } = both('software: Node’s own');
const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url));
const KEY = fixture('key.pem');
const CERT = fixture('cert.pem');
const CA = { ca: CERT, servername: 'peer.test' };

/** A server of any kind that takes the sockets of one of the place's. */
async function served(
  place: Place,
  kind: { emit(name: 'connection', socket: Duplex): boolean },
): Promise<Server> {
  return listening(place, {}, s => kind.emit('connection', s));
}

/** An agent of the place: the stack's, or one like it. */
const agentOf = (place: Place, options: http.AgentOptions = {}): http.Agent =>
  Object.assign(new http.Agent(options), { createConnection: place.client.createConnection });

/** One request; its answer whole. */
async function ask(
  options: http.RequestOptions,
  body?: Uint8Array,
): Promise<{ res: http.IncomingMessage; body: Buffer; req: http.ClientRequest }> {
  const req = http.request(options);
  const answered = once(req, 'response') as Promise<[http.IncomingMessage]>;
  req.end(body);
  const [res] = await answered;
  return { res, body: await gather(res), req };
}

test('http: a body there and a body back, with a length and in chunks', async place => {
  const web = http.createServer((req, res) => {
    res.setHeader('x-url', req.url!);
    if (req.url === '/chunks') req.pipe(res);
    else void gather(req).then(b => res.setHeader('content-length', b.length).end(b));
  });
  const server = await served(place, web);
  const agent = agentOf(place);
  const data = pattern(300_000, 7);
  for (const path of ['/chunks', '/length']) {
    const { res, body } = await ask(
      { agent, host: place.host, port: portOf(server), method: 'POST', path },
      data,
    );
    assert.equal([res.statusCode, res.headers['x-url'], sha(body)], [200, path, sha(data)]);
  }
  agent.destroy();
  web.closeAllConnections();
  await finish(server);
});

test('http: an agent that keeps connections alive uses one for all requests in a row', async place => {
  const from = new Set<number>();
  const web = http.createServer((req, res) => {
    from.add(req.socket.remotePort!);
    res.end('ok');
  });
  const server = await served(place, web);
  const agent = agentOf(place, { keepAlive: true, maxSockets: 1 });
  let reused = 0;
  for (let i = 0; i < 10; i++) {
    const { req, body } = await ask({ agent, host: place.host, port: portOf(server) });
    assert.is(body.toString(), 'ok');
    if (req.reusedSocket) reused++;
    await new Promise(setImmediate);
  }
  assert.equal([from.size, reused], [1, 9]);
  agent.destroy();
  web.closeAllConnections();
  await finish(server);
});

test('http: requests at a time over several connections, each with its own answer', async place => {
  const web = http.createServer((req, res) => res.end(`${req.url} `.repeat(1000)));
  const server = await served(place, web);
  const agent = agentOf(place, { keepAlive: true, maxSockets: 8 });
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      ask({ agent, host: place.host, port: portOf(server), path: `/${i}` }),
    ),
  );
  for (const [i, { body }] of answers.entries()) assert.is(body.toString(), `/${i} `.repeat(1000));
  agent.destroy();
  web.closeAllConnections();
  await finish(server);
});

test('http: pipelined requests of a plain socket are answered in order', async place => {
  const web = http.createServer((req, res) => setImmediate(() => res.end(req.url)));
  const server = await served(place, web);
  const s = place.client.connect(portOf(server), place.host);
  const get = (path: string, last = false): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
  s.write(get('/a') + get('/b') + get('/c', true));
  const text = (await gather(s)).toString();
  assert.equal(text.match(/^\/[abc]/gm), ['/a', '/b', '/c']);
  web.closeAllConnections();
  await finish(server, s);
});

test('http: a client that goes away aborts the request at the server', async place => {
  const web = http.createServer(() => {});
  const server = await served(place, web);
  const req = http.request({ agent: agentOf(place), host: place.host, port: portOf(server), method: 'POST' });
  req.on('error', () => {});
  const arrived = once(web, 'request') as Promise<[http.IncomingMessage]>;
  req.write('half');
  const [message] = await arrived;
  // The request's body ends in an error, then.
  message.on('error', () => {});
  const gone = new Promise(done => message.on('close', done));
  req.destroy();
  await gone;
  assert.is(message.complete, false);
  web.closeAllConnections();
  await finish(server);
});

test('upgrade: as WebSocket begins, then bytes both ways', async place => {
  const web = http.createServer();
  const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  web.on('upgrade', (req, socket, head) => {
    assert.is(head.length, 0);
    const accept = createHash('sha1')
      .update(req.headers['sec-websocket-key'] + GUID)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  const server = await served(place, web);
  const key = Buffer.alloc(16, 1).toString('base64');
  const req = http.request({
    ...{ agent: agentOf(place), host: place.host, port: portOf(server) },
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': key,
      'sec-websocket-version': '13',
    },
  });
  req.end();
  const [res, socket] = (await once(req, 'upgrade')) as [http.IncomingMessage, Socket];
  assert.is(
    res.headers['sec-websocket-accept'],
    createHash('sha1')
      .update(key + GUID)
      .digest('base64'),
  );
  const data = pattern(100_000);
  const back = gather(socket);
  socket.end(data);
  assert.is(sha(await back), sha(data));
  await finish(server, socket);
});

test('tls: over a socket of the stack on either side, verified, both ways', async place => {
  const server = await listening(place, { allowHalfOpen: true }, raw => {
    const secure = new tls.TLSSocket(raw, { isServer: true, key: KEY, cert: CERT });
    secure.on('error', () => {});
    secure.pipe(secure);
  });
  const raw = place.client.connect({ host: place.host, port: portOf(server), allowHalfOpen: true });
  const secure = tls.connect({ socket: raw, ...CA });
  await once(secure, 'secureConnect');
  assert.is(secure.authorized, true);
  const data = pattern(200_000);
  const back = gather(secure);
  secure.end(data);
  assert.is(sha(await back), sha(data));
  await finish(server, raw);
});

test('tls: a certificate that nobody vouches for is an error, and the socket closes', async place => {
  const server = await listening(place, {}, raw => {
    new tls.TLSSocket(raw, { isServer: true, key: KEY, cert: CERT }).on('error', () => {});
  });
  const raw = place.client.connect(portOf(server), place.host);
  const secure = tls.connect({ socket: raw, servername: 'peer.test' });
  const [error] = (await once(secure, 'error')) as [NodeJS.ErrnoException];
  assert.is(error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  if (!raw.destroyed) await once(raw, 'close');
  await finish(server, raw);
});

test('https: request and answer, the certificate known by name', async place => {
  const web = https.createServer({ key: KEY, cert: CERT }, (req, res) => {
    res.end(`${req.method} ${(req.socket as TLSSocket).encrypted}`);
  });
  const server = await served(place, web);
  const agent = Object.assign(new https.Agent(), {
    createConnection: (o: tls.ConnectionOptions) =>
      tls.connect({ ...o, ...CA, socket: place.client.connect(portOf(server), place.host) }),
  });
  const req = https.request({ agent, host: place.host, port: portOf(server), method: 'PUT' });
  req.end('x');
  const [res] = (await once(req, 'response')) as [http.IncomingMessage];
  assert.is((await gather(res)).toString(), 'PUT true');
  agent.destroy();
  web.closeAllConnections();
  await finish(server);
});

/** Streams of one session, each with a body of its own. */
async function exchange(session: http2.ClientHttp2Session): Promise<void> {
  const one = async (n: number): Promise<void> => {
    const stream = session.request({ ':method': 'POST', ':path': `/${n}` });
    const data = pattern(50_000, n);
    const [headers] = await Promise.all([once(stream, 'response'), stream.end(data)]);
    assert.is((headers[0] as http2.IncomingHttpHeaders)[':status'], 200);
    assert.is(sha(await gather(stream)), sha(data));
  };
  await Promise.all(Array.from({ length: 12 }, (_, n) => one(n)));
  const closed = once(session, 'close');
  session.close();
  await closed;
}

const echoStreams = (stream: http2.ServerHttp2Stream): void => {
  stream.respond({ ':status': 200 });
  stream.pipe(stream);
};

test('http2: many streams over one connection, in the clear', async place => {
  const web = http2.createServer().on('stream', echoStreams);
  const server = await served(place, web);
  const raw = place.client.connect(portOf(server), place.host);
  await exchange(http2.connect(`http://${place.host}`, { createConnection: () => raw }));
  await finish(server, raw);
});

test('http2: the same inside TLS, chosen by ALPN', async place => {
  const web = http2.createSecureServer({ key: KEY, cert: CERT }).on('stream', echoStreams);
  const server = await served(place, web);
  const raw = place.client.connect(portOf(server), place.host);
  const secure = tls.connect({ socket: raw, ALPNProtocols: ['h2'], ...CA });
  await once(secure, 'secureConnect');
  assert.is(secure.alpnProtocol, 'h2');
  await exchange(http2.connect(`https://${place.host}`, { createConnection: () => secure }));
  await finish(server, raw);
});

engineOnly('stack.agent and secureAgent: http and https as they come', async place => {
  const { client } = await stacks();
  const web = http.createServer((_, res) => res.end('plain'));
  const secureWeb = https.createServer({ key: KEY, cert: CERT }, (_, res) => res.end('secure'));
  const [server, secureServer] = [await served(place, web), await served(place, secureWeb)];
  const agent = client.agent({ keepAlive: true });
  const secureAgent = client.secureAgent({ keepAlive: true, ca: CERT });
  const get = async (kind: typeof http | typeof https, from: Server, by: http.Agent): Promise<string> => {
    const req = (kind as typeof http).get({ agent: by, host: place.host, port: portOf(from) });
    const [res] = (await once(req, 'response')) as [http.IncomingMessage];
    return (await gather(res)).toString();
  };
  for (let i = 0; i < 3; i++) {
    assert.is(await get(http, server, agent), 'plain');
    assert.is(await get(https, secureServer, secureAgent as unknown as http.Agent), 'secure');
  }
  for (const a of [agent, secureAgent]) a.destroy();
  for (const w of [web, secureWeb]) w.closeAllConnections();
  await finish(server);
  await finish(secureServer);
});

engineOnly(
  'stack.connector: sockets and TLS sockets as undici asks for them, and its errors',
  async place => {
    const { client } = await stacks();
    const server = await listening(place, {}, s => s.end('plain'));
    const secureServer = await listening(place, {}, raw => {
      new tls.TLSSocket(raw, { isServer: true, key: KEY, cert: CERT }).end('secure');
    });
    const connector = client.connector({ ca: CERT, timeout: 30_000 });
    const ask = (protocol: string, port: number): Promise<string> =>
      new Promise((done, fail) =>
        connector({ hostname: place.host, protocol, port: String(port) }, (e, s) =>
          e ? fail(e) : gather(s!).then(b => done(b.toString()), fail),
        ),
      );
    assert.is(await ask('http:', portOf(server)), 'plain');
    assert.is(await ask('https:', portOf(secureServer)), 'secure');
    const port = portOf(server);
    await finish(server);
    const refused = await ask('http:', port).catch((e: NodeJS.ErrnoException) => e.code);
    assert.is(refused, 'ECONNREFUSED');
    await finish(secureServer);
    const short = client.connector({ timeout: 5 });
    const timedOut = await new Promise<NodeJS.ErrnoException | null>(done =>
      short({ hostname: '10.0.0.77', protocol: 'http:', port: 80 }, e => done(e)),
    );
    assert.is(timedOut?.code, 'UND_ERR_CONNECT_TIMEOUT');
  },
);

end();
