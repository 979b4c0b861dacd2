/** What is written first, when there is no ring yet, and last, when nothing can be sent any more. */
import { StackApp } from '../../host/net/burst/stack_app.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';
import { assert, suite } from '../support/suite.js';
import { AT, type C, type E, type Host, pattern, Sender, sha, until, wired } from './rig.js';

const test = suite('stack: first and last writes');
const NONE = new Uint8Array(0);

/** A server in the natural way: when a request of `bytes` bytes is there it writes its answer and closes. */
function answering(b: Host, bytes: number, answer: Uint8Array): { taken: number[] } {
  const out: { taken: number[] } = { taken: [] };
  b.onAccept = c => () => {
    if (c.closed || c.readable < bytes) return;
    c.consume(c.readable);
    out.taken.push(c.write(answer));
    c.close();
  };
  b.stack.burst.listen({ port: 80 });
  return out;
}

for (const size of [1, 1000, 100_000, 262_144])
  test(`write and close: all of ${size} bytes arrive, then the end`, () =>
    wired(async ({ a, b }) => {
      const { taken } = answering(b, 5, pattern(size, 9));
      const c = a.connect({ host: AT.b[4], port: 80 });
      const s = new Sender(c, NONE);
      s.shut = true;
      a.hear(c, e => {
        // The whole request at once, in the event that says that it may be written.
        if (e.connected) assert.is(e.writable && c.room > 0 && c.write(pattern(5)), 5);
        s.heard(e);
      });
      await until([a, b], () => s.ended);
      assert.equal(taken, [size]);
      assert.is(s.sha, sha(pattern(size, 9)));
      assert.is(s.error, undefined);
      c.close();
      await until([a, b], () => b.stack.apps.streamsOf(2) === 0);
    }));

/** Has `host` take in whoever calls and read what they send; they are in the list as they come. */
function takers(host: Host): Sender[] {
  const got: Sender[] = [];
  host.onAccept = c => {
    const s = new Sender(c, NONE);
    got.push(s);
    return s.heard;
  };
  return got;
}

test('write, shutdown and close before the handshake is through: all of it arrives, then the end', () =>
  wired(async ({ a, b }) => {
    const got = takers(b);
    b.stack.burst.listen({ port: 80 });
    const data = pattern(50_000, 2);
    const c = a.connect({ host: AT.b[4], port: 80 });
    assert.is(c.write(data.subarray(0, 20_000)), 20_000);
    assert.is(c.unacknowledged, 20_000);
    assert.is(c.room, 262_144 - 20_000);
    // A copy: what the caller does with its memory is the caller's affair.
    const rest = data.slice(20_000);
    assert.is(c.write(rest), 30_000);
    rest.fill(0);
    c.shutdown();
    assert.equal([c.write(data), c.room], [0, 0]);
    await until([a, b], () => got[0]?.ended);
    assert.is(got[0].sha, sha(data));
    assert.is(got[0].error, undefined);
    c.close();
  }));

test('what the first write did not take is told: by what it returns, and by an event when there is room', () =>
  wired(async ({ a, b }) => {
    const got = takers(b);
    b.stack.burst.listen({ port: 80 });
    const data = pattern(300_000, 2);
    let writable = 0;
    let sent = 0;
    const c = a.connect({ host: AT.b[4], port: 80, options: { sendBuffer: 4096 } }, e => {
      if (!e.writable) return;
      writable++;
      const n = c.write(data.subarray(sent));
      assert.ok(n > 0, 'an event that says writable is right');
      sent += n;
    });
    await until([a, b], () => sent === data.length, 60_000);
    assert.ok(writable > 10, `${writable}`);
    c.close();
    await until([a, b], () => got[0].ended);
    assert.is(got[0].sha, sha(data));
  }));

test('views of the room before there is a ring: what is committed arrives', () =>
  wired(async ({ a, b }) => {
    const got = takers(b);
    b.stack.burst.listen({ port: 80 });
    const c = a.connect({ host: AT.b[4], port: 80 });
    const data = pattern(3000, 4);
    const [first] = c.writeViews();
    assert.is(first.length, c.room);
    first.set(data.subarray(0, 1000));
    assert.throws(() => c.commit(c.room + 1));
    c.writeViews()[0].set(data.subarray(0, 1000));
    c.commit(1000);
    const [late] = c.writeViews();
    late.set(data.subarray(1000));
    // The ring is made meanwhile.
    await until([a, b], () => got[0]?.bytes === 1000);
    c.commit(2000);
    c.close();
    await until([a, b], () => got[0].ended);
    assert.is(got[0].sha, sha(data));
  }));

