/** The carrier is changed while calls are in flight: none is lost, none is made twice. */
import { homa } from '../../host/transports/homa/index.js';
import { assert, suite } from '../support/suite.js';
import { SERVER, world } from './rig.js';

const test = suite('rpc: carriers are changed');
const SWAPS = 1000;
const IN_FLIGHT = 64;

for (const [how, link] of [
  ['on a good wire', {}],
  ['on one that loses and reorders', { loss: 0.01, reorder: 0.02 }],
] as const)
  test(
    `${SWAPS} swaps under ${IN_FLIGHT} calls in flight, ${how}: each call is served once, by both carriers, and answered`,
    () =>
      world(
        { carrier: 'tcp', link, stack: () => ({ messages: homa() }) },
        async ({ client, server, caller, callee }) => {
          const served = new Map<number, number>();
          await callee.serve({ port: 700 }, request => {
            const n = request.readUInt32LE(0);
            served.set(n, (served.get(n) ?? 0) + 1);
            return request;
          });
          let n = 0;
          let swaps = 0;
          const to = { address: SERVER, port: 700 };
          const caring = async (): Promise<void> => {
            while (swaps < SWAPS) {
              const mine = n++;
              // A swap at every fourth call, with all the others in flight.
              if (mine % 4 === 0) caller.use(++swaps % 2 ? 'homa' : 'tcp');
              const body = Buffer.alloc(4 + ((mine * 61) % 2500), mine & 255);
              body.writeUInt32LE(mine, 0);
              assert.ok((await caller.call(to, body)).equals(body), `call ${mine}`);
            }
          };
          await Promise.all(Array.from({ length: IN_FLIGHT }, caring));
          assert.is(served.size, n);
          assert.is(Math.max(...served.values()), 1);
          // Both had their share.
          const byHoma = client.counters('messages').CallsOut;
          assert.ok(byHoma > n / 4 && byHoma < (n * 3) / 4, `${byHoma} of ${n}`);
          assert.is(server.counters('messages').CallsIn, byHoma);
        },
      ),
    { timeoutMs: 60_000 },
  );
