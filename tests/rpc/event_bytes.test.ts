/** What events show is theirs until the next poll, whatever is given up and closed meanwhile. */
import type { RpcBurst } from '../../host/rpc/burst.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { Part, PartPool } from '../../host/rpc/parts.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, pattern, SERVER, type World, world } from './rig.js';

/** Lets time pass, and tells of the events of these. */
function pass(w: World, heard: Map<RpcBurst, (e: RpcEvent) => void>, ms: number): void {
  const { engine } = w;
  const events: RpcEvent[] = [];
  for (let i = 0; i < ms * 10; i++) {
    for (const [burst, hear] of heard) {
      const n = burst.poll(events);
      for (let k = 0; k < n; k++) hear(events[k]);
      burst.flush();
    }
    engine.advance(100_000n);
    while (engine.step() > 0);
  }
}

/** Calls of another pair, whose bytes are other ones: they come where memory was given back. */
async function others(w: World, size: number, port: number): Promise<void> {
  const rpcs = [
    await w.client.rpc({ carrier: w.caller.carrier }),
    await w.server.rpc({ carrier: w.caller.carrier }),
  ];
  const [client, server] = rpcs.map(rpc => rpc.burst);
  await server.listen({ port, carriers: [w.caller.carrier] });
  const peer = client.peer(SERVER, port);
  let answered = 0;
  for (let i = 0; i < 16; i++) client.begin(peer, Buffer.alloc(size, 0xee), i);
  const heard = new Map([
    [client, () => void answered++],
    [server, (e: RpcEvent) => void e.reply(e.bytes)],
  ]);
  for (let i = 0; i < 40 && answered < 16; i++) pass(w, heard, 50);
  assert.is(answered, 16);
  for (const rpc of rpcs) await rpc.close();
}

for (const { name: carrier, options } of CARRIERS) {
  const test = suite(`rpc: bytes of events over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>): Promise<void> => world({ carrier, ...options }, work);

  for (const size of [100, 200_000]) {
    test(`a call is given up that took the place of one that was just answered: ${size} bytes`, () =>
      hosts(async w => {
        const client = w.caller.burst;
        const server = w.callee.burst;
        await server.listen({ port: 700 });
        const peer = client.peer(SERVER, 700);
        const answers = [pattern(size, 1), pattern(size, 2)];
        const serve = (e: RpcEvent): void => {
          if (e.kind === 'request') e.reply(answers[e.bytes[0]] ?? new Uint8Array(1));
        };
        const serving = new Map([[server, serve]]);
        client.begin(peer, Buffer.from([0]), 'first');
        client.flush();
        const events: RpcEvent[] = [];
        let n = 0;
        for (let i = 0; i < 2000 && n === 0; i++) {
          pass(w, serving, 1);
          n = client.poll(events);
        }
        assert.equal([n, events[0].kind, events[0].tag], [1, 'response', 'first']);
        const call = client.begin(peer, Buffer.from([9]), 'given up');
        assert.ok(client.cancel(call));
        client.flush();
        // Memory that was given back would be that of the others' messages by now.
        await others(w, size, 701);
        assert.ok(answers[0].equals(events[0].bytes), 'the ring');
        const taken = events[0].take();
        const second: Buffer[] = [];
        client.begin(peer, Buffer.from([1]), 'second');
        const hear = (e: RpcEvent): void => {
          assert.equal([e.kind, e.tag], ['response', 'second']);
          second.push(e.take());
        };
        for (let i = 0; i < 200 && second.length === 0; i++)
          pass(w, new Map([[client, hear], ...serving] as [RpcBurst, (e: RpcEvent) => void][]), 10);
        assert.ok(second[0]?.equals(answers[1]), 'the second');
        assert.ok(taken.equals(answers[0]), 'what was taken');
      }));

    test(`the server is closed that requests came to: ${size} bytes`, () =>
      hosts(async w => {
        const client = w.caller.burst;
        const server = w.callee.burst;
        const place = await server.listen({ port: 700, carriers: [carrier] });
        const peer = client.peer(SERVER, 700);
        const body = pattern(size, 3);
        client.begin(peer, body, 0);
        const failed: unknown[] = [];
        const hear = (e: RpcEvent): void => void failed.push(e.code);
        const events: RpcEvent[] = [];
        let n = 0;
        for (let i = 0; i < 2000 && n === 0; i++) {
          pass(w, new Map([[client, hear]]), 1);
          n = server.poll(events);
          server.flush();
        }
        assert.equal([n, events[0].kind], [1, 'request']);
        place.close();
        server.flush();
        await others(w, size, 701);
        assert.ok(body.equals(events[0].bytes));
        // A connection ends at the next poll, to which a wait leads at once.
        assert.is(server.endpoint.look(), carrier !== 'homa');
        assert.is(server.poll(events), 0);
        server.flush();
        if (carrier === 'window') return;
        for (let i = 0; i < 100 && failed.length === 0; i++) pass(w, new Map([[client, hear]]), 10);
        assert.equal(failed, ['ECONNRESET']);
      }));
  }
}

suite('rpc: bytes of messages in parts')('what was given back is taken by nobody', async () => {
  const part = new Part(new PartPool(), 1, 1, 1, 100_000);
  part.room(100_000);
  part.received = 100_000;
  part.drop();
  assert.is(await codeOf((async () => part.take())()), 'ERR_RPC_EVENT');
});
