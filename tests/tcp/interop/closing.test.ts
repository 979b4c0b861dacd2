/** Every order in which two ends can be done with a connection, the kernel being one of them. */
import { assert, suite } from '../../support/suite.js';
import { Body } from './body.js';
import { missing } from './missing.js';
import type { OurConnection } from './our.js';
import { Session } from './session.js';
import type { WireSettings } from './wire.js';

const test = suite('tcp: closing against the kernel');
const KB = 1000;
const body = new Body(2000 * KB);
process.once('exit', () => body.close());
const ROLES = ['client', 'server'] as const;
const LIMIT = { missing, timeoutMs: 60_000 };

async function on(
  work: (session: Session) => Promise<void>,
  more: Partial<WireSettings> = {},
): Promise<void> {
  const session = await Session.open({ nic: 'af_xdp', ...more }, body);
  try {
    await work(session);
    assert.is(await session.settled(), 0, 'connections that are left');
    assert.equal(await session.kernelSockets(), [], 'sockets that are left in the kernel');
  } finally {
    await session.close();
  }
}

/** Reads until the end. @returns bytes */
async function drain(c: OurConnection): Promise<number> {
  const into = Buffer.alloc(1 << 16);
  let bytes = 0;
  for (let n = 1; n; bytes += n) n = await c.read(into);
  return bytes;
}

const failure = (p: Promise<unknown>): Promise<string> =>
  p.then(
    () => 'none',
    e => (e as Error).message,
  );

for (const nic of ['af_xdp', 'tun'] as const)
  test(
    `FIN first from either end, or from both, over ${nic}`,
    () =>
      on(
        async session => {
          for (const role of ROLES)
            for (const order of ['both', 'kernel', 'ours'] as const)
              for (const [forth, back] of [
                [0, 0],
                [0, 300 * KB],
                [300 * KB, 0],
                [300 * KB, 300 * KB],
              ]) {
                const r = await session.transfer({ peer: 'node', role, forth, back, order });
                assert.equal(r.faults, [], `${role}, ${order}, ${forth}, ${back}`);
              }
        },
        { nic },
      ),
    LIMIT,
  );

test(
  'a half that is closed carries nothing more, the other goes on for as long as it likes',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const file = body.file(2000 * KB);
        const { connection, done } = await session.meet('node', { role, file, pauseMs: 300 });
        connection.shutdown();
        assert.is(await drain(connection), 2000 * KB);
        connection.close();
        const told = await done;
        assert.equal([told.received, told.ended, told.error], [0, true, undefined]);
      }
    }),
  LIMIT,
);

test(
  'the kernel resets in the middle: our application is told ECONNRESET',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const { connection, done } = await session.meet('node', { role, ends: 'reset', after: 50 * KB });
        const written = connection.write(body.first(2000 * KB));
        assert.match(await failure(drain(connection)), /ECONNRESET/);
        await failure(written);
        connection.close();
        await done;
      }
    }),
  LIMIT,
);

test(
  'the kernel closes with bytes unread or still to come: we are reset, and forget it',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const { connection, done } = await session.meet('node', { role, ends: 'close', after: 50 * KB });
        await failure(connection.write(body.first(2000 * KB)));
        await failure(drain(connection));
        connection.close();
        await done;
      }
    }),
  LIMIT,
);

test(
  'we abort in the middle: the kernel says ECONNRESET',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const file = body.file(2000 * KB);
        const { connection, done } = await session.meet('node', { role, file });
        await connection.read(Buffer.alloc(1000));
        connection.abort();
        assert.is((await done).error, 'ECONNRESET');
      }
    }),
  LIMIT,
);

test(
  'we close with bytes unread: the kernel is reset, as RFC 2525 §2.17 wants it',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const { connection, done } = await session.meet('node', {
          role,
          file: body.file(300 * KB),
          ends: 'received',
        });
        await connection.read(Buffer.alloc(1000));
        connection.close();
        assert.is((await done).error, 'ECONNRESET');
      }
    }),
  LIMIT,
);

test(
  'nobody listens: refused at once, both ways',
  () =>
    on(async session => {
      const began = performance.now();
      assert.match(await failure(session.host.connect(9)), /ECONNREFUSED/);
      const told = await session.call(9);
      assert.is(told, 'ECONNREFUSED');
      assert.ok(performance.now() - began < 5000);
    }),
  LIMIT,
);

test(
  'a reader that is slow shuts the window, and opens it again',
  () =>
    on(async session => {
      for (const role of ROLES) {
        const t = { role, file: body.file(2000 * KB), ends: 'sent' as const, pauseMs: 500 };
        const { connection, done } = await session.meet('node', t);
        const writing = connection.write(body.first(2000 * KB)).then(() => connection.shutdown());
        await session.host.tick(500);
        assert.is(await drain(connection), 2000 * KB);
        await writing;
        assert.is((await done).sha, body.sha(2000 * KB));
        await connection.finished();
        connection.close();
      }
    }),
  LIMIT,
);
