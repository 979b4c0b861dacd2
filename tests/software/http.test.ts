/** HTTP's corners between two hosts: what waits, what times out, what is cut off; and a server that `serve` puts on a stack. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { StackNet } from '../../host/net/sockets/net.js';
import { both, type Place, stacks } from '../sockets/hosts.js';
import { codeOf, finish, gather, heard, portOf, recorded, until } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

const { test, engineOnly, end } = both('software: http');

/** Puts a server of whatever kind at the place: by the stack's `serve`, or its own `listen`. It is asked and closed itself. */
async function served<S extends Server>(place: Place, web: S): Promise<S> {
  const listening = once(web, 'listening');
  if (place.name === 'node') web.listen(0, place.host);
  else (await stacks()).server.serve(web, 0, place.host);
  await listening;
  return web;
}

const agentOf = (place: Place, options: http.AgentOptions = {}): http.Agent =>
  Object.assign(new http.Agent(options), { createConnection: place.client.createConnection });

const to = (place: Place, server: Server, more: http.RequestOptions = {}): http.RequestOptions => ({
  ...{ host: place.host, port: portOf(server), agent: agentOf(place), ...more },
});

test('100-continue: the body is sent when the server wants it, and is not when it refuses', async place => {
  const web = http.createServer();
  web.on('checkContinue', async (req, res) => {
    if (req.headers['x-big']) return res.writeHead(417).end();
    res.writeContinue();
    res.end(sha(await gather(req)));
  });
  const server = await served(place, web);
  const data = pattern(300_000, 3);
  const ask = (more: object): http.ClientRequest => {
    const headers = { expect: '100-continue', 'content-length': data.length, ...more };
    const req = http.request(to(place, server, { method: 'POST', headers }));
    req.flushHeaders();
    return req;
  };
  const req = ask({});
  await once(req, 'continue');
  const answered = heard<[http.IncomingMessage]>(req, 'response');
  req.end(data);
  assert.is(String(await gather((await answered)[0])), sha(data));
  const refused = ask({ 'x-big': '1' });
  const [res] = await heard<[http.IncomingMessage]>(refused, 'response');
  assert.is(res.statusCode, 417);
  refused.on('error', () => {}).destroy();
  await finish(server);
});

test('trailers come after the body, both ways; headers that come early are told', async place => {
  const web = http.createServer(async (req, res) => {
    await gather(req);
    res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    res.writeHead(200, { trailer: 'x-sum' });
    res.write('body');
    res.addTrailers({ 'x-sum': `${req.trailers['x-mine']}!` });
    res.end();
  });
  const server = await served(place, web);
  const req = http.request(to(place, server, { method: 'POST', headers: { trailer: 'x-mine' } }));
  const hints: unknown[] = [];
  req.on('information', ({ statusCode }) => hints.push(statusCode));
  req.write('x');
  req.addTrailers({ 'x-mine': 'seven' });
  req.end();
  const [res] = await heard<[http.IncomingMessage]>(req, 'response');
  assert.is(String(await gather(res)), 'body');
  assert.equal([res.trailers['x-sum'], hints], ['seven!', [103]]);
  await finish(server);
});

test('twenty megabytes each way at a time; neither end holds more than its streams do', async place => {
  const data = pattern(1 << 20, 11);
  let most = 0;
  const web = http.createServer((req, res) => {
    req.on('data', () => {
      most = Math.max(most, req.readableLength);
    });
    req.pipe(res);
  });
  const server = await served(place, web);
  const req = http.request(to(place, server, { method: 'POST' }));
  const answered = heard<[http.IncomingMessage]>(req, 'response');
  const writing = (async () => {
    for (let i = 0; i < 20; i++) if (!req.write(data)) await once(req, 'drain');
    req.end();
  })();
  const [res] = await answered;
  let got = 0;
  for await (const chunk of res) {
    const at = got % data.length;
    assert.ok((chunk as Buffer).equals(Buffer.concat([data, data]).subarray(at, at + chunk.length)));
    got += chunk.length;
  }
  await writing;
  assert.is(got, 20 << 20);
  assert.ok(most < 1 << 20, `${most} bytes`);
  await finish(server);
});

