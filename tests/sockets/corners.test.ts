/** Corners of `net` that programs lean on: large and odd writes, ends before and after the beginning, listeners that fail. */
import { EventEmitter, once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';
import { both } from './hosts.js';
import {
  codeOf,
  errorOf,
  finish,
  gather,
  heard,
  listening,
  pair,
  portOf,
  recorded,
  until,
  withPair,
} from './pairs.js';

const { test, end } = both('sockets: corners');

test(
  'sixteen megabytes in one write: counted as written at once, and as read at the end',
  withPair(async ({ near, far }) => {
    const data = pattern(16 << 20, 6);
    const back = gather(far);
    assert.is(near.write(data), false);
    assert.is(near.bytesWritten, data.length);
    near.end();
    assert.is(sha(await back), sha(data));
    assert.equal([near.bytesWritten, far.bytesRead], [data.length, data.length]);
  }),
);

test(
  'every value of a byte passes both ways as latin1, and as hex',
  withPair(async ({ near, far }) => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    far.setEncoding('hex');
    near.write(all.toString('latin1'), 'latin1');
    let text = '';
    far.on('data', d => (text += d));
    await until('all', () => text.length === 512);
    assert.is(text, all.toString('hex'));
    far.end(text, 'hex');
    assert.is(sha(await gather(near)), sha(all));
  }),
);

test('what is written before, while and after it connects keeps its order', async place => {
  const server = await listening(place);
  const s = place.client.connect(portOf(server), place.host);
  s.write('1');
  s.once('connect', () => {
    s.write('2');
    process.nextTick(() => s.end('3'));
  });
  const [far] = await heard<[Socket]>(server, 'connection');
  assert.is(String(await gather(far)), '123');
  await finish(server, s, far);
});

test('ended before it connects, with nothing written: it connects, finishes, and closes in peace', async place => {
  const server = await listening(place, {}, far => void far.resume());
  const s = place.client.connect(portOf(server), place.host);
  const told = recorded(s, ['connect', 'ready', 'finish', 'end', 'error', 'close']);
  s.end().resume();
  await heard(s, 'close');
  assert.equal(told.slice(0, 2), ['connect', 'ready']);
  assert.equal([...told].sort(), ['close false', 'connect', 'end', 'finish', 'ready']);
  await finish(server);
});

test('every form of end ends, and calls back once', async place => {
  const forms: [string, (s: Socket, done: () => void) => void][] = [
    ['', (s, done) => s.end(done)],
    ['a', (s, done) => s.end('a', done)],
    ['b', (s, done) => s.end('62', 'hex', done)],
  ];
  for (const [words, form] of forms) {
    const { server, near, far } = await pair(place);
    let calls = 0;
    form(near.resume(), () => calls++);
    assert.is(String(await gather(far)), words);
    await until('the callback', () => calls > 0);
    await finish(server, near, far);
    assert.is(calls, 1);
  }
});

test('paused before it connects: nothing is handed out until resume', async place => {
  const server = await listening(place, {}, far => far.end('kept'));
  const s = place.client.connect(portOf(server), place.host).pause();
  let early = 0;
  s.on('data', () => early++);
  await once(s, 'connect');
  await new Promise(next => setTimeout(next, 30));
  assert.is(early, 0);
  const all = gather(s);
  s.resume();
  assert.is(String(await all), 'kept');
  await finish(server, s);
});

test(
  'resetAndDestroy twice, and of one that is destroyed: no error, one close',
  withPair(async ({ near, far }) => {
    far.on('error', () => {}).resume();
    const told = recorded(near, ['error', 'close']);
    near.resetAndDestroy();
    await heard(near, 'close');
    await new Promise(setImmediate);
    assert.equal(told, ['close false']);
  }),
);

test('closed twice: both callbacks are called, the second one with ERR_SERVER_NOT_RUNNING', async place => {
  const server = await listening(place);
  const told: (string | undefined)[] = [];
  const tell = (e?: Error): void => void told.push((e as NodeJS.ErrnoException | undefined)?.code);
  server.close(tell);
  server.close(tell);
  await until('both', () => told.length === 2);
  assert.equal(told, [undefined, 'ERR_SERVER_NOT_RUNNING']);
});

test('closed at once after listen: no listening event; then it listens again', async ({
  server: net,
  host,
}) => {
  const server = net.createServer();
  const told = recorded(server, ['listening']);
  server.listen(0, host);
  const closed = heard(server, 'close');
  server.close();
  await closed;
  await new Promise(setImmediate);
  assert.equal(told, []);
  server.listen(0, host);
  await once(server, 'listening');
  await finish(server);
});

