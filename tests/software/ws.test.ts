/** ws, as it comes: WebSocket servers and clients on sockets of a stack. */
import { once } from 'node:events';
import http from 'node:http';
import type { Server, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import {
  type ClientOptions,
  createWebSocketStream,
  type ServerOptions,
  WebSocket,
  WebSocketServer,
} from 'ws';
import { both, type Place } from '../sockets/hosts.js';
import { finish, gather, heard, listening, portOf, until } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

const { test, end, last } = both('software: ws');

interface Rig {
  server: Server;
  wss: WebSocketServer;
  connect(options?: ClientOptions): WebSocket;
}

/** A server at the place, whose clients connect from there. */
async function open(place: Place, options: ServerOptions = {}): Promise<Rig> {
  const web = http.createServer();
  const wss = new WebSocketServer({ server: web, ...options });
  const server = await listening(place, {}, s => web.emit('connection', s));
  const createConnection = place.client.createConnection as ClientOptions['createConnection'];
  const url = `ws://${place.host}:${portOf(server)}/`;
  return { server, wss, connect: more => new WebSocket(url, { createConnection, ...more }) };
}

interface Ends extends Rig {
  near: WebSocket;
  far: WebSocket;
}

/** One more WebSocket, both its ends. */
async function another({ wss, connect }: Rig, options: ClientOptions = {}): Promise<[WebSocket, WebSocket]> {
  const near = connect(options);
  const [[far]] = await Promise.all([heard<[WebSocket]>(wss, 'connection'), once(near, 'open')]);
  return [near, far];
}

/** Does something with both ends of a WebSocket; afterwards everything is closed. */
const withEnds =
  (work: (ends: Ends) => Promise<void>, options: ServerOptions = {}, more: ClientOptions = {}) =>
  async (place: Place): Promise<void> => {
    const r = await open(place, options);
    const [near, far] = await another(r, more);
    await work({ ...r, near, far });
    for (const w of [near, far]) w.terminate();
    await finish(r.server);
  };

const message = async (w: WebSocket): Promise<Buffer> => (await once(w, 'message'))[0];

for (const deflate of [false, true])
  test(
    `texts and bytes of every length come in order, ${deflate ? 'compressed' : 'as they are'}`,
    withEnds(
      async ({ near, far }) => {
        assert.is(near.extensions, deflate ? 'permessage-deflate' : '');
        far.on('message', (data, binary) => far.send(data, { binary }));
        for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
          const data = pattern(size, size);
          near.send(data);
          assert.is(sha(await message(near)), sha(data));
        }
        const texts = ['', 'žluťoučký kůň', 'x'.repeat(70_000)];
        const back: string[] = [];
        near.on('message', data => back.push(String(data)));
        for (const text of texts) near.send(text);
        await until('all texts', () => back.length === texts.length);
        assert.equal(back, texts);
      },
      { perMessageDeflate: deflate },
      { perMessageDeflate: deflate },
    ),
  );

test(
  'a ping is answered; a close has its code and its reason at the other end, whoever begins',
  withEnds(async ({ near, far, ...rig }) => {
    const pong = once(near, 'pong');
    near.ping('hello');
    assert.is(String((await pong)[0]), 'hello');
    const told = once(far, 'close');
    near.close(4001, 'enough');
    assert.equal((await told).map(String), ['4001', 'enough']);
    const [again, other] = await another(rig);
    const heardOf = once(again, 'close');
    other.close(1013, 'later');
    assert.equal((await heardOf).map(String), ['1013', 'later']);
  }),
);

test(
  'who does not read holds the sender back; nothing is lost when it reads again',
  withEnds(async ({ near, far }) => {
    far.pause();
    const data = pattern(1 << 20, 2);
    // More than windows and rings hold.
    for (let i = 0; i < 24; i++) near.send(data);
    await new Promise(next => setTimeout(next, 50));
    assert.ok(near.bufferedAmount > 4 << 20, `${near.bufferedAmount} bytes wait`);
    let got = 0;
    far.on('message', m => {
      if (sha(m as Buffer) === sha(data)) got++;
    });
    far.resume();
    await until('all of it', () => got === 24);
    assert.is(near.bufferedAmount, 0);
  }),
);

test(
  'one that goes without a word, or by a reset, is closed with 1006 at the other end',
  withEnds(async ({ near, far, ...rig }) => {
    const told = once(far, 'close');
    near.terminate();
    assert.is((await told)[0], 1006);
    const [again, other] = await another(rig);
    const closed = heard<[number]>(again, 'close');
    (other as unknown as { _socket: Socket })._socket.resetAndDestroy();
    assert.is((await closed)[0], 1006);
  }),
);

test(
  'a frame against the protocol is closed with 1002, a message that is too long with 1009',
  withEnds(
    async ({ near, far, ...rig }) => {
      const error = heard<[NodeJS.ErrnoException]>(far, 'error');
      const told = once(near, 'close');
      (near as unknown as { _socket: Socket })._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]));
      assert.is((await error)[0].code, 'WS_ERR_INVALID_OPCODE');
      assert.is((await told)[0], 1002);
      const [again, other] = await another(rig);
      other.on('error', () => {});
      again.on('error', () => {});
      const closed = heard(again, 'close');
      again.send(pattern(10_001));
      assert.is((await closed)[0], 1009);
    },
    { maxPayload: 10_000 },
  ),
);

test('what is no WebSocket is refused: 400 to a request, an error to a client of another path', async place => {
  const { server, connect } = await open(place, { path: '/chat' });
  const refused = heard<[Error]>(connect(), 'error');
  assert.is((await refused)[0].message, 'Unexpected server response: 400');
  const s = place.client.connect(portOf(server), place.host);
  s.end('GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  assert.match((await gather(s)).toString(), /^HTTP\/1.1 400 Bad Request/);
  await finish(server, s);
});

test('forty clients hear what one says, each once', async place => {
  const { server, wss, connect } = await open(place);
  wss.on('connection', w =>
    w.on('message', data => {
      for (const c of wss.clients) c.send(String(data));
    }),
  );
  const clients = Array.from({ length: 40 }, () => connect());
  await Promise.all(clients.map(c => once(c, 'open')));
  const told = clients.map(c => message(c));
  clients[7].send('all of you');
  assert.equal(new Set((await Promise.all(told)).map(String)), new Set(['all of you']));
  const closed = clients.map(c => once(c, 'close'));
  for (const c of clients) c.close();
  await Promise.all(closed);
  await finish(server);
});

test(
  'as streams: a pipeline through both ends brings every byte back',
  withEnds(async ({ near, far }) => {
    const [mine, other] = [createWebSocketStream(near), createWebSocketStream(far)];
    const echo = pipeline(other, other);
    const data = pattern(2_000_000, 8);
    const back = gather(mine);
    mine.end(data);
    assert.is(sha(await back), sha(data));
    await echo;
  }),
);

end();
last();
