/**
 * Peers that send half a frame over TCP and fall silent: limits end them on time, with nothing else going on, in every thread
 * that has calls and in virtual time.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Engine } from '../../host/engine/engine.js';
import type { Connection } from '../../host/net/burst/connection.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import { closeClean } from '../support/both.js';
import { assert, suite } from '../support/suite.js';
import { CLIENT, codeOf, SERVER, world } from './rig.js';

const test = suite('rpc: silent peers');

/** The first half of a request. */
function halfFrame(): Buffer {
  const out = Buffer.alloc(FRAME_HEAD + 250, 1);
  writeHead(new DataView(out.buffer, out.byteOffset), 0, FrameKind.REQUEST, 500, 500, 0, 1, 1);
  return out;
}

test('in virtual time a wait ends when a limit is reached, and no later', () =>
  world({ carrier: 'tcp' }, async ({ engine, client, callee }) => {
    const server = callee.burst;
    await server.listen({ port: 700 });
    const c = client.burst.connect({ host: SERVER, port: 700 });
    c.write(halfFrame());
    client.burst.flush();
    const events: RpcEvent[] = [];
    const began = engine.now();
    for (let i = 0; i < 100 && !c.closed && !c.ended; i++) {
      server.poll(events);
      await server.wait();
      client.burst.poll([]);
    }
    assert.ok(c.closed || c.ended, 'it lives still');
    const s = Number(engine.now() - began) / 1e9;
    assert.ok(s >= 10 && s < 13, `${s} s`);
    c.close();
  }));

test('a wait for a time is no shorter for a look at peers', () =>
  world({ carrier: 'tcp' }, async ({ engine, client, callee }) => {
    const server = callee.burst;
    await server.listen({ port: 700 });
    const c = client.burst.connect({ host: SERVER, port: 700 });
    c.write(halfFrame());
    client.burst.flush();
    // What comes is news.
    while (await server.wait(100)) server.poll([]);
    const began = engine.now();
    assert.not.ok(await server.wait(5000));
    assert.is(Number(engine.now() - began), 5e9);
    assert.is(await codeOf(server.wait(-1)), 'ERR_RPC_OPTIONS');
    c.abort();
  }));

/** Where lanes are threads: a server that `serve` makes, and a peer that says half of a frame to it. */
async function silence(
  serve: (server: Stack, limits: object) => Promise<{ port: number; end(): Promise<unknown> | unknown }>,
): Promise<void> {
  const { a, b } = modelLink({ name: 'wire', firstLanes: [0, 0] });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 1, warmMs: 0, frames: 4096 },
    streams: { count: 256, bytes: 32 << 20, apps: 12 },
  });
  const stack = (port: string, address: string): Promise<Stack> =>
    Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } } });
  const client = await stack('wire.a', CLIENT);
  const server = await stack('wire.b', SERVER);
  await engine.start();
  const { port, end } = await serve(server, { frameMs: 300 });
  const began = performance.now();
  const c: Connection = client.burst.connect({ host: SERVER, port });
  c.write(halfFrame());
  client.burst.flush();
  // Nobody polls the server's thread: only its own loop does.
  while (!c.closed && !c.ended && performance.now() < began + 20_000) {
    await client.burst.wait(100);
    client.burst.poll([]);
  }
  const lived = performance.now() - began;
  assert.ok(c.closed || c.ended, 'it lives still');
  assert.ok(lived > 300, `${lived} ms`);
  c.close();
  await end();
  await closeClean({ engine, client, server });
}

const LONG = { timeoutMs: 60_000 };

test(
  'a server in the event loop',
  () =>
    silence(async (server, limits) => {
      const rpc = await server.rpc({ limits });
      const { port } = await rpc.serve({}, request => request);
      return { port, end: () => rpc.close() };
    }),
  LONG,
);

test(
  'a server of another thread',
  () =>
    silence(async (server, limits) => {
      const ticket = server.openApp();
      const file = new URL('app_worker.ts', import.meta.url).href;
      const worker = new Worker(
        `const { workerData } = require('node:worker_threads');
         import('tsx/esm/api').then(tsx => { tsx.register(); return import(workerData.file); });`,
        {
          eval: true,
          workerData: { ticket, carrier: 'tcp', file, serve: 0, limits },
          transferList: [ticket.port],
        },
      );
      const [{ port }] = await once(worker, 'message');
      return {
        port,
        end: () => {
          worker.postMessage('end');
          return once(worker, 'exit');
        },
      };
    }),
  LONG,
);

test(
  'a server inside of a lane',
  () =>
    silence(async (server, limits) => {
      const module = new URL('lane_app.mjs', import.meta.url);
      const callee = await server.openInLane({ module, data: { carrier: 'tcp', serve: 700, limits } });
      return { port: 700, end: () => callee.close() };
    }),
  LONG,
);

test('limits that are none', () =>
  world({ carrier: 'tcp' }, async ({ client }) => {
    for (const limits of [{ frameMs: 0 }, { frameMs: '3' }, { fame: 1 }, null] as never[])
      assert.is(await codeOf(client.rpc({ limits })), 'ERR_RPC_OPTIONS', JSON.stringify(limits));
  }));
