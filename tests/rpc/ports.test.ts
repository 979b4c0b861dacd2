/** A server has its port on every carrier, or there is none: ports that somebody else has on one of them. */
import { homa } from '../../host/transports/homa/index.js';
import { windowTransport } from '../own/rig.js';
import { assert, suite } from '../support/suite.js';
import { codeOf, SERVER, world } from './rig.js';

const test = suite('rpc: ports of servers');
/** Homa chooses the next port so many behind the last one, at most. */
const MOST_STEP = 8;

test('port 0: one that is free on every carrier', () =>
  world({ carrier: 'tcp', stack: () => ({ messages: homa() }) }, async ({ server, caller, callee }) => {
    let last = 32_767;
    while (last > 32_700) {
      const one = await callee.serve({ port: 0, carriers: ['homa'] }, r => r);
      last = one.port;
      one.close();
    }
    const taken = Array.from({ length: MOST_STEP }, (_, i) => server.burst.listen({ port: last + 1 + i }));
    const { port } = await callee.serve({ port: 0 }, r => r);
    assert.ok(port > last + MOST_STEP, `${port} after ${last}`);
    for (const carrier of ['tcp', 'homa']) {
      caller.use(carrier);
      assert.is(String(await caller.call({ address: SERVER, port }, carrier)), carrier);
    }
    // Those that were tried are not served.
    for (const { port } of taken)
      assert.is(await codeOf(caller.call({ address: SERVER, port }, 'x')), 'ECONNREFUSED');
    for (const listener of taken) listener.close();
  }));

for (const how of ['promises', 'burst'] as const)
  test(`use of a carrier on which a port is another’s changes nothing, and works when it is free: ${how}`, () =>
    world({ carrier: 'tcp' }, async ({ engine, client, server, caller, callee }) => {
      await callee.serve({ port: 699 }, r => r);
      if (how === 'promises') await callee.serve({ port: 700 }, r => r);
      else await callee.burst.listen({ port: 700 });
      for (const stack of [client, server]) await stack.load(windowTransport());
      const taken = server.burst.bind({ port: 700, transport: 'window' });
      const used = (): string => {
        try {
          callee.use('window');
          return 'used';
        } catch (error) {
          return (error as { code: string }).code;
        }
      };
      for (let i = 0; i < 2; i++)
        assert.equal([used(), callee.carrier], ['ERR_STACK_EADDRINUSE', 'tcp'], 'each time');
      taken.close();
      server.burst.flush();
      // Its sockets keep their ports for as long as what they have sent may be asked for.
      let last = used();
      for (let i = 0; i < 100 && last !== 'used'; i++) {
        engine.run({ untilNs: engine.now() + 1_000_000_000n });
        await new Promise(done => setImmediate(done));
        last = used();
      }
      assert.equal([last, callee.carrier], ['used', 'window']);
      caller.use('window');
      const ports = how === 'promises' ? [699, 700] : [699];
      for (const port of ports)
        assert.is(String(await caller.call({ address: SERVER, port }, 'x', { deadline: 5000 })), 'x');
    }));
