/** How sockets end: in peace, in halves, by a reset, by a timeout, by their owner. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';
import { both, stacks } from './hosts.js';
import {
  codeOf,
  errorOf,
  finish,
  gather,
  listening,
  pair,
  portOf,
  recorded,
  until,
  withPair,
} from './pairs.js';

const { test, engineOnly, end } = both('sockets: ending');
const HALF = { server: { allowHalfOpen: true }, near: { allowHalfOpen: true } };
const LAST = ['end', 'finish', 'error', 'close'];

test(
  'the peer’s end ends this side, too; then it closes without an error',
  withPair(async ({ near, far }) => {
    const heard = recorded(far, LAST);
    far.resume();
    near.resume().end();
    await once(near, 'close');
    await until('close', () => heard.includes('close false'));
    assert.equal(heard, ['end', 'finish', 'close false']);
    assert.equal(
      [far.readyState, far.destroyed, far.readableEnded, far.writableFinished],
      ['closed', true, true, true],
    );
  }),
);

test(
  'what is written right before a socket is destroyed with bytes unread reaches the peer',
  withPair(async ({ near, far }) => {
    let heard = '';
    near.on('data', d => {
      heard += d;
    });
    const closed = new Promise(resolve => near.on('error', () => {}).once('close', resolve));
    near.write(Buffer.alloc(5_000_000));
    await once(far, 'data');
    far.pause();
    far.write('last words');
    far.destroy();
    await closed;
    assert.is(heard, 'last words');
  }),
);

test(
  'an end that nobody reads up to is told all the same, when no byte is before it',
  withPair(async ({ near, far }) => {
    const closed = once(far, 'close');
    near.end();
    near.resume();
    await once(far, 'end');
    await closed;
  }),
);

test(
  'half open: the other direction goes on after the end, and both close when it ends',
  withPair(async ({ near, far }) => {
    const heard = recorded(near, LAST);
    far.resume();
    near.end('ask');
    await once(far, 'end');
    assert.equal([far.writable, far.readyState], [true, 'writeOnly']);
    assert.is(near.readyState, 'readOnly');
    const data = pattern(200_000);
    far.write(data.subarray(0, 100_000));
    far.end(data.subarray(100_000));
    assert.is(sha(await gather(near)), sha(data));
    await until('close', () => heard.includes('close false'));
    assert.equal(heard, ['finish', 'end', 'close false']);
  }, HALF),
);

test(
  'half open and nobody ends it: it stays',
  withPair(async ({ near, far }) => {
    far.resume();
    near.end();
    await once(far, 'end');
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    assert.equal([far.destroyed, near.destroyed], [false, false]);
    near.resume();
    far.end('late');
    await Promise.all([once(near, 'close'), once(far, 'close')]);
  }, HALF),
);

test(
  'end hands over its last bytes, and calls back when all is with the transport',
  withPair(async ({ near, far }) => {
    const got = gather(far);
    near.write('one ');
    await new Promise<void>(done => near.end('two', 'latin1', done));
    assert.is(near.writableFinished, true);
    assert.is((await got).toString(), 'one two');
  }),
);

test(
  'after the peer’s end a write is a broken pipe',
  withPair(async ({ near, far }) => {
    near.resume();
    far.end();
    await once(near, 'end');
    await until('its own end', () => near.writableEnded);
    near.on('error', () => {});
    const e = await new Promise<NodeJS.ErrnoException>(done =>
      near.write('x', error => done(error as NodeJS.ErrnoException)),
    );
    assert.is(e.code, 'EPIPE');
    assert.is(e.message, 'This socket has been ended by the other party');
  }),
);

test(
  'after one’s own end a write is refused',
  withPair(async ({ near }) => {
    near.end();
    const e = errorOf(near);
    const told = new Promise<NodeJS.ErrnoException>(done =>
      near.write('x', error => done(error as NodeJS.ErrnoException)),
    );
    assert.equal(
      [(await e).code, (await told).code],
      ['ERR_STREAM_WRITE_AFTER_END', 'ERR_STREAM_WRITE_AFTER_END'],
    );
  }, HALF),
);

test(
  'after destroy a write is refused, quietly',
  withPair(async ({ near }) => {
    near.destroy();
    const told = new Promise<NodeJS.ErrnoException>(done =>
      near.write('x', error => done(error as NodeJS.ErrnoException)),
    );
    assert.is((await told).code, 'ERR_STREAM_DESTROYED');
  }),
);

test(
  'destroy closes both ends, once, and is said once',
  withPair(async ({ near, far }) => {
    const heard = recorded(near, LAST);
    far.on('error', () => {}).resume();
    assert.is(near.destroy(), near);
    near.destroy();
    assert.equal([near.destroyed, near.pending, near.connecting], [true, true, false]);
    await once(far, 'close');
    await until('close', () => heard.length > 0);
    assert.equal(heard, ['close false']);
  }),
);

test(
  'destroy with an error: that error, then close that says so',
  withPair(async ({ near }) => {
    const heard = recorded(near, LAST);
    const mine = new Error('mine');
    const e = errorOf(near);
    near.destroy(mine);
    assert.is(await e, mine);
    await until('close', () => heard.length === 2);
    assert.equal(heard, ['error', 'close true']);
  }),
);

test(
  'resetAndDestroy: ECONNRESET of read at the peer, no error here',
  withPair(async ({ near, far }) => {
    const heard = recorded(near, LAST);
    const e = errorOf(far);
    far.resume();
    assert.is(near.resetAndDestroy(), near);
    const { code, syscall, errno, message } = await e;
    assert.equal([code, syscall, errno, message], ['ECONNRESET', 'read', -104, 'read ECONNRESET']);
    await until('close', () => heard.length > 0);
    assert.equal(heard, ['close false']);
  }),
);

test('resetAndDestroy while it connects waits until it is connected', async place => {
  let far: Socket | undefined;
  const server = await listening(place, {}, s => {
    far = s.on('error', () => {}).resume();
  });
  const s = place.client.connect(portOf(server), place.host);
  const heard = recorded(s, ['connect', ...LAST]);
  s.resetAndDestroy();
  assert.is(s.destroyed, false);
  await until('both are closed', () => heard.length === 2 && far?.destroyed === true);
  assert.equal(heard, ['connect', 'close false']);
  await finish(server);
});

test(
  'a reset ends writes that wait: their callback hears of it',
  withPair(async ({ near, far }) => {
    far.pause();
    const error = errorOf(near);
    const told = new Promise<NodeJS.ErrnoException | null | undefined>(done =>
      near.write(pattern(32 << 20), done as never),
    );
    await until('it waits', () => near.writableLength > 0);
    near.resume();
    far.resetAndDestroy();
    assert.ok(['ECONNRESET', 'EPIPE'].includes((await error).code!));
    await told;
    assert.is(near.destroyed, true);
  }),
);

test(
  'destroySoon: first what was written, then the end',
  withPair(async ({ near, far }) => {
    const got = gather(far);
    const data = pattern(2_000_000, 4);
    near.write(data);
    near.destroySoon();
    assert.is(near.destroyed, false);
    assert.is(sha(await got), sha(data));
    if (!near.closed) await once(near, 'close');
  }),
);

engineOnly(
  'a socket that is destroyed with bytes unread resets, as Linux does',
  withPair(
    async ({ near, far }) => {
      const e = errorOf(near);
      near.resume().write('unread');
      const { connection } = far as unknown as { connection: { readable: number } };
      await until('it is there', () => connection.readable === 6);
      far.destroy();
      assert.is((await e).code, 'ECONNRESET');
    },
    { server: { pauseOnConnect: true } },
  ),
);

test(
  'timeout is told once for each silence, and closes nothing',
  withPair(async ({ near, far }) => {
    far.resume();
    let told = 0;
    assert.is(near.timeout, undefined);
    near.setTimeout(20, () => told++);
    assert.is(near.timeout, 20);
    await once(near, 'timeout');
    assert.equal([told, near.destroyed, near.listenerCount('timeout')], [1, false, 0]);
    // A byte begins the next one.
    near.write('x');
    await once(near, 'timeout');
    assert.is(told, 1);
    const listener = (): void => void told++;
    near.setTimeout(50, listener).setTimeout(0, listener);
    assert.equal([near.timeout, near.listenerCount('timeout')], [0, 0]);
  }),
);

test('timeout as an option of connect, also of one that never connects', async ({ client }) => {
  const lookup = (() => {}) as never;
  const s = client.connect({ host: 'never.test', port: 80, lookup, timeout: 15 });
  assert.is(s.timeout, 15);
  await once(s, 'timeout');
  assert.is(s.connecting, true);
  s.destroy();
  await once(s, 'close');
});

test(
  'times that are none are refused',
  withPair(async ({ near }) => {
    assert.equal(
      ['x', true, null, {}].map(ms => codeOf(() => near.setTimeout(ms as never))),
      Array(4).fill('ERR_INVALID_ARG_TYPE'),
    );
    assert.equal(
      [-1, Number.NaN, Number.POSITIVE_INFINITY].map(ms => codeOf(() => near.setTimeout(ms))),
      Array(3).fill('ERR_OUT_OF_RANGE'),
    );
    assert.is(
      codeOf(() => near.setTimeout(1, 'x' as never)),
      'ERR_INVALID_ARG_TYPE',
    );
  }),
);

test(
  'a destroyed socket has no time out',
  withPair(async ({ near }) => {
    near.destroy();
    near.setTimeout(1);
    assert.is(near.timeout, undefined);
  }),
);

test('Symbol.asyncDispose destroys it', async place => {
  const { server, near, far } = await pair(place);
  far.on('error', () => {}).resume();
  const closed = new Promise(done => near.on('close', done));
  near.on('error', () => {});
  await near[Symbol.asyncDispose]();
  assert.is(near.destroyed, true);
  await closed;
  await finish(server, far);
});

test('an exception of a listener harms no other socket', async place => {
  const server = await listening(place, {}, s => s.pipe(s));
  const [bad, good] = await Promise.all(
    [1, 2].map(async () => {
      const s = place.client.connect(portOf(server), place.host);
      await once(s, 'connect');
      return s;
    }),
  );
  const thrown = new Promise<Error>(done => process.once('uncaughtException', done));
  bad.on('data', () => {
    throw new Error('in a listener');
  });
  bad.write('x');
  good.write('y');
  assert.is((await thrown).message, 'in a listener');
  if (good.bytesRead === 0) await once(good, 'data');
  await finish(server, bad, good);
});

engineOnly(
  'idle sockets cost nothing: their loop sleeps and does not look for news',
  withPair(async ({ near, far }) => {
    near.write('x');
    await once(far, 'data');
    const { client, server } = await stacks();
    let looks = 0;
    const restore = [client, server].map(({ net }) => {
      const { sockets } = net.loop;
      const poll = sockets.poll.bind(sockets);
      sockets.poll = (...args) => {
        looks++;
        return poll(...args);
      };
      return () => {
        sockets.poll = poll;
      };
    });
    // The last acknowledgment may still be on its way.
    let before = -1;
    await until('it sleeps', () => {
      const same = before === looks;
      before = looks;
      return same;
    });
    for (let i = 0; i < 50; i++) await new Promise(next => setTimeout(next, 1));
    assert.ok(looks - before <= 1, `${looks - before} looks`);
    far.resume();
    near.write('y');
    await until('it wakes', () => far.bytesRead === 2);
    assert.ok(looks > before);
    for (const undo of restore) undo();
  }),
);

end();
