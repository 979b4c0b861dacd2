/** express, as it comes: an application whose connections a stack takes. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express, { type NextFunction, type Request, type Response } from 'express';
import { both, type Place } from '../sockets/hosts.js';
import { finish, gather, listening, portOf, until } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

const { test, end } = both('software: express');
const FILE = pattern(700_000, 4);
const folder = mkdtempSync(join(tmpdir(), 'el-express-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'file.bin'), FILE);

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

interface Site {
  server: Server;
  ask(path: string, options?: http.RequestOptions, body?: string | Uint8Array): Promise<Answer>;
  close(): Promise<void>;
}

/** An application at the place, and requests of it that keep their connection alive. */
async function site(place: Place, app: express.Express): Promise<Site> {
  const web = http.createServer(app);
  const server = await listening(place, {}, s => web.emit('connection', s));
  const agent = Object.assign(new http.Agent({ keepAlive: true }), {
    createConnection: place.client.createConnection,
  });
  return {
    server,
    ask: async (path, options = {}, body) => {
      const req = http.request({ agent, host: place.host, port: portOf(server), path, ...options });
      const answered = once(req, 'response') as Promise<[http.IncomingMessage]>;
      req.end(body);
      const [res] = await answered;
      return { status: res.statusCode!, headers: res.headers, body: await gather(res) };
    },
    close: async () => {
      agent.destroy();
      web.closeAllConnections();
      await finish(server);
    },
  };
}

const JSON_TYPE = { 'content-type': 'application/json' };

test('routes, parameters, JSON both ways; who asks is known by address', async place => {
  const app = express().set('env', 'test').use(express.json());
  app.post('/users/:id', (req, res) => {
    res.status(201).json({ id: req.params.id, q: req.query.q, body: req.body, ip: req.ip });
  });
  const { ask, close } = await site(place, app);
  const said = { name: 'žluť', list: [1, 2, 3] };
  const options = { method: 'POST', headers: JSON_TYPE };
  const { status, body } = await ask('/users/7?q=x', options, JSON.stringify(said));
  assert.is(status, 201);
  assert.equal(JSON.parse(String(body)), { id: '7', q: 'x', body: said, ip: place.from });
  assert.is((await ask('/users/7', options, '{"half')).status, 400);
  assert.is((await ask('/nowhere')).status, 404);
  await close();
});

test('files: whole, in ranges, and not again when they are known', async place => {
  const { ask, close } = await site(place, express().use(express.static(folder)));
  const whole = await ask('/file.bin');
  assert.equal([whole.status, sha(whole.body)], [200, sha(FILE)]);
  const part = await ask('/file.bin', { headers: { range: 'bytes=1000-200999' } });
  assert.equal(
    [part.status, part.headers['content-range'], sha(part.body)],
    [206, 'bytes 1000-200999/700000', sha(FILE.subarray(1000, 201_000))],
  );
  const known = await ask('/file.bin', { headers: { 'if-none-match': whole.headers.etag } });
  assert.equal([known.status, known.body.length], [304, 0]);
  await close();
});

test('an error in a handler, thrown or rejected, is answered by 500, and the next request is answered', async place => {
  const app = express();
  app.get('/throws', () => {
    throw new Error('mine');
  });
  app.get('/rejects', async () => Promise.reject(new Error('mine')));
  app.use((e: Error, _req: Request, res: Response, _next: NextFunction) => {
    res.status(500).send(e.message);
  });
  app.get('/fine', (_, res) => res.send('fine') as never);
  const { ask, close } = await site(place, app);
  for (const path of ['/throws', '/rejects']) {
    const { status, body } = await ask(path);
    assert.equal([status, String(body)], [500, 'mine']);
  }
  await close();
});

test('an upload of five megabytes is counted as it comes; one that is too long is refused', async place => {
  // In its environment `test` express prints no errors.
  const app = express().set('env', 'test');
  app.put('/raw', express.raw({ limit: '6mb', type: '*/*' }), (req, res) => {
    res.send(sha(req.body as Buffer));
  });
  const { ask, close } = await site(place, app);
  const data = pattern(5_000_000, 5);
  const put = { method: 'PUT', headers: { 'content-type': 'application/octet-stream' } };
  assert.is(String((await ask('/raw', put, data)).body), sha(data));
  const length = { ...put.headers, 'content-length': 7_000_000 };
  assert.is((await ask('/raw', { ...put, headers: length }, pattern(7_000_000))).status, 413);
  await close();
});

test('events that a server sends arrive one by one; a client that goes away is noticed', async place => {
  let gone = false;
  let tick: (() => void) | undefined;
  const app = express().get('/events', (req, res) => {
    res.type('text/event-stream').flushHeaders();
    let n = 0;
    tick = () => void res.write(`data: ${n++}\n\n`);
    req.on('close', () => (gone = true));
  });
  const { server, close } = await site(place, app);
  const s = place.client.connect(portOf(server), place.host);
  s.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
  let text = '';
  s.on('data', d => (text += d));
  for (let n = 0; n < 3; n++) {
    await until('its turn', () => tick !== undefined && /\r\n\r\n/.test(text));
    tick!();
    await until(`event ${n}`, () => text.includes(`data: ${n}\n`));
  }
  s.destroy();
  await until('it is noticed', () => gone);
  await close();
});

end();
