/** Where a stack is: its addresses, its routes, and what is left when it closes. */
import type { EtherloomError } from '../../host/errors.js';
import { Stack } from '../../host/net/stack.js';
import { assert, suite } from '../support/suite.js';
import { A, AT, addresses, B, echo, pattern, Sender, sha, until, wired } from './rig.js';

const test = suite('stack: networks');

test('addresses come and go while it runs', () =>
  wired(async ({ a, b }) => {
    b.onAccept = echo;
    b.stack.burst.listen({ port: 7 });
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
      b.stack.burst.listen({ port: 7 });
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

test('a stack that closes resets its connections; another of the engine goes on', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = echo;
    b.stack.burst.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 });
    await until([a, b], () => c.connected);
    await b.stack.close();
    await until([a], () => c.closed);
    assert.is(c.error, 'ECONNRESET');
    assert.is(engine.routes.list().length, 2);
    assert.throws(
      () => b.stack.burst.listen({ port: 7 }),
      (e: EtherloomError) => e.code === 'ERR_STACK_CLOSED',
    );
    // And again on the same port of the engine: nothing of the first was left.
    const again = await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24'] } } });
    const d = a.connect({ host: AT.b[4], port: 7 });
    await until([a], () => d.closed);
    assert.is(d.error, 'ECONNREFUSED');
    await again.close();
  }));