test('an idle connection has no rings, whatever was asked about them', () =>
  wired(async ({ a, b, engine }) => {
    b.stack.burst.listen({ port: 80 });
    const made = Array.from({ length: 20 }, () => a.connect({ host: AT.b[4], port: 80 }));
    await until([a, b], () => made.every(c => c.connected) && [...b.stack.burst.connections].length === 20);
    for (const c of [...made, ...b.stack.burst.connections]) assert.is(c.room, 262_144);
    await until([a, b], () => true);
    const { arena } = engine;
    for (const c of [...made, ...b.stack.burst.connections]) assert.is(c.end.hasSendRing, false);
    assert.ok(arena.header.streamCount > 40);
  }));

test('after shutdown, and when it is over, nothing is taken and nothing said of room', () =>
  wired(async ({ a, b }) => {
    let server: C | undefined;
    b.onAccept = s => {
      server = s;
      return () => {};
    };
    b.stack.burst.listen({ port: 80 });
    const told: E[] = [];
    const hear = (e: E): void => {
      told.push({ ...e });
    };
    const closes = (c: C, what: string): void => {
      const views = c.writeViews();
      assert.equal(
        [c.room, c.write(pattern(10)), views.length, c.wantRoom(10), c.unacknowledged],
        [0, 0, 0, false, 0],
        what,
      );
      c.commit(10);
      assert.is(c.unacknowledged, 0, what);
    };
    const c = a.connect({ host: AT.b[4], port: 80 }, hear);
    assert.is(c.write(pattern(1000)), 1000);
    c.shutdown();
    await until([a, b], () => c.state === 'FIN-WAIT-2');
    closes(c, 'shutdown');
    assert.equal(
      told.map(e => e.writable),
      [false],
      'what it wrote before, it was done with when it was connected',
    );
    const d = a.connect({ host: AT.b[4], port: 80 }, hear);
    const former = server;
    await until([a, b], () => server !== former && d.write(pattern(1000)) === 1000);
    await until([a, b], () => d.unacknowledged === 0);
    server!.abort();
    await until([a, b], () => d.closed);
    closes(d, 'reset');
    assert.is(d.error, 'ECONNRESET');
  }));

test('a connection that is refused is closed, and did not end', () =>
  wired(async ({ a, b }) => {
    const told: E[] = [];
    const c = a.connect({ host: AT.b[4], port: 9 }, e => told.push({ ...e }));
    // Taken, and lost with the connection, whose error tells.
    assert.is(c.write(pattern(10)), 10);
    await until([a, b], () => c.closed);
    assert.equal(
      told.map(e => [e.closed, e.ended, e.writable, e.error]),
      [[true, false, false, 'ECONNREFUSED']],
    );
    c.close();
    const d = a.connect({ host: AT.b[4], port: 9 });
    d.write(pattern(10));
    d.close();
    await until([a, b], () => a.stack.apps.streamsOf(1) === 0, 60_000);
  }));

test('abort takes what was taken back', () =>
  wired(async ({ a, b }) => {
    b.stack.burst.listen({ port: 80 });
    const c = a.connect({ host: AT.b[4], port: 80 });
    c.write(pattern(10));
    c.abort();
    c.close();
    await until([a, b], () => a.stack.apps.streamsOf(1) === 0);
    assert.is([...b.stack.burst.connections].length, 0);
  }));

test(
  'an application that ends delivers what the connections that it closed had taken',
  () =>
    wired(
      async ({ a, b }) => {
        const got: Sender[] = [];
        b.onAccept = c => {
          const s = new Sender(c, NONE);
          got.push(s);
          return s.heard;
        };
        b.stack.burst.listen({ port: 80 });
        const app = StackApp.attach<ConnectionOptions>(a.stack.openApp());
        const data = pattern(100_000, 3);
        const c = await app.connect({ host: AT.b[4], port: 80 });
        const events: E[] = [];
        await until([a, b], () => app.poll(events) > 0 && c.connected);
        assert.is(c.write(data), data.length);
        c.close();
        app.close();
        await until([a, b], () => got[0]?.ended);
        assert.is(got[0].sha, sha(data));
        assert.is(got[0].error, undefined);
      },
      { engine: { inline: false, clock: 'real', lanes: 2, warmMs: 0 } },
    ),
  { timeoutMs: 40_000 },
);