test('a connection that is kept alive is closed by the server when it is idle too long, and the agent makes a new one', async place => {
  const from = new Set<number>();
  const web = http.createServer((req, res) => {
    from.add(req.socket.remotePort!);
    res.end('ok');
  });
  web.keepAliveTimeout = 50;
  const server = await served(place, web);
  const agent = agentOf(place, { keepAlive: true });
  for (let i = 0; i < 2; i++) {
    const req = http.get(to(place, server, { agent }));
    const socket = once(req, 'socket');
    const [res] = await heard<[http.IncomingMessage]>(req, 'response');
    assert.is(String(await gather(res)), 'ok');
    await heard((await socket)[0], 'close');
  }
  assert.is(from.size, 2);
  agent.destroy();
  await finish(server);
});

test('a request that never gets on is answered by 408, a malformed one by 400, one with too long a head by 431', async place => {
  const web = http.createServer({ connectionsCheckingInterval: 20, headersTimeout: 60, maxHeaderSize: 1000 });
  const server = await served(place, web);
  const say = async (words: string): Promise<string> => {
    const s = place.client.connect(portOf(server), place.host);
    s.write(words);
    return String(await gather(s)).split('\r\n')[0];
  };
  assert.is(await say('GET / HT'), 'HTTP/1.1 408 Request Timeout');
  assert.is(await say('WHAT? / / /\r\n\r\n'), 'HTTP/1.1 400 Bad Request');
  const long = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(2000)}\r\n\r\n`;
  assert.is(await say(long), 'HTTP/1.1 431 Request Header Fields Too Large');
  await finish(server);
});

test('a server that closes ends idle connections and finishes what it answers', async place => {
  let answer: (() => void) | undefined;
  const web = http.createServer((req, res) => {
    if (req.url === '/now') res.end('now');
    else answer = () => res.end('later');
  });
  const server = await served(place, web);
  const agent = agentOf(place, { keepAlive: true });
  const idle = http.get(to(place, server, { agent, path: '/now' }));
  const [, [first]] = await Promise.all([
    once(idle, 'socket'),
    heard<[http.IncomingMessage]>(idle, 'response'),
  ]);
  const ended = heard(idle.socket!, 'close');
  await gather(first);
  const slow = http.get(to(place, server, { agent: agentOf(place, { keepAlive: true }) }));
  const answered = heard<[http.IncomingMessage]>(slow, 'response');
  await until('it is asked', () => answer !== undefined);
  const closed = heard(server, 'close');
  server.close();
  await ended;
  answer!();
  assert.is(String(await gather((await answered)[0])), 'later');
  slow.socket?.destroy();
  await closed;
  assert.is(server.listening, false);
});

test('an answer that is cut off is ECONNRESET and aborted; a request that is aborted by its signal is AbortError', async place => {
  const web = http.createServer((req, res) => {
    if (req.url === '/cut') {
      res.writeHead(200, { 'content-length': 10 });
      res.write('half');
      setTimeout(() => req.socket.resetAndDestroy(), 10);
    }
  });
  const server = await served(place, web);
  const cut = http.get(to(place, server, { path: '/cut' }));
  cut.on('error', () => {});
  const [res] = await heard<[http.IncomingMessage]>(cut, 'response');
  const error = heard<[NodeJS.ErrnoException]>(res, 'error');
  res.resume();
  assert.is((await error)[0].code, 'ECONNRESET');
  assert.is(res.complete, false);
  const controller = new AbortController();
  const aborted = http.get(to(place, server, { signal: controller.signal }));
  const told = heard<[Error]>(aborted, 'error');
  setTimeout(() => controller.abort(), 10);
  assert.is((await told)[0].name, 'AbortError');
  web.closeAllConnections();
  await finish(server);
});

test('CONNECT: a tunnel through one server to another', async place => {
  const web = http.createServer((_, res) => res.end('behind'));
  const behind = await served(place, web);
  const proxy = http.createServer().on('connect', (req, socket, head) => {
    const [host, port] = req.url!.split(':');
    // A host that it can reach as itself: by its own bytes here, for a stack has no loopback.
    assert.equal([host, Number(port)], [place.host, portOf(behind)]);
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    web.emit('connection', socket);
    if (head.length) socket.unshift(head);
  });
  const server = await served(place, proxy);
  const req = http.request(to(place, server, { method: 'CONNECT', path: `${place.host}:${portOf(behind)}` }));
  req.end();
  const [res, socket] = await heard<[http.IncomingMessage, NodeJS.ReadWriteStream]>(req, 'connect');
  assert.is(res.statusCode, 200);
  const text = gather(socket);
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(String(await text), /behind$/);
  await finish(server);
  await finish(behind);
});

test('http2: a stream that is cancelled harms no other; a session that goes away says so', async place => {
  const web = http2.createServer().on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    if (headers[':path'] === '/ever') stream.write('x');
    else stream.end('done');
  });
  const sessions: http2.ServerHttp2Session[] = [];
  web.on('session', s => sessions.push(s));
  const server = await served(place, web);
  const socket = place.client.connect(portOf(server), place.host);
  const session = http2.connect(`http://${place.host}`, { createConnection: () => socket });
  const ever = session.request({ ':path': '/ever' });
  await once(ever, 'data');
  const closed = heard(ever, 'close');
  ever.close(http2.constants.NGHTTP2_CANCEL);
  await closed;
  assert.is(ever.rstCode, http2.constants.NGHTTP2_CANCEL);
  assert.is(String(await gather(session.request({ ':path': '/' }))), 'done');
  const [away, error] = [
    heard<[number]>(session, 'goaway'),
    heard<[NodeJS.ErrnoException]>(session, 'error'),
  ];
  sessions[0].goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  assert.is((await away)[0], http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  assert.is((await error)[0].code, 'ERR_HTTP2_SESSION_ERROR');
  sessions[0].destroy();
  await finish(server, socket);
});

