/** Bytes through sockets: order, counts, back-pressure from one application to the other. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';
import { both, stacks } from './hosts.js';
import { codeOf, errorOf, finish, gather, listening, portOf, until, withPair } from './pairs.js';

const { test, engineOnly, end } = both('sockets: bytes');
const MIB = 1 << 20;

test('a megabyte piped back comes back whole', async place => {
  const server = await listening(place, { allowHalfOpen: true }, s => s.pipe(s));
  const s = place.client.connect(portOf(server), place.host);
  const data = pattern(MIB, 3);
  s.end(data);
  assert.is(sha(await gather(s)), sha(data));
  assert.equal([s.bytesWritten, s.bytesRead], [MIB, MIB]);
  await finish(server, s);
});

test(
  'many small writes arrive in order',
  withPair(async ({ near, far }) => {
    const lines = Array.from({ length: 2000 }, (_, i) => `${i}\n`);
    for (const line of lines) near.write(line);
    near.end();
    assert.is((await gather(far)).toString(), lines.join(''));
  }),
);

test(
  'a reader that does not read stops the writer; every byte is there when it does',
  withPair(async ({ near, far }) => {
    far.pause();
    const data = pattern(64 * 1024, 5);
    let sent = 0;
    let called = 0;
    // As much as rings, windows and buffers of both take: then a write is not done.
    while (sent < 64 * MIB) {
      const waits = new Promise<boolean>(done => near.write(data, () => done(true)));
      sent += data.length;
      called++;
      if (!(await Promise.race([waits, new Promise<boolean>(done => setTimeout(done, 200, false))]))) break;
    }
    assert.ok(sent < 64 * MIB, `${sent} bytes and no end`);
    assert.ok(near.writableLength > 0 && near.writableNeedDrain);
    assert.is(near.bytesWritten, sent);
    assert.ok(far.bytesRead < sent);
    let drained = 0;
    near.on('drain', () => drained++);
    near.end();
    const got = await gather(far.resume());
    assert.is(got.length, sent);
    assert.is(sha(got), sha(Buffer.concat(Array.from({ length: called }, () => data))));
    assert.is(far.bytesRead, sent);
  }),
);

test(
  'drain comes when what was written is with the transport',
  withPair(async ({ near, far }) => {
    far.resume();
    assert.is(near.write(pattern(4 * MIB)), false);
    assert.is(near.writableNeedDrain, true);
    await once(near, 'drain');
    assert.is(near.writableLength, 0);
    await until('all read', () => far.bytesRead === 4 * MIB);
  }),
);

test(
  'pause and resume: nothing is handed out between',
  withPair(async ({ near, far }) => {
    let got = 0;
    far.on('data', d => {
      got += d.length;
      far.pause();
    });
    near.end(pattern(300_000));
    let turns = 0;
    far.on('pause', () => turns++);
    far.on('end', () => turns++);
    while (!far.readableEnded) {
      const before = turns;
      await until('one chunk', () => turns > before || far.isPaused());
      const now = got;
      await new Promise(setImmediate);
      assert.is(got, now);
      far.resume();
      await new Promise(setImmediate);
    }
    assert.is(got, 300_000);
  }),
);

test(
  'strings are written in their encoding, and read in one’s own',
  withPair(async ({ near, far }) => {
    near.write('68c3a9', 'hex');
    near.write('w6k=', 'base64');
    near.write('\u00e9', 'latin1');
    near.write('z\u00e9\u{1f600}');
    near.end('e9', 'ascii');
    assert.is((await gather(far)).toString('hex'), '68c3a9' + 'c3a9' + 'e9' + '7ac3a9f09f9880' + '6539');
  }),
);

test(
  'setEncoding puts characters together that come in pieces',
  withPair(async ({ near, far }) => {
    far.setEncoding('utf8');
    let text = '';
    far.on('data', (d: string) => {
      text += d;
    });
    for (const byte of Buffer.from('a\u00e9\u{1f600}\u20ac')) {
      near.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    near.end();
    await once(far, 'end');
    assert.is(text, 'a\u00e9\u{1f600}\u20ac');
  }),
);

test(
  'callbacks of writes come in order, and before finish',
  withPair(async ({ near, far }) => {
    far.resume();
    const told: string[] = [];
    near.on('finish', () => told.push('finish'));
    for (const n of ['1', '2', '3']) near.write(pattern(50_000), () => told.push(n));
    near.end(() => told.push('end'));
    await once(far, 'end');
    await until('finish', () => told.length === 5);
    assert.equal(told.slice(0, 3), ['1', '2', '3']);
    assert.equal(told.slice(3).sort(), ['end', 'finish']);
  }),
);

test(
  'nothing written is written: the callback comes, the peer sees no byte',
  withPair(async ({ near, far }) => {
    await new Promise<void>(done => near.write('', () => done()));
    await new Promise<void>(done => near.write(Buffer.alloc(0), () => done()));
    assert.is(near.bytesWritten, 0);
    near.end('x');
    assert.is((await gather(far)).toString(), 'x');
  }),
);

test(
  'corked writes wait for uncork, and keep their order',
  withPair(async ({ near, far }) => {
    const got = gather(far);
    near.cork();
    for (const n of ['a', 'b', 'c']) near.write(n);
    await new Promise(setImmediate);
    assert.equal([near.writableCorked, near.writableLength, far.bytesRead], [1, 3, 0]);
    near.uncork();
    near.end('d');
    assert.is((await got).toString(), 'abcd');
  }),
);

engineOnly(
  'what was corked leaves as one burst: one segment',
  withPair(async () => {
    const { client, server } = await stacks();
    const listener = server.net.createServer({ noDelay: true }).listen(0, '10.0.0.2');
    await once(listener, 'listening');
    const near = client.net.connect({ host: '10.0.0.2', port: listener.address()!.port, noDelay: true });
    const [far] = (await once(listener, 'connection')) as [Socket];
    far.resume();
    // The ring is there, and what the handshake sent is acknowledged.
    near.write('first');
    await until('first', () => far.bytesRead === 5 && near.connection!.unacknowledged === 0);
    const before = near.connection!.info().segmentsOut;
    near.cork();
    for (let i = 0; i < 20; i++) near.write(`${i % 10}`.repeat(10));
    near.uncork();
    await until('the burst', () => far.bytesRead === 205);
    assert.is(near.connection!.info().segmentsOut - before, 1);
    near.destroy();
    far.destroy();
    listener.close();
    await once(listener, 'close');
  }),
);

test('many sockets at a time, each with its own bytes', async place => {
  const server = await listening(place, { allowHalfOpen: true }, s => s.pipe(s));
  const one = async (n: number): Promise<boolean> => {
    const s = place.client.connect(portOf(server), place.host);
    const data = pattern(20_000, n);
    s.end(data);
    return sha(await gather(s)) === sha(data);
  };
  const same = await Promise.all(Array.from({ length: 40 }, (_, n) => one(n)));
  assert.ok(same.every(Boolean));
  await finish(server);
});

test(
  'read in pieces of one’s own size, also from within readable: no byte is left behind',
  withPair(async ({ near, far }) => {
    const data = pattern(400_000, 11);
    const parts: Buffer[] = [];
    far.on('readable', () => {
      for (let part = far.read(1000) as Buffer | null; part; part = far.read(1000)) parts.push(part);
      const rest = far.read() as Buffer | null;
      if (rest) parts.push(rest);
    });
    near.end(data);
    await once(far, 'end');
    assert.is(sha(Buffer.concat(parts)), sha(data));
  }),
);

test(
  'what came before a reset is read before the error',
  withPair(async ({ near, far }) => {
    const error = errorOf(far);
    const got: Buffer[] = [];
    far.on('data', d => got.push(d));
    await new Promise(done => near.write('last words', done));
    await until('it is there', () => far.bytesRead === 10);
    near.resetAndDestroy();
    assert.is((await error).code, 'ECONNRESET');
    assert.is(Buffer.concat(got).toString(), 'last words');
  }),
);

test(
  'async iteration gives every chunk and ends with the peer',
  withPair(async ({ near, far }) => {
    const data = pattern(200_000);
    near.end(data);
    const parts: Buffer[] = [];
    for await (const part of far) parts.push(part as Buffer);
    assert.is(sha(Buffer.concat(parts)), sha(data));
  }),
);

test(
  'who breaks out of the iteration destroys the socket',
  withPair(async ({ near, far }) => {
    const gone = once(near, 'close');
    near.on('error', () => {});
    near.resume().write('x');
    for await (const _ of far) break;
    assert.is(far.destroyed, true);
    await gone;
  }),
);

test(
  'pipeline: from one socket through a stream into another',
  withPair(
    async ({ near, far }) => {
      const data = pattern(500_000, 9);
      const back = gather(near);
      near.end(data);
      far.allowHalfOpen = true;
      await pipeline(far, new PassThrough(), far);
      assert.is(sha(await back), sha(data));
    },
    { server: { allowHalfOpen: true }, near: { allowHalfOpen: true } },
  ),
);

test('onread: bytes come into one’s own buffer, and false stops them until resume', async place => {
  const server = await listening(place, {}, s => s.end('hello world'));
  const buffer = Buffer.alloc(4);
  const got: string[] = [];
  let socket: Socket;
  const callback = (bytes: number, into: Uint8Array): boolean => {
    assert.is(into, buffer);
    got.push(Buffer.from(into.subarray(0, bytes)).toString());
    setImmediate(() => socket.resume());
    return false;
  };
  socket = place.client.connect({ host: place.host, port: portOf(server), onread: { buffer, callback } });
  let data = 0;
  socket.on('data', () => data++);
  await once(socket, 'end');
  assert.equal([got.join(''), data], ['hello world', 0]);
  assert.ok(got.every(part => part.length <= 4));
  assert.is(socket.bytesRead, 11);
  await finish(server, socket);
});

test('onread: a buffer for each read, when a function makes them', async place => {
  const server = await listening(place, {}, s => s.end(pattern(3000)));
  const parts: Buffer[] = [];
  let made = 0;
  const socket = place.client.connect({
    ...{ host: place.host, port: portOf(server) },
    onread: {
      buffer: () => Buffer.alloc(++made * 500),
      callback: (bytes: number, into: Uint8Array) => parts.push(Buffer.from(into.subarray(0, bytes))) > 0,
    },
  });
  await once(socket, 'end');
  assert.is(sha(Buffer.concat(parts)), sha(pattern(3000)));
  assert.ok(made >= parts.length && made > 1);
  await finish(server, socket);
});

test(
  'bufferSize is what waits to be written, while there is a connection',
  withPair(async ({ near }) => {
    assert.is(near.bufferSize, 0);
    near.cork();
    near.write('12345');
    assert.equal([near.bufferSize, near.writableLength, near.bytesWritten], [5, 5, 5]);
    near.destroy();
    assert.is(near.bufferSize, undefined);
  }),
);

test(
  'highWaterMark of socket and server is that of both directions',
  withPair(
    async ({ near, far }) => {
      assert.equal([near.readableHighWaterMark, near.writableHighWaterMark], [1000, 1000]);
      assert.equal([far.readableHighWaterMark, far.writableHighWaterMark], [2000, 2000]);
      near.cork();
      assert.is(near.write(Buffer.alloc(999)), true);
      assert.is(near.write(Buffer.alloc(1)), false);
    },
    { near: { highWaterMark: 1000 } as object, server: { highWaterMark: 2000 } },
  ),
);

test(
  'what is no bytes is refused by write',
  withPair(async ({ near }) => {
    for (const wrong of [1, true, {}, []])
      assert.is(
        codeOf(() => near.write(wrong as never)),
        'ERR_INVALID_ARG_TYPE',
      );
    assert.is(
      codeOf(() => near.write(null as never)),
      'ERR_STREAM_NULL_VALUES',
    );
  }),
);

end();