test('two connections cannot come from one port to one place: EADDRINUSE or EADDRNOTAVAIL, by bind or connect', async place => {
  const server = await listening(place);
  const first = place.client.connect({ host: place.host, port: portOf(server), localAddress: place.from });
  await once(first, 'connect');
  const localPort = first.localPort!;
  const to = { host: place.host, port: portOf(server), localAddress: place.from, localPort };
  const e = await errorOf(place.client.connect(to));
  assert.ok(['EADDRINUSE', 'EADDRNOTAVAIL'].includes(e.code!), e.code);
  await finish(server, first);
});

test('captureRejections: an async listener of connection that fails ends that socket with its error', async place => {
  const was = EventEmitter.captureRejections;
  EventEmitter.captureRejections = true;
  const mine = new Error('mine');
  let error: Promise<NodeJS.ErrnoException> | undefined;
  let server: Server;
  try {
    server = place.server.createServer(async far => {
      error = errorOf(far);
      throw mine;
    });
  } finally {
    EventEmitter.captureRejections = was;
  }
  server.listen(0, place.host);
  await once(server, 'listening');
  const s = place.client.connect(portOf(server), place.host).on('error', () => {});
  await heard(s.resume(), 'close');
  assert.is(await error, mine);
  await finish(server, s);
});

test(
  'null is refused by write, and other values by their type; the connection goes on',
  withPair(async ({ near, far }) => {
    assert.is(
      codeOf(() => near.write(null as never)),
      'ERR_STREAM_NULL_VALUES',
    );
    for (const wrong of [1, true, {}, [], undefined])
      assert.is(
        codeOf(() => near.write(wrong as never)),
        'ERR_INVALID_ARG_TYPE',
      );
    const back = gather(far);
    near.end('on');
    assert.is(String(await back), 'on');
  }),
);

test(
  'after close: no address, no port, nothing that waits; the timeout is kept',
  withPair(async ({ near, far }) => {
    far.on('error', () => {}).resume();
    near.setTimeout(1234);
    near.destroy();
    await heard(near, 'close');
    assert.equal(
      [near.localPort, near.localAddress, near.address(), near.readyState, near.timeout],
      [undefined, undefined, {}, 'closed', 1234],
    );
    assert.equal([near.writableLength, near.pending, near.bufferSize], [0, true, undefined]);
  }),
);

test('a thousand connections one after the other leave nothing behind', async place => {
  let served = 0;
  const server = await listening(place, {}, far => {
    served++;
    far.end();
  });
  // Some at a time: one after the other at each of eight places.
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 125; i++) {
        const s = place.client.connect(portOf(server), place.host);
        await heard(s.resume(), 'close');
      }
    }),
  );
  assert.is(served, 1000);
  await finish(server);
});

/** What is thrown at nobody while `work` is done. */
async function thrownIn(work: () => Promise<void>): Promise<string[]> {
  const thrown: string[] = [];
  const hear = (error: Error): void => void thrown.push(error.message);
  process.on('uncaughtException', hear);
  await work().finally(() => process.off('uncaughtException', hear));
  return thrown;
}

test(
  'a data listener that throws: its socket hears all that follows, ends and closes',
  withPair(async ({ near, far }) => {
    const told = recorded(far, ['end', 'error', 'close']);
    let text = '';
    far.on('data', (d: Buffer) => {
      text += d;
      if (text.length < 3) throw new Error(`at ${text}`);
    });
    const thrown = await thrownIn(async () => {
      for (const part of ['a', 'b', 'c']) {
        near.write(part);
        await until('it is heard', () => text.endsWith(part));
      }
      near.resume().end('d');
      await until('close', () => told.includes('close false'));
    });
    assert.equal([text, told, thrown], ['abcd', ['end', 'close false'], ['at a', 'at ab']]);
  }),
);

test('a data listener that throws at the last bytes, with the end behind them: end and close come', async place => {
  const server = await listening(place, {}, far => far.end('bye'));
  const s = place.client.connect(portOf(server), place.host);
  const told = recorded(s, ['end', 'error', 'close']);
  s.on('data', () => {
    throw new Error('mine');
  });
  assert.equal(await thrownIn(() => until('close', () => told.length === 2)), ['mine']);
  assert.equal(told, ['end', 'close false']);
  await finish(server, s);
});

test('onread: a callback that throws is called again with what follows, up to the end', async place => {
  const server = await listening(place, {}, far => far.end('hello'));
  let text = '';
  const callback = (n: number, buffer: Uint8Array): boolean => {
    text += Buffer.from(buffer.subarray(0, n));
    if (text.length < 4) throw new Error(`at ${text.length}`);
    return true;
  };
  const onread = { buffer: Buffer.alloc(2), callback };
  const s = place.client.connect({ host: place.host, port: portOf(server), onread });
  const told = recorded(s, ['end', 'close']);
  assert.equal(await thrownIn(() => until('close', () => told.length === 2)), ['at 2']);
  assert.equal([text, told], ['hello', ['end', 'close false']]);
  await finish(server, s);
});

end();