const pem = (name: string): Buffer => readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));
const SECURE = { key: pem('key'), cert: pem('cert') };
/** What there is of servers, and how a client of each begins. */
const KINDS: [string, () => Server, string][] = [
  ['http', () => http.createServer(), 'GET / HTTP/1.1\r\n'],
  ['https', () => https.createServer(SECURE), '\x16'],
  ['tls', () => tls.createServer(SECURE), '\x16'],
  ['http2', () => http2.createServer(), 'PRI * '],
  ['http2 inside TLS', () => http2.createSecureServer(SECURE), '\x16'],
  ['http2 or http inside TLS', () => http2.createSecureServer({ ...SECURE, allowHTTP1: true }), '\x16'],
  ['net', () => net.createServer(far => void far.on('error', () => {}).resume()), 'hello'],
];
const code = (e: unknown): string => (e as NodeJS.ErrnoException | undefined)?.code ?? 'done';

test('https: the server knows who asks', async place => {
  const web = https.createServer(SECURE, ({ socket }, res) =>
    res.end(JSON.stringify([socket.remoteAddress, socket.remoteFamily, socket.remotePort, socket.localPort])),
  );
  await served(place, web);
  const raw = place.client.connect(portOf(web), place.host);
  await heard(raw, 'connect');
  const { localPort } = raw;
  const secure = tls.connect({ socket: raw, rejectUnauthorized: false });
  secure.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const said = String(await gather(secure));
  assert.equal(JSON.parse(said.slice(said.indexOf('\r\n\r\n'))), [
    place.from,
    'IPv4',
    localPort,
    portOf(web),
  ]);
  await finish(web, secure);
});

for (const [kind, make, words] of KINDS) {
  test(`${kind}: the server knows where it listens, and how many are connected`, async place => {
    const web = make();
    assert.equal([web.listening, web.address()], [false, null]);
    await served(place, web);
    const { address, family, port } = web.address() as net.AddressInfo;
    assert.equal([web.listening, address, family, port > 0], [true, place.host, 'IPv4', true]);
    assert.is(
      codeOf(() => web.listen(0)),
      'ERR_SERVER_ALREADY_LISTEN',
    );
    const near = place.client.connect(port, place.host).on('error', () => {});
    await heard(web, 'connection');
    const count = (): Promise<number> => new Promise(done => web.getConnections((_, n) => done(n)));
    assert.is(await count(), 1);
    const closed = heard(web, 'close');
    web.close();
    assert.equal([web.listening, web.address()], [false, null]);
    near.resetAndDestroy();
    await closed;
    assert.is(await count(), 0);
  });

  test(`${kind}: close waits for the last connection, and calls back without an error; then it has closed`, async place => {
    const web = await served(place, make());
    const near = place.client.connect(portOf(web), place.host).on('error', () => {});
    const [far] = await heard<[Socket]>(web, 'connection');
    // HTTP's are idle before.
    near.write(words, 'latin1');
    await until('it is read', () => far.bytesRead === words.length);
    const told = recorded(web, ['close']);
    web.close(error => told.push(code(error)));
    await new Promise(next => setTimeout(next, 30));
    assert.equal(told, []);
    near.resetAndDestroy();
    await until('closed', () => told.length === 2);
    assert.equal(told, ['close undefined', 'done']);
    web.close(error => told.push(code(error)));
    await until('closed again', () => told.length === 4);
    assert.is(told[3], 'ERR_SERVER_NOT_RUNNING');
  });

  test(`${kind}: Symbol.asyncDispose closes it`, async place => {
    const web = await served(place, make());
    await web[Symbol.asyncDispose]();
    assert.equal([web.listening, web.address()], [false, null]);
    const port = portOf(await served(place, web));
    const near = place.client.connect(port, place.host).on('error', () => {});
    await heard(web, 'connection');
    near.resetAndDestroy();
    await web[Symbol.asyncDispose]();
  });
}

