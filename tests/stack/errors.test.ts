/** What goes wrong, by the names that Linux has for it: in events of connections, and in calls that are refused. */
import type { EtherloomError } from '../../host/errors.js';
import { tcp } from '../../host/transports/tcp/index.js';
import { assert, suite } from '../support/suite.js';
import { AT, type C, errnoOf, pattern, until, wired } from './rig.js';

const test = suite('stack: errors');

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
    b.stack.burst.listen({ port: 7 });
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
      errnoOf(() => stack.burst.connect({ host: '192.0.2.1', port: 7 })),
      'ENETUNREACH',
    );
    assert.is(
      errnoOf(() => stack.burst.connect({ host: AT.a[4], port: 7 })),
      'ENETUNREACH',
    );
    assert.is(
      errnoOf(() => stack.burst.connect({ host: AT.b[4], port: 7, localAddress: '10.0.0.9' })),
      'EADDRNOTAVAIL',
    );
    assert.is(
      errnoOf(() => stack.burst.connect({ host: AT.b[4], port: 7, localAddress: AT.a[6] })),
      'EADDRNOTAVAIL',
    );
    assert.is(
      errnoOf(() => stack.burst.listen({ port: 80, address: AT.b[4] })),
      'EADDRNOTAVAIL',
    );
    const l = stack.burst.listen({ port: 80, address: AT.a[4] });
    assert.is(
      errnoOf(() => stack.burst.listen({ port: 80 })),
      'EADDRINUSE',
    );
    assert.is(
      errnoOf(() => stack.burst.listen({ port: 80, address: AT.a[4] })),
      'EADDRINUSE',
    );
    stack.burst.listen({ port: 80, address: AT.a[6] }).close();
    l.close();
    stack.burst.listen({ port: 80 }).close();
    stack.burst.connect({ host: AT.b[4], port: 7, localPort: 5000 });
    assert.is(
      errnoOf(() => stack.burst.connect({ host: AT.b[4], port: 7, localPort: 5000 })),
      'EADDRINUSE',
    );
    stack.burst.connect({ host: AT.b[4], port: 8, localPort: 5000 });
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
      told(() => stack.burst.connect({ ...to, port: 0 })),
      /^ERR_STACK_OPTIONS port: 0; expected a whole number from 1/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, host: 'peer' })),
      /^ERR_ADDRESS "peer" is no IP address/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, lane: 1 })),
      /^ERR_STACK_OPTIONS lane: 1; expected .* 0 to 0/,
    );
    assert.match(
      told(() => stack.burst.listen({ port: 70_000 })),
      /^ERR_STACK_OPTIONS port: 70000/,
    );
    assert.match(
      told(() => stack.burst.listen({ backlog: -1 })),
      /^ERR_STACK_OPTIONS backlog: -1/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, options: { congestion: 'vegas' as 'bbr' } })),
      /^ERR_TCP_OPTIONS congestion: "vegas"; expected reno, cubic/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, options: { ttl: 300 } })),
      /^ERR_TCP_OPTIONS ttl: 300; expected .* 0 to 255/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, options: { keepAlive: { idleMs: -1 } } })),
      /^ERR_TCP_OPTIONS keepAlive.idleMs: -1/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, options: { nagle: true } as object })),
      /^ERR_TCP_OPTIONS nagle: true; expected options among/,
    );
    const beside = { ...to, noDelay: true, options: {} };
    assert.match(
      told(() => stack.burst.connect(beside)),
      /^ERR_STACK_OPTIONS connect: noDelay; expected host, port, .* options: \{ noDelay \}/,
    );
    assert.match(
      told(() => stack.burst.listen({ host: AT.a[4] } as object)),
      /^ERR_STACK_OPTIONS listen: host; expected port, address/,
    );
    for (const congestion of [16, 17, 31])
      assert.match(
        told(() => stack.burst.connect({ ...to, options: { congestion } })),
        /^ERR_TCP_OPTIONS congestion: \d+; expected a number that registerCongestion\(\) gave/,
      );
    assert.match(
      told(() => stack.burst.listen({ options: { congestion: 16 } })),
      /^ERR_TCP_OPTIONS congestion: 16/,
    );
    assert.match(
      told(() => stack.burst.connect({ ...to, options: { congestion: 32 } })),
      /^ERR_TCP_OPTIONS congestion: 32; expected reno, .* from 16 to 31/,
    );
    assert.match(
      told(() => tcp({ ephemeral: { first: 5, last: 4 } })),
      /^ERR_TCP_OPTIONS ephemeral: 5 … 4/,
    );
    const c = stack.burst.connect(to);
    assert.match(
      told(() => c.set({ sendBuffer: 4096 })),
      /^ERR_TCP_OPTIONS sendBuffer: 4096; expected it when/,
    );
    assert.match(
      told(() => c.set({ congestion: 16 })),
      /^ERR_TCP_OPTIONS congestion: 16; expected a number that registerCongestion/,
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
