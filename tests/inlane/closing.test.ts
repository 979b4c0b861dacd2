/** The end of an application in lanes that has answered calls: what was answered is delivered, to who takes it. */
import { once } from 'node:events';
import { Engine } from '../../host/engine/engine.js';
import type { InLane } from '../../host/net/in_lane/in_lane.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import type { RpcBurst } from '../../host/rpc/burst.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { homa } from '../../host/transports/homa/index.js';
import { closeClean, type TwoStacks } from '../support/both.js';
import { assert, suite } from '../support/suite.js';

const test = suite('in-lane applications: closing');
const MODULE = new URL('answers.mjs', import.meta.url);
const HOST = '10.0.0.2';
const PORT = 700;
const LONG = { timeoutMs: 60_000 };
const SIZES = [0, 100, 300_000, 1_000_000, 1_000_000];
/** Of calls that nobody answers. */
const NEVER = -1;

interface Place extends TwoStacks {
  inLane: InLane;
  burst: RpcBurst;
  /** What the calls ended with, by tag. */
  ends: Map<unknown, string>;
  poll(): void;
}

/** A server in lane 1, and a caller that takes nothing unless it polls; every call of `sizes` is answered. */
async function place(carrier: string, sizes: readonly number[]): Promise<Place> {
  const { a, b } = modelLink({ name: 'wire', firstLanes: [0, 1] });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 2, warmMs: 0, frames: 8192 },
    streams: { count: 512, bytes: 96 << 20, apps: 12 },
  });
  const more = carrier === 'homa' ? { messages: homa() } : {};
  const stack = (port: string, address: string): Promise<Stack> =>
    Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } }, ...more });
  const client = await stack('wire.a', '10.0.0.1');
  const server = await stack('wire.b', HOST);
  await engine.start();
  const inLane = (await server.openInLane({
    ...{ module: MODULE, lanes: [1], data: { carrier, port: PORT } },
  })) as never as InLane;
  const { burst } = await client.rpc({ carrier });
  const peer = burst.peer(HOST, PORT);
  const events: RpcEvent[] = [];
  const ends = new Map<unknown, string>();
  const poll = (): void => {
    for (const e of events.slice(0, burst.poll(events))) {
      const { tag, bytes } = e;
      const good = e.kind === 'response' && bytes.every(byte => byte === (bytes.length & 255));
      assert.not(ends.has(tag), `call ${tag} ended twice`);
      ends.set(tag, good ? `${bytes.length}` : (e.code ?? `other bytes, ${bytes.length}`));
    }
  };
  let left = sizes.length;
  const heard = new Promise<void>(all =>
    inLane.on('told', () => {
      if (--left === 0) all();
    }),
  );
  for (const [tag, size] of sizes.entries()) burst.begin(peer, Buffer.from(`${size}`), tag);
  burst.flush();
  // Connections and slots need somebody who polls: until the first answer, of one that is over, was taken.
  while (left > 0) {
    if (burst.inFlight === sizes.length) poll();
    await Promise.race([heard, new Promise(next => setTimeout(next, 1))]);
  }
  return { ...{ engine, client, server, inLane, burst, ends, poll } };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !holds(); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(next => setTimeout(next, 1));
  }
}

for (const carrier of ['tcp', 'homa']) {
  for (const [how, sizes] of [
    ['short', [0, 1, 100]],
    ['long', SIZES],
  ] as const)
    test(
      `${carrier}: ${how} answers of before close() arrive, a request without one fails; nothing new is taken`,
      async () => {
        const p = await place(carrier, [...sizes, NEVER]);
        const closed = p.inLane.close();
        await until('every end', () => {
          p.poll();
          return p.ends.size === sizes.length + 1;
        });
        assert.equal(
          [...sizes, NEVER].map((_, tag) => p.ends.get(tag)),
          [...sizes.map(String), 'ECONNRESET'],
        );
        await closed;
        p.burst.begin(p.burst.peer(HOST, PORT), Buffer.from('1'), 'late');
        p.burst.flush();
        await until('its end', () => {
          p.poll();
          return p.ends.has('late');
        });
        assert.ok(['ECONNREFUSED', 'ECONNRESET'].includes(p.ends.get('late')!), p.ends.get('late')!);
        await closeClean(p);
      },
      LONG,
    );

  test(
    `${carrier}: close() does not wait for who takes nothing`,
    async () => {
      const p = await place(carrier, SIZES);
      const [{ error }] = (await Promise.all([once(p.inLane, 'ended'), p.inLane.close()]))[0];
      assert.is(error, undefined);
      await closeClean(p);
    },
    LONG,
  );
}

for (const [what, end] of [
  ['its lane dies', async (p: Place) => p.engine.killLane(1)],
  ['its stack is closed', (p: Place) => p.server.close()],
  ['the engine is stopped', (p: Place) => p.engine.stop()],
] as const)
  test(
    `close() resolves when ${what} while answers are sent on`,
    async () => {
      const p = await place('tcp', SIZES);
      let closing = (): void => {};
      const asked = new Promise<void>(done => {
        closing = done;
      });
      p.inLane.on('told', told => {
        if ((told as { closing?: boolean }).closing) closing();
      });
      const closed = p.inLane.close();
      await asked;
      await Promise.all([end(p), closed]);
      assert.equal(p.inLane.lanes, []);
      await p.engine.settled();
      if (p.engine.state === 'running') await closeClean(p);
      else for (const stack of [p.client, p.server]) await stack.close();
    },
    LONG,
  );
