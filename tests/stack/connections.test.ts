/** Two stacks of one engine and a wire between: connections from their beginning to their end, in virtual time. */
import type { EtherloomError } from '../../host/errors.js';
import { tcp } from '../../host/transports/tcp/index.js';
import { handMade } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import { AT, type C, type E, echo, pattern, Sender, sha, until, wired } from './rig.js';

const test = suite('stack: connections');

for (const family of [4, 6] as const)
  test(`an echo over IPv${family}: every byte comes back, both ends close, nothing is left`, () =>
    wired(async ({ a, b }) => {
      b.onAccept = echo;
      const listener = b.stack.burst.listen({ port: 7 });
      const data = pattern(500_000, 3);
      const c = a.connect({ host: AT.b[family], port: 7 });
      assert.is(c.state, 'CLOSED');
      const s = new Sender(c, data);
      a.hear(c, s.heard);
      await until([a, b], () => s.ended);
      assert.is(s.sha, sha(data));
      assert.is(s.error, undefined);
      assert.equal(c.remote, { address: AT.b[family], port: 7 });
      assert.is(c.local.address, AT.a[family]);
      assert.ok(c.local.port >= 32768 && c.local.port <= 60999);
      assert.ok(c.info().rttUs >= 100 && c.info().bytesAcked >= 500_000, JSON.stringify(c.info()));
      c.close();
      listener.close();
      await until([a, b], () => [...b.stack.burst.connections].length === 0);
    }));

test('what is told of a connection: connected, accepted, readable, ended, closed', () =>
  wired(async ({ a, b }) => {
    const told: string[] = [];
    const tell = (who: string) => (e: E) => {
      const words = ['accepted', 'connected', 'readable', 'ended', 'closed', 'error'] as const;
      for (const w of words) if (e[w]) told.push(`${who} ${w === 'error' ? e.error : w}`);
    };
    let server: C | undefined;
    b.onAccept = c => {
      server = c;
      return tell('b');
    };
    const listener = b.stack.burst.listen({ port: 80, address: AT.b[4] });
    const c = a.connect({ host: AT.b[4], port: 80, data: 'mine' }, tell('a'));
    assert.is(c.data, 'mine');
    await until([a, b], () => c.connected && server !== undefined);
    assert.is(server!.listener, listener);
    assert.is(server!.remote.port, c.local.port);
    assert.is(c.state, 'ESTABLISHED');
    // The ring is made by the first write.
    await until([a, b], () => c.write(pattern(10)) === 10);
    await until([a, b], () => server!.readable === 10);
    c.shutdown();
    await until([a, b], () => server!.ended);
    assert.is(server!.state, 'CLOSE-WAIT');
    await until([a, b], () => c.state === 'FIN-WAIT-2');
    assert.is(server!.read(new Uint8Array(100)), 10);
    // Half closed: the other direction goes on.
    await until([a, b], () => server!.write(pattern(20)) === 20);
    await until([a, b], () => c.readable === 20);
    server!.shutdown();
    await until([a, b], () => c.closed && server!.closed);
    assert.is(c.readable, 20);
    assert.is(c.error, undefined);
    c.close();
    server!.close();
    assert.equal(
      told,
      [
        'b accepted',
        'a connected',
        'b readable',
        'b ended',
        'a readable',
        'a ended',
        'a closed',
        'b closed',
      ].sort((x, y) => told.indexOf(x) - told.indexOf(y)),
    );
    assert.is(a.stack.counters().TCPTimeWait, 1);
  }));

test('options: of the connection, of the listener, and changed while it lives', () =>
  wired(
    async ({ a, b }) => {
      let server: C | undefined;
      b.onAccept = s => {
        server = s;
        return () => {};
      };
      b.stack.burst.listen({ port: 7, options: { congestion: 'dctcp', receiveBuffer: 8192 } });
      const c = a.connect({ host: AT.b[4], port: 7, options: { congestion: 'reno', mss: 1000, ttl: 9 } });
      await until([a, b], () => c.connected && server !== undefined);
      assert.equal([c.info().algorithm, server!.info().algorithm], [0, 2]);
      assert.is(c.end.capacity.send, 1 << 16);
      assert.is(server!.end.capacity.receive, 8192);
      c.set({ congestion: 'bbr' });
      server!.set({ congestion: 'timely', noDelay: true });
      server!.set({ userTimeoutMs: 500 });
      await until([a, b], () => c.info().algorithm === 5 && server!.info().algorithm === 4);
      // Both changes hold: the second did not undo the first.
      const s = new Sender(c, pattern(100_000));
      a.hear(c, s.heard);
      b.hear(server!, echo(server!));
      s.work();
      b.poll();
      await until([a, b], () => s.ended, 20_000);
      assert.is(s.sha, sha(s.data));
    },
    { a: { transport: tcp({ defaults: { sendBuffer: 1 << 16 } }) } },
  ));

test('views: bytes go from one ring to the other with no buffer between', () =>
  wired(async ({ a, b }) => {
    let server: C | undefined;
    b.onAccept = s => {
      server = s;
      return () => {};
    };
    b.stack.burst.listen({ port: 7, options: { receiveBuffer: 4096 } });
    const c = a.connect({ host: AT.b[4], port: 7, options: { sendBuffer: 4096 } });
    await until([a, b], () => c.room > 0 && server !== undefined);
    let sent = 0;
    const data = pattern(50_000, 9);
    const got: number[] = [];
    await until([a, b], () => {
      for (const view of c.writeViews()) {
        const part = data.subarray(sent, sent + view.length);
        view.set(part);
        c.commit(part.length);
        sent += part.length;
        if (part.length < view.length) break;
      }
      for (const view of server!.readViews()) got.push(...view);
      server!.consume(server!.readable);
      return got.length === data.length;
    });
    assert.is(sha(Uint8Array.from(got)), sha(data));
    assert.throws(
      () => server!.consume(1),
      (e: EtherloomError) => e.code === 'ERR_STREAM_RANGE',
    );
  }));

test('keepalive and user timeout: a peer that is gone is found out', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = () => () => {};
    b.stack.burst.listen({ port: 7 });
    const quiet = a.connect({
      ...{ host: AT.b[4], port: 7 },
      options: { keepAlive: { idleMs: 1000, intervalMs: 500, probes: 3 } },
    });
    const busy = a.connect({ host: AT.b[6], port: 7, options: { userTimeoutMs: 2000 } });
    await until([a, b], () => quiet.connected && busy.connected && busy.write(pattern(10)) === 10);
    await until([a, b], () => busy.unacknowledged === 0);
    // From now on nothing arrives there.
    engine.attach(await engine.load(handMade('i64.const 1')), 'wire.b');
    busy.write(pattern(10));
    const ended: Record<string, number> = {};
    const begun = engine.now();
    await until(
      [a, b],
      () => {
        for (const [name, c] of Object.entries({ quiet, busy }))
          if (c.closed) ended[name] ??= Number(engine.now() - begun) / 1e9;
        return quiet.closed && busy.closed;
      },
      60_000,
    );
    assert.equal([quiet.error, busy.error], ['ETIMEDOUT', 'ETIMEDOUT']);
    assert.ok(ended.quiet >= 2.4 && ended.quiet <= 2.6, `1 s of silence and three probes: ${ended.quiet} s`);
    assert.ok(ended.busy >= 2 && ended.busy < 4, `2 s and a retransmission: ${ended.busy} s`);
  }));
