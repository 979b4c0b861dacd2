/** Two stacks of one engine and a wire between: connections from their beginning to their end, in virtual time. */
import { EtherloomError } from '../../host/errors.js';
import type { SocketError } from '../../host/transports/errno.js';
import { tcp } from '../../host/transports/tcp/index.js';
import { handMade } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

import { A, AT, addresses, B, type C, type E, echo, pattern, Sender, sha, until, wired } from './rig.js';

const test = suite('stack: on a wire');

const errnoOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof EtherloomError) return (error as SocketError).errno ?? error.code;
    throw error;
  }
  return 'none';
};

for (const family of [4, 6] as const)
  test(`an echo over IPv${family}: every byte comes back, both ends close, nothing is left`, () =>
    wired(async ({ a, b }) => {
      b.onAccept = echo;
      const listener = b.stack.listen({ port: 7 });
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
      await until([a, b], () => [...b.stack.connections].length === 0);
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
    const listener = b.stack.listen({ port: 80, address: AT.b[4] });
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

test('ECONNREFUSED: nobody listens; the answer is a RST', () =>
  wired(async ({ a, b }) => {
    const c = a.connect({ host: AT.b[4], port: 9 });
    await until([a, b], () => c.closed);
    assert.is(c.error, 'ECONNREFUSED');
    assert.is(b.stack.counters().OutRsts, 1);
    c.close();
  }));

test('ECONNRESET: the peer aborts; what had come can still be read', () =>
  wired(async ({ a, b }) => {
    let server: C | undefined;
    b.onAccept = s => {
      server = s;
      return () => {};
    };
    b.stack.listen({ port: 7 });
    const c = a.connect({ host: AT.b[6], port: 7 });
    await until([a, b], () => server !== undefined && server.write(pattern(100)) === 100);
    await until([a, b], () => c.readable === 100);
    server!.abort();
    await until([a, b], () => c.closed);
    assert.is(c.error, 'ECONNRESET');
    assert.is(c.readable, 100);
    c.close();
    assert.is(c.readable, 0);
    assert.is(c.write(pattern(5)), 0);
  }));

test('EHOSTUNREACH: nobody answers for the address, three seconds long', () =>
  wired(async ({ a, b, engine }) => {
    const begun = engine.now();
    const c = a.connect({ host: '10.0.0.77', port: 7 });
    const c6 = a.connect({ host: 'fd00::77', port: 7 });
    await until([a, b], () => c.closed && c6.closed, 60_000);
    assert.equal([c.error, c6.error], ['EHOSTUNREACH', 'EHOSTUNREACH']);
    const s = Number(engine.now() - begun) / 1e9;
    assert.ok(s >= 3 && s < 4, `${s} s`);
  }));

test('ETIMEDOUT: the SYN is answered by nobody, as often as synRetries says', () =>
  wired(
    async ({ a, b, engine }) => {
      const begun = engine.now();
      const c = a.connect({ host: AT.b[4], port: 7, options: { synRetries: 2 } });
      await until([a, b], () => c.closed, 60_000);
      assert.is(c.error, 'ETIMEDOUT');
      const s = Number(engine.now() - begun) / 1e9;
      assert.ok(s > 6.9 && s < 7.5, `1 + 2 + 4 s: ${s}`);
    },
    {
      link: { loss: 1 },
      a: { neighbours: [{ port: 'wire.a', address: AT.b[4], mac: '02:00:00:00:00:02' }] },
    },
  ));

test('ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE: refused before a packet is sent', () =>
  wired(async ({ a }) => {
    const { stack } = a;
    assert.is(
      errnoOf(() => stack.connect({ host: '192.0.2.1', port: 7 })),
      'ENETUNREACH',
    );
    assert.is(
      errnoOf(() => stack.connect({ host: AT.a[4], port: 7 })),
      'ENETUNREACH',
    );
    assert.is(
      errnoOf(() => stack.connect({ host: AT.b[4], port: 7, localAddress: '10.0.0.9' })),
      'EADDRNOTAVAIL',
    );
    assert.is(
      errnoOf(() => stack.connect({ host: AT.b[4], port: 7, localAddress: AT.a[6] })),
      'EADDRNOTAVAIL',
    );
    assert.is(
      errnoOf(() => stack.listen({ port: 80, address: AT.b[4] })),
      'EADDRNOTAVAIL',
    );
    const l = stack.listen({ port: 80, address: AT.a[4] });
    assert.is(
      errnoOf(() => stack.listen({ port: 80 })),
      'EADDRINUSE',
    );
    assert.is(
      errnoOf(() => stack.listen({ port: 80, address: AT.a[4] })),
      'EADDRINUSE',
    );
    stack.listen({ port: 80, address: AT.a[6] }).close();
    l.close();
    stack.listen({ port: 80 }).close();
    stack.connect({ host: AT.b[4], port: 7, localPort: 5000 });
    assert.is(
      errnoOf(() => stack.connect({ host: AT.b[4], port: 7, localPort: 5000 })),
      'EADDRINUSE',
    );
    stack.connect({ host: AT.b[4], port: 8, localPort: 5000 });
  }));

test('bad input is refused, with option, value and what was expected', () =>
  wired(async ({ a }) => {
    const { stack } = a;
    const told = (call: () => unknown): string => {
      try {
        call();
      } catch (error) {
        return `${(error as EtherloomError).code} ${(error as Error).message}`;
      }
      return 'none';
    };
    const to = { host: AT.b[4], port: 7 };
    assert.match(
      told(() => stack.connect({ ...to, port: 0 })),
      /^ERR_STACK_OPTIONS port: 0; expected a whole number from 1/,
    );
    assert.match(
      told(() => stack.connect({ ...to, host: 'peer' })),
      /^ERR_ADDRESS "peer" is no IP address/,
    );
    assert.match(
      told(() => stack.connect({ ...to, lane: 1 })),
      /^ERR_STACK_OPTIONS lane: 1; expected .* 0 to 0/,
    );
    assert.match(
      told(() => stack.listen({ port: 70_000 })),
      /^ERR_STACK_OPTIONS port: 70000/,
    );
    assert.match(
      told(() => stack.listen({ backlog: -1 })),
      /^ERR_STACK_OPTIONS backlog: -1/,
    );
    assert.match(
      told(() => stack.connect({ ...to, options: { congestion: 'vegas' as 'bbr' } })),
      /^ERR_TCP_OPTIONS congestion: "vegas"; expected reno, cubic/,
    );
    assert.match(
      told(() => stack.connect({ ...to, options: { ttl: 300 } })),
      /^ERR_TCP_OPTIONS ttl: 300; expected .* 0 to 255/,
    );
    assert.match(
      told(() => stack.connect({ ...to, options: { keepAlive: { idleMs: -1 } } })),
      /^ERR_TCP_OPTIONS keepAlive.idleMs: -1/,
    );
    assert.match(
      told(() => stack.connect({ ...to, options: { nagle: true } as object })),
      /^ERR_TCP_OPTIONS nagle: true; expected options among/,
    );
    assert.match(
      told(() => tcp({ ephemeral: { first: 5, last: 4 } })),
      /^ERR_TCP_OPTIONS ephemeral: 5 … 4/,
    );
    const c = stack.connect(to);
    assert.match(
      told(() => c.set({ sendBuffer: 4096 })),
      /^ERR_TCP_OPTIONS sendBuffer: 4096; expected it when/,
    );
    c.close();
    assert.match(
      told(() => c.set({ noDelay: true })),
      /^ERR_STACK_CLOSED/,
    );
    assert.match(
      told(() => c.info()),
      /^ERR_STACK_CLOSED/,
    );
  }));

test('ephemeral ports: no two alike, none of a listener, all of them and then EADDRNOTAVAIL', () =>
  wired(
    async ({ a, b }) => {
      b.stack.listen({ port: 7, backlog: 100 });
      const l = a.stack.listen({ address: AT.a[4] });
      assert.ok(l.port >= 40_000 && l.port < 40_008);
      const made = Array.from({ length: 7 }, () => a.connect({ host: AT.b[4], port: 7 }));
      const ports = made.map(c => c.local.port).sort();
      assert.is(new Set(ports).size, 7);
      assert.not.ok(ports.includes(l.port));
      assert.is(
        errnoOf(() => a.stack.connect({ host: AT.b[4], port: 7 })),
        'EADDRNOTAVAIL',
      );
      // Another peer is another matter.
      a.connect({ host: AT.b[4], port: 8 });
      await until([a, b], () => made.every(c => c.connected));
      // A port comes back with its connection, after TIME_WAIT on the side that closed first.
      made[0].abort();
      await until([a, b], () => errnoOf(() => a.connect({ host: AT.b[4], port: 7 })) === 'none');
    },
    { a: { transport: tcp({ ephemeral: { first: 40_000, last: 40_007 } }) } },
  ));

test('a backlog is full when nobody takes connections, and goes on when somebody does', () =>
  wired(async ({ a, b, engine }) => {
    const l = b.stack.listen({ port: 7, backlog: 2, options: { synCookies: 'never' } });
    const made: C[] = [];
    for (let i = 0; i < 6; i++) {
      made.push(a.connect({ host: AT.b[4], port: 7 }));
      const from = engine.now();
      await until([a], () => made[i].connected || engine.now() - from > 5_000_000n);
    }
    assert.is(l.waiting, 3);
    assert.is(made.filter(c => c.connected).length, 3);
    assert.ok(b.stack.counters().ListenOverflows > 0);
    let taken = 0;
    b.onAccept = () => {
      taken++;
      return () => {};
    };
    // SYNs that were dropped come again.
    await until([a, b], () => taken === 6, 10_000);
    assert.is(l.waiting, 0);
  }));

test('a listener that closes resets what nobody took, and its port refuses', () =>
  wired(
    async ({ a, b }) => {
      const l = b.stack.listen({ port: 7 });
      const c = a.connect({ host: AT.b[4], port: 7 });
      await until([a], () => c.connected);
      l.close();
      await until([a, b], () => c.closed);
      assert.is(c.error, 'ECONNRESET');
      const d = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => d.closed);
      assert.is(d.error, 'ECONNREFUSED');
      // Its slot is another's, whose connections are its own.
      const m = b.stack.listen({ port: 8 });
      let taken: C | undefined;
      b.onAccept = s => {
        taken = s;
        return () => {};
      };
      const e = a.connect({ host: AT.b[4], port: 8 });
      await until([a, b], () => e.connected && taken !== undefined);
      assert.is(taken!.listener, m);
    },
    { b: { transport: tcp({ listeners: 1 }) } },
  ));

test('options: of the connection, of the listener, and changed while it lives', () =>
  wired(
    async ({ a, b }) => {
      let server: C | undefined;
      b.onAccept = s => {
        server = s;
        return () => {};
      };
      b.stack.listen({ port: 7, options: { congestion: 'dctcp', receiveBuffer: 8192 } });
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
    b.stack.listen({ port: 7, options: { receiveBuffer: 4096 } });
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

test('a stack that closes resets its connections; another of the engine goes on', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = echo;
    b.stack.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 });
    await until([a, b], () => c.connected);
    await b.stack.close();
    await until([a], () => c.closed);
    assert.is(c.error, 'ECONNRESET');
    assert.is(engine.routes.list().length, 2);
    assert.throws(
      () => b.stack.listen({ port: 7 }),
      (e: EtherloomError) => e.code === 'ERR_STACK_CLOSED',
    );
    // And again on the same port of the engine: nothing of the first was left.
    const { Stack } = await import('../../host/net/stack.js');
    const again = await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24'] } } });
    const d = a.connect({ host: AT.b[4], port: 7 });
    await until([a], () => d.closed);
    assert.is(d.error, 'ECONNREFUSED');
    await again.close();
  }));

test('addresses come and go while it runs', () =>
  wired(async ({ a, b }) => {
    b.onAccept = echo;
    b.stack.listen({ port: 7 });
    b.stack.addAddress('wire.b', '10.0.0.3/24');
    const c = a.connect({ host: '10.0.0.3', port: 7 });
    await until([a, b], () => c.connected);
    assert.ok(b.stack.removeAddress('wire.b', '10.0.0.3'));
    assert.not.ok(b.stack.removeAddress('wire.b', '10.0.0.3'));
    const d = a.connect({ host: '10.0.0.3', port: 7, options: { synRetries: 1 } });
    await until([a, b], () => d.closed, 20_000);
    assert.ok(['ETIMEDOUT', 'EHOSTUNREACH'].includes(d.error!), d.error);
  }));

test('routes: two ports, a gateway for each family, a route of its own; the source is of the network that is left by', () =>
  wired(
    async ({ a, b }) => {
      b.onAccept = echo;
      b.stack.listen({ port: 7 });
      const from: string[] = [];
      for (const host of ['10.0.0.2', '10.1.0.2', '192.0.2.1', '2001:db8::1', '198.51.100.9']) {
        const c = a.connect({ host, port: 7 });
        await until([a, b], () => c.connected);
        from.push(c.local.address);
        const s = new Sender(c, pattern(5000));
        a.hear(c, s.heard);
        s.work();
        await until([a, b], () => s.ended);
        assert.is(s.sha, sha(s.data));
        c.close();
      }
      assert.equal(from, ['10.0.0.1', '10.1.0.1', '10.0.0.1', 'fd00::1', '10.1.0.1']);
      const near = a.connect({ host: '10.1.0.2', port: 7, localAddress: '10.1.0.1', localPort: 4000 });
      await until([a, b], () => near.connected);
      assert.equal(near.local, { address: '10.1.0.1', port: 4000 });
    },
    {
      twice: true,
      a: {
        ports: {
          'wire.a': { addresses: addresses(A), gateway: ['10.0.0.2', 'fd00::2'] },
          'wire2.a': { addresses: ['10.1.0.1/24'] },
        },
        routes: [{ prefix: '198.51.100.0/24', via: '10.1.0.2' }],
      },
      b: {
        ports: {
          'wire.b': { addresses: addresses([...B, '192.0.2.1/32', '2001:db8::1/128']) },
          'wire2.b': { addresses: ['10.1.0.2/24', '198.51.100.9/32'] },
        },
      },
    },
  ));

test('keepalive and user timeout: a peer that is gone is found out', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = () => () => {};
    b.stack.listen({ port: 7 });
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