test('a response under way is finished after close, by a server that was asked to', async place => {
  const answers: http.ServerResponse[] = [];
  const web = await served(
    place,
    http.createServer((_, res) => {
      answers.push(res);
      res.write('a');
    }),
  );
  const req = http.get(to(place, web));
  const [res] = await heard<[http.IncomingMessage]>(req, 'response');
  await once(res, 'readable');
  const told: string[] = [];
  web.close(error => told.push(code(error)));
  await new Promise(next => setTimeout(next, 30));
  assert.equal(told, []);
  answers[0].end('b');
  assert.is(String(await gather(res)), 'ab');
  await until('it has closed', () => told.length === 1);
  assert.equal(told, ['done']);
});

test('maxConnections of a server that others are made of: beyond is dropped, and told', async place => {
  const web = await served(place, http.createServer());
  web.maxConnections = 1;
  const [first, second] = [1, 2].map(() => place.client.connect(portOf(web), place.host));
  const dropped = heard<[net.DropArgument]>(web, 'drop');
  for (const s of [first, second]) s.on('error', () => {}).resume();
  assert.is((await dropped)[0]!.remoteAddress, place.from);
  await finish(web, first, second);
});

engineOnly('one server at two stacks, and at the kernel: closing it closes all of them', async place => {
  const { client, server } = await stacks();
  const web = http.createServer((_, res) => res.end('x')).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const unders = [client.serve(web, 0), server.serve(web, 0, place.host)];
  await Promise.all(unders.map(under => once(under, 'listening')));
  const ports = unders.map(under => under.address()!.port);
  const get = async (agent: http.Agent | undefined, host: string, port: number): Promise<string> => {
    const [res] = await heard<[http.IncomingMessage]>(http.get({ agent, host, port }), 'response');
    return String(await gather(res));
  };
  assert.is(await get(new http.Agent(), '127.0.0.1', portOf(web)), 'x');
  assert.is(await get(client.agent(), place.host, ports[1]), 'x');
  assert.is(await get(server.agent(), place.from, ports[0]), 'x');
  const closed = [web, ...unders].map(s => heard(s, 'close'));
  unders[0].close();
  await Promise.all(closed);
  assert.equal(
    [web, ...unders].map(s => s.listening),
    [false, false, false],
  );
});

engineOnly(
  'closed while another thread’s stack is asked to listen: nobody listens there afterwards',
  async place => {
    const { server } = await stacks();
    const net = StackNet.attach(server.openApp());
    const web = http.createServer();
    net.serve(web, 0, place.host);
    const told = recorded(web, ['listening', 'close']);
    web.close(error => told.push(code(error)));
    // Answered after it.
    const next = net.createServer().listen(0, place.host);
    await once(next, 'listening');
    assert.equal([...net.loop.sockets.listeners].length, 1);
    assert.equal(told, ['close undefined', 'ERR_SERVER_NOT_RUNNING']);
    await net.close();
  },
);

engineOnly(
  'serve: closing the HTTP server closes the stack’s; its errors are the HTTP server’s',
  async place => {
    const { server: stack } = await stacks();
    const web = http.createServer((_, res) => res.end('x'));
    const server = stack.serve(web, 0, place.host);
    await once(web, 'listening');
    const other = http.createServer();
    const failed = heard<[NodeJS.ErrnoException]>(other, 'error');
    stack.serve(other, server.address()!.port, place.host);
    assert.is((await failed)[0].code, 'EADDRINUSE');
    assert.is(
      codeOf(() => stack.serve(other, -1)),
      'ERR_SOCKET_BAD_PORT',
    );
    const closed = heard(server, 'close');
    web.close();
    await closed;
    assert.is(server.listening, false);
  },
);

end();
