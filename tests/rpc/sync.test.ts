/** Bursts of a thread that never returns to its event loop, several listeners of one, and the end of all of them. */
import type { RpcBurst } from '../../host/rpc/burst.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, SERVER, type World, world } from './rig.js';

/** Nobody has a route there. */
const NOWHERE = '192.0.2.1';
const MS = 1_000_000n;

/** What a burst is told of until `done`, without a turn of the event loop; `hear` is given the others' events. */
function untilSync(
  { engine }: World,
  heard: Map<RpcBurst, (e: RpcEvent) => void>,
  done: () => boolean,
  ms = 5000,
): void {
  const events: RpcEvent[] = [];
  for (const endNs = engine.now() + BigInt(ms) * MS; !done() && engine.now() < endNs; ) {
    for (const [burst, hear] of heard) {
      const n = burst.poll(events);
      for (let i = 0; i < n; i++) hear(events[i]);
      burst.flush();
    }
    engine.run({ untilNs: engine.now() + MS / 10n });
  }
}

for (const { name: carrier, options } of CARRIERS) {
  const test = suite(`rpc: synchronous bursts over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>): Promise<void> => world({ carrier, ...options }, work);

  test('a call that cannot begin fails at the next poll, and a look finds it', () =>
    hosts(async w => {
      const { burst } = w.caller;
      const told: unknown[] = [];
      assert.ok(burst.begin(burst.peer(NOWHERE, 700), Buffer.from('x'), 'tag') > 0);
      // A socket of datagrams learns of it when the first one leaves.
      if (carrier !== 'window') assert.is(burst.endpoint.look(), true);
      const heard = new Map<RpcBurst, (e: RpcEvent) => void>([
        [burst, e => void told.push(e.kind, e.tag, e.code, e.reason)],
      ]);
      untilSync(w, heard, () => told.length > 0);
      assert.equal(told.slice(0, 2), ['failed', 'tag']);
      assert.match(String(told[2]), /ENETUNREACH|EHOSTUNREACH/);
      assert.ok(String(told[3]).length > 0);
      assert.is(burst.inFlight, 0);
    }));

  test('what a failure said is not said of the next response', () =>
    hosts(async w => {
      const { burst } = w.caller;
      const server = w.callee.burst;
      await server.listen({ port: 700 });
      let failed = '';
      burst.begin(burst.peer(NOWHERE, 700), Buffer.from('x'));
      untilSync(w, new Map([[burst, (e: RpcEvent) => void (failed = e.reason)]]), () => failed !== '');
      assert.ok(failed.length > 0);
      burst.begin(burst.peer(SERVER, 700), Buffer.from('x'));
      let answer: [string, string | undefined, string] | undefined;
      untilSync(
        w,
        new Map<RpcBurst, (e: RpcEvent) => void>([
          [server, e => void e.reply(e.bytes)],
          [burst, e => void (answer = [e.kind, e.code, e.reason])],
        ]),
        () => answer !== undefined,
      );
      assert.equal(answer, ['response', undefined, '']);
    }));

  test('the end of a listener is not that of another one', () =>
    hosts(async w => {
      const { burst } = w.caller;
      const server = w.callee.burst;
      const [first, second] = [await server.listen({ port: 700 }), await server.listen({ port: 701 })];
      burst.begin(burst.peer(SERVER, second.port), Buffer.from('x'));
      const kept: { reply(bytes: Uint8Array): boolean }[] = [];
      const ends: string[] = [];
      const heard = new Map<RpcBurst, (e: RpcEvent) => void>([
        [server, e => void (e.kind === 'request' ? kept.push(e.keep()) : ends.push(e.kind))],
        [burst, e => void ends.push(e.kind)],
      ]);
      untilSync(w, heard, () => kept.length > 0);
      first.close();
      untilSync(w, heard, () => false, 50);
      assert.is(kept[0].reply(Buffer.from('y')), true);
      untilSync(w, heard, () => ends.length > 0);
      assert.equal(ends, ['response']);
    }));

  test('an answer that is too long is refused with a code, and may be another one', () =>
    hosts(async w => {
      const { burst } = w.caller;
      const server = w.callee.burst;
      await server.listen({ port: 700 });
      burst.begin(burst.peer(SERVER, 700), Buffer.from('x'));
      const ends: string[] = [];
      let code = '';
      untilSync(
        w,
        new Map<RpcBurst, (e: RpcEvent) => void>([
          [
            server,
            e => {
              try {
                e.reply(Buffer.alloc(1_000_001));
              } catch (error) {
                code = (error as { code: string }).code;
              }
              e.reply(Buffer.from('short'));
            },
          ],
          [burst, e => void ends.push(`${e.kind} ${Buffer.from(e.bytes)}`)],
        ]),
        () => ends.length > 0,
      );
      assert.equal([code, ...ends], ['EMSGSIZE', 'response short']);
    }));

  test('who is closed listens nowhere, also when that was asked for before', () =>
    hosts(async ({ caller, callee }) => {
      const { burst } = callee;
      const listening = codeOf(burst.listen({ port: 700 }));
      await callee.close();
      assert.is(await listening, 'ERR_RPC_CLOSED');
      assert.is(await codeOf(burst.listen({ port: 701 })), 'ERR_RPC_CLOSED');
      assert.throws(
        () => callee.use(carrier),
        (e: { code?: string }) => e.code === 'ERR_RPC_CLOSED',
      );
      void caller;
    }));
}

const test = suite('rpc: slots over homa');
test('calls of a slot are counted modulo 2^32', () =>
  world({ carrier: 'homa', shared: true }, async w => {
    const { burst } = w.caller;
    const server = w.callee.burst;
    await server.listen({ port: 700 });
    const peer = burst.peer(SERVER, 700);
    const ends: string[] = [];
    const heard = new Map<RpcBurst, (e: RpcEvent) => void>([
      [server, e => void e.reply(e.bytes)],
      [burst, e => void ends.push(`${e.kind} ${e.code ?? ''}${e.reason}`)],
    ]);
    const call = (): void => {
      const n = ends.length;
      burst.begin(peer, Buffer.from('x'));
      untilSync(w, heard, () => ends.length > n);
    };
    call();
    const homa = burst.endpoint.carriers.find(c => c.name === 'homa') as unknown as {
      slots: Map<number, { pool: unknown; number: number }>;
    };
    const slot = [...homa.slots.values()].find(s => s.pool && s.number === 1)!;
    // As far as numbers may jump, twice.
    for (const number of [0x7fff_fff0, 0xffff_ffe0, 0xffff_fffe]) {
      slot.number = number;
      call();
    }
    for (let i = 0; i < 3; i++) call();
    assert.equal(ends, Array(7).fill('response '));
    assert.is(slot.number, 2);
  }));
