/** RPCs where lanes are threads: in the engine's thread, and in others. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Engine } from '../../host/engine/engine.js';
import { Stack, type StackOptions } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { closeClean } from '../support/both.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { CLIENT, codeOf, pattern, SERVER } from './rig.js';

const LONG = { timeoutMs: 60_000 };

for (const { name: carrier, alone, refused } of CARRIERS) {
  const test = suite(`rpc: threads over ${carrier}`);

  const hosts = async (work: (client: Stack, server: Stack) => Promise<void>): Promise<void> => {
    const { a, b } = modelLink({ name: 'wire', firstLanes: [0, 1] });
    const engine = await Engine.create({
      ...{ nics: [a, b], lanes: 2, warmMs: 0, frames: 8192 },
      streams: { count: 2048, bytes: 96 << 20, apps: 12 },
    });
    const stack = (port: string, address: string): Promise<Stack> => {
      const more = alone.stack?.() as Partial<StackOptions>;
      return Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } }, ...more });
    };
    const client = await stack('wire.a', CLIENT);
    const server = await stack('wire.b', SERVER);
    await engine.start();
    const { load } = alone;
    if (load) for (const stack of [client, server]) await stack.load(load());
    await work(client, server);
    await closeClean({ engine, client, server });
  };

  test(
    'promises: calls at a time, one after another, and of every length',
    () =>
      hosts(async (client, server) => {
        const callee = await server.rpc({ carrier });
        await callee.serve({ port: 700 }, request => request);
        const rpc = await client.rpc({ carrier });
        const to = { address: SERVER, port: 700 };
        for (let i = 0; i < 200; i++) assert.is(String(await rpc.call(to, `no. ${i}`)), `no. ${i}`);
        for (let round = 0; round < 5; round++)
          await Promise.all(
            Array.from({ length: 64 }, async (_, i) => {
              const body = pattern(i % 16 === 0 ? 300_000 : 1 + i * 50, i + round);
              assert.ok((await rpc.call(to, body)).equals(body));
            }),
          );
        const long = pattern(1_000_000, 3);
        assert.ok((await rpc.call(to, long)).equals(long));
        // After a rest.
        await new Promise(next => setTimeout(next, 20));
        assert.is(String(await rpc.call(to, 'x')), 'x');
        assert.is(await codeOf(rpc.call({ ...to, port: 701 }, 'x')), refused);
        await callee.serve({ port: 702 }, () => new Promise<never>(() => {}));
        assert.is(await codeOf(rpc.call({ ...to, port: 702 }, 'x', { deadline: 20 })), 'ETIMEDOUT');
      }),
    LONG,
  );

  // Neither lanes nor calls of other threads have sockets of datagrams.
  if (carrier === 'window') continue;

  test(
    'a server and callers inside of lanes: each call is answered once, by the lane that it came to',
    () =>
      hosts(async (client, server) => {
        const module = new URL('lane_app.mjs', import.meta.url);
        const callee = await server.openInLane({ module, lanes: [1], data: { carrier, serve: 700 } });
        const run = async (call: object): Promise<unknown> => {
          const data = { carrier, call: { address: SERVER, port: 700, ...call } };
          const caller = await client.openInLane({ module, lanes: [0], data });
          const ended = once(caller, 'ended').then(([{ error }]) => error);
          const told = await Promise.race([once(caller, 'told').then(([what]) => what), ended]);
          await caller.close();
          return told;
        };
        const good = { once: true, codes: {}, left: 0 };
        assert.equal(await run({ calls: 2000, inFlight: 64, length: 32 }), good);
        assert.equal(await run({ calls: 200, inFlight: 1, length: 1500 }), good);
        assert.equal(await run({ calls: 20, inFlight: 4, length: 200_000 }), good);
        const refused = { once: false, codes: { ECONNREFUSED: 8 }, left: 0 };
        assert.equal(await run({ calls: 8, inFlight: 4, length: 32, port: 701 }), refused);
        // Whoever cannot be reached does not keep others from it.
        const unreachable = { once: true, codes: { ENETUNREACH: 1 }, left: 0 };
        assert.equal(await run({ calls: 20, inFlight: 4, length: 32, before: '192.0.2.1' }), unreachable);
        // From the main thread, too.
        const rpc = await client.rpc({ carrier });
        assert.is(String(await rpc.call({ address: SERVER, port: 700 }, 'x')), 'x');
        await callee.close();
        assert.ok(
          ['ECONNREFUSED', 'ECONNRESET'].includes(
            await codeOf(rpc.call({ address: SERVER, port: 700 }, 'x')),
          ),
        );
      }),
    LONG,
  );

  test(
    'a server and a caller in threads of their own',
    () =>
      hosts(async (client, server) => {
        const start = (stack: Stack, more: object): Worker => {
          const ticket = stack.openApp();
          const file = new URL('app_worker.ts', import.meta.url).href;
          return new Worker(
            `const { workerData } = require('node:worker_threads');
             import('tsx/esm/api').then(tsx => { tsx.register(); return import(workerData.file); });`,
            { eval: true, workerData: { ticket, carrier, file, ...more }, transferList: [ticket.port] },
          );
        };
        const callee = start(server, { serve: 700 });
        const [{ port }] = await once(callee, 'message');
        assert.is(port, 700);
        const caller = start(client, { call: { address: SERVER, port, calls: 100 } });
        const [{ answers }] = await once(caller, 'message');
        assert.equal(
          answers,
          Array.from({ length: 100 }, (_, i) => `no. ${i} from a worker`),
        );
        for (const worker of [caller, callee]) {
          const ended = once(worker, 'exit');
          worker.postMessage('end');
          assert.equal(await ended, [0]);
        }
      }),
    LONG,
  );
}
