/** The burst API of RPCs: calls without promises, views of rings, and what peers may not do. */

import type { RpcBurst } from '../../host/rpc/burst.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { pattern, SERVER, type World, type WorldOptions, world } from './rig.js';

/** Polls both until `done`; virtual time passes when nobody has news. */
async function until(
  w: World,
  heard: Map<RpcBurst, (e: RpcEvent) => void>,
  done: () => boolean,
): Promise<void> {
  const events: RpcEvent[] = [];
  const { engine } = w;
  const end = engine.now() + 20_000_000_000n;
  while (!done()) {
    let n = 0;
    for (const [burst, hear] of heard) {
      const k = burst.poll(events, 32);
      for (let i = 0; i < k; i++) hear(events[i]);
      burst.flush();
      n += k;
    }
    if (engine.now() > end) throw new Error('not within 20 s');
    if (n > 0 || engine.step() > 0) continue;
    const due = engine.nextDueNs() ?? engine.now() + 1_000_000n;
    engine.advance(due > engine.now() ? due - engine.now() : 0n);
    // A port that listens is told by promises.
    await undefined;
  }
}

for (const { name: carrier, options, tellsCancel } of CARRIERS) {
  const test = suite(`rpc: burst over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>, more: Partial<WorldOptions> = {}): Promise<void> =>
    world({ carrier, ...options, ...more }, work);

  test('a thousand calls with 64 in flight are answered once each, from the ring', () =>
    hosts(async w => {
      const client = w.caller.burst;
      const server = w.callee.burst;
      const place = await server.listen({ port: 700 });
      const peer = client.peer(SERVER, place.port);
      const answered = new Array(1000).fill(0);
      const bytes = Buffer.alloc(32);
      let begun = 0;
      const begin = (): void => {
        while (begun < 1000 && client.inFlight < 64) {
          bytes.fill(begun & 255).writeUInt32LE(begun, 0);
          if (client.begin(peer, bytes, begun) === 0) return;
          begun++;
        }
      };
      begin();
      const into = Buffer.alloc(32);
      await until(
        w,
        new Map([
          [
            client,
            e => {
              assert.is(e.kind, 'response');
              assert.is(e.copy(into), 32);
              assert.is(into.readUInt32LE(0), e.tag);
              assert.is(into[31], (e.tag as number) & 255);
              answered[e.tag as number]++;
              begin();
            },
          ],
          [server, e => assert.ok(e.kind === 'request' && e.reply(e.bytes))],
        ]),
        () => answered.every(n => n === 1),
      );
      assert.is(client.inFlight, 0);
    }));

  if (carrier === 'homa')
    test('long messages are told of where they lie in the ring, once it is as long as they are', () =>
      hosts(async w => {
        const client = w.caller.burst;
        const server = w.callee.burst;
        const place = await server.listen({ port: 700 });
        const peer = client.peer(SERVER, place.port);
        const body = pattern(300_000, 5);
        const inRing: boolean[] = [];
        const heard = (e: RpcEvent): void => {
          // Where the ring begins anew in the midst of one it is copied, once.
          assert.is(e.bytes.buffer, e.bytes.buffer);
          assert.equal(Buffer.from(e.bytes), body);
          inRing.push(e.part === undefined);
        };
        for (let call = 1; call <= 4; call++) {
          assert.ok(client.begin(peer, body) > 0);
          await until(
            w,
            new Map([
              [
                server,
                (e: RpcEvent) => {
                  heard(e);
                  e.reply(e.bytes);
                },
              ],
              [client, heard],
            ]),
            () => inRing.length === 2 * call,
          );
        }
        // The first is what made the rings grow.
        assert.equal(inRing.slice(-4), [true, true, true, true]);
      }));

  test('bytes of a call may be changed as soon as it has begun, however much of them waits for room', () =>
    hosts(async w => {
      const client = w.caller.burst;
      const server = w.callee.burst;
      const place = await server.listen({ port: 700 });
      const peer = client.peer(SERVER, place.port);
      const lengths = [500_000, 32, 300_000, 100_000, 300_000];
      const bytes = new Uint8Array(500_000);
      let answered = 0;
      for (const [tag, length] of lengths.entries()) {
        bytes.set(pattern(length, tag));
        assert.ok(client.begin(peer, bytes.subarray(0, length), tag) !== 0);
        bytes.fill(0xee);
      }
      const hear = (e: RpcEvent): void => {
        assert.is(e.kind, 'response');
        assert.ok(e.take().equals(pattern(lengths[e.tag as number], e.tag as number)), String(e.tag));
        answered++;
      };
      const echo = (e: RpcEvent): void => {
        const body = e.take();
        assert.ok(e.reply(body));
        body.fill(0xdd);
      };
      await until(
        w,
        new Map([
          [client, hear],
          [server, echo],
        ]),
        () => answered === lengths.length,
      );
    }));

  test('requests that are kept are answered later, refused, or cancelled', () =>
    hosts(async w => {
      const client = w.caller.burst;
      const server = w.callee.burst;
      await server.listen({ port: 700 });
      const peer = client.peer(SERVER, 700);
      const outcome: unknown[] = [];
      const kept = new Map<string, ReturnType<RpcEvent['keep']>>();
      const heard = new Map<RpcBurst, (e: RpcEvent) => void>([
        [
          client,
          e =>
            outcome.push(e.tag, e.kind, e.kind === 'failed' ? e.error.code : Buffer.from(e.bytes).toString()),
        ],
        [
          server,
          e => {
            if (e.kind === 'cancelled') outcome.push('cancelled', e.tag);
            else {
              const name = Buffer.from(e.bytes).toString();
              kept.set(name, e.keep(name));
            }
          },
        ],
      ]);
      const calls = ['a', 'b', 'c'].map(tag => client.begin(peer, Buffer.from(tag), tag));
      await until(w, heard, () => kept.size === 3);
      assert.ok(kept.get('b')!.reply(Buffer.from('B')));
      assert.not(kept.get('b')!.reply(Buffer.from('twice')));
      await until(w, heard, () => outcome.length === 3);
      kept.get('a')!.refuse(new Error('no'));
      await until(w, heard, () => outcome.length === 6);
      assert.ok(client.cancel(calls[2]));
      assert.not(client.cancel(calls[2]));
      if (tellsCancel) await until(w, heard, () => outcome.length === 8);
      // Who was not told sends in vain, and hears of it then.
      const late = kept.get('c')!.reply(Buffer.from('late'));
      assert.is(late, !tellsCancel);
      client.begin(peer, Buffer.from('d'), 'd', 10);
      await until(w, heard, () => outcome.includes('ETIMEDOUT') && (!tellsCancel || outcome.length === 13));
      assert.equal(outcome.slice(0, 6), ['b', 'response', 'B', 'a', 'failed', 'ERR_RPC_REMOTE']);
      const after = tellsCancel
        ? ['ETIMEDOUT', 'c', 'cancelled', 'cancelled', 'd', 'd', 'failed']
        : ['ETIMEDOUT', 'd', 'failed'];
      assert.equal(outcome.slice(6).sort(), after);
      assert.is(client.inFlight, 0);
    }));

  test('who does not read holds up nobody for ever: begin says when there is no room', () =>
    hosts(async w => {
      const client = w.caller.burst;
      const server = w.callee.burst;
      await server.listen({ port: 700 });
      const peer = client.peer(SERVER, 700);
      const body = pattern(1_000_000, 1);
      let begun = 0;
      while (client.begin(peer, body, begun) > 0) begun++;
      assert.ok(begun >= 3 && begun < 64, `${begun} begun`);
      let answered = 0;
      await until(
        w,
        new Map([
          [client, e => void (answered += e.kind === 'response' && e.bytes[0] === 7 ? 1 : 0)],
          [
            server,
            e => {
              assert.ok(Buffer.compare(e.bytes, body) === 0);
              e.reply(Buffer.from([7]));
            },
          ],
        ]),
        () => answered === begun,
      );
      assert.ok(client.begin(peer, Buffer.alloc(1), 0) > 0, 'there is room again');
    }));
}

const hostile = suite('rpc: hostile peers over tcp');

/** What a server's peer may say, as bytes. */
function frame(
  kind: number,
  call: number,
  turn: number,
  body: Uint8Array,
  more: Partial<Record<'length' | 'offset' | 'bytes', number>> = {},
): Buffer {
  const out = Buffer.alloc(FRAME_HEAD + body.length);
  const { length = body.length, offset = 0, bytes = body.length } = more;
  writeHead(
    new DataView(out.buffer, out.byteOffset),
    0,
    kind as FrameKind,
    bytes,
    length,
    offset,
    call,
    turn,
  );
  out.set(body, FRAME_HEAD);
  return out;
}

const X = Buffer.from('x');
for (const [what, bytes] of [
  ['no frame at all', Buffer.from('GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n')],
  ['a kind that is none', frame(9, 1, 1, X)],
  ['a message longer than the longest', frame(FrameKind.REQUEST, 1, 1, X, { length: 1_000_001 })],
  ['a frame longer than the longest', frame(FrameKind.REQUEST, 1, 1, X, { length: 900_000, bytes: 70_000 })],
  ['bytes beyond the message', frame(FrameKind.REQUEST, 1, 1, X, { length: 4, offset: 4 })],
  ['a frame without bytes', frame(FrameKind.REQUEST, 1, 1, Buffer.alloc(0), { length: 4 })],
  ['an answer to a server', frame(FrameKind.RESPONSE, 1, 1, X)],
  ['a call twice', Buffer.concat([frame(FrameKind.REQUEST, 1, 1, X), frame(FrameKind.REQUEST, 1, 2, X)])],
  [
    'parts that do not follow',
    Buffer.concat([
      frame(FrameKind.REQUEST, 1, 1, Buffer.alloc(2000), { length: 9000 }),
      frame(FrameKind.REQUEST, 1, 1, Buffer.alloc(2000), { length: 9000, offset: 3000 }),
    ]),
  ],
  [
    'too many messages in parts',
    Buffer.concat(Array.from({ length: 17 }, (_, i) => frame(FrameKind.REQUEST, i, 1, X, { length: 9000 }))),
  ],
  ['half a head that is never finished', frame(FrameKind.REQUEST, 1, 1, X).subarray(0, 9)],
  ['half a message that is never finished', frame(FrameKind.REQUEST, 1, 1, X, { length: 9000 })],
] as const)
  hostile(`${what} ends the connection, and the server goes on`, () =>
    world({ carrier: 'tcp' }, async w => {
      const server = w.callee.burst;
      await server.listen({ port: 700 });
      const c = w.client.burst.connect({ host: SERVER, port: 700 });
      c.write(bytes);
      const events: never[] = [];
      let over = false;
      let requests = 0;
      const heard = new Map<RpcBurst, (e: RpcEvent) => void>([
        [
          server,
          e => {
            // Kept: a call that is in flight.
            if (e.kind === 'request') e.keep();
            requests++;
          },
        ],
      ]);
      const ends = (): boolean => {
        w.client.burst.poll(events);
        return (over ||= c.closed);
      };
      const { engine } = w;
      for (const end = engine.now() + 90_000_000_000n; !ends(); engine.advance(20_000_000n)) {
        if (engine.now() > end) throw new Error('the connection goes on');
        await until(w, heard, () => true);
        const list: RpcEvent[] = [];
        const n = server.poll(list);
        for (let i = 0; i < n; i++) heard.get(server)!(list[i]);
      }
      assert.is(c.error, 'ECONNRESET');
      c.close();
      assert.ok(requests <= 2);
      // A good one is served still.
      await w.callee.serve({ port: 701 }, request => request);
      assert.is(String(await w.caller.call({ address: SERVER, port: 701 }, 'x')), 'x');
    }),
  );
