/** Listeners, and the ports that they and others have: backlogs, slots that are used again, ephemeral ports. */
import { tcp } from '../../host/transports/tcp/index.js';
import { assert, suite } from '../support/suite.js';
import { AT, type C, errnoOf, until, wired } from './rig.js';

const test = suite('stack: listeners');

test('a backlog is full when nobody takes connections, and goes on when somebody does', () =>
  wired(async ({ a, b, engine }) => {
    const l = b.stack.burst.listen({ port: 7, backlog: 2, options: { synCookies: 'never' } });
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
      const l = b.stack.burst.listen({ port: 7 });
      const c = a.connect({ host: AT.b[4], port: 7 });
      await until([a], () => c.connected);
      l.close();
      await until([a, b], () => c.closed);
      assert.is(c.error, 'ECONNRESET');
      const d = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => d.closed);
      assert.is(d.error, 'ECONNREFUSED');
      // Its slot is another's, whose connections are its own.
      const m = b.stack.burst.listen({ port: 8 });
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

test('ephemeral ports: no two alike, none of a listener, all of them and then EADDRNOTAVAIL', () =>
  wired(
    async ({ a, b }) => {
      b.stack.burst.listen({ port: 7, backlog: 100 });
      const l = a.stack.burst.listen({ address: AT.a[4] });
      assert.ok(l.port >= 40_000 && l.port < 40_008);
      const made = Array.from({ length: 7 }, () => a.connect({ host: AT.b[4], port: 7 }));
      const ports = made.map(c => c.local.port).sort();
      assert.is(new Set(ports).size, 7);
      assert.not.ok(ports.includes(l.port));
      assert.is(
        errnoOf(() => a.stack.burst.connect({ host: AT.b[4], port: 7 })),
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
