/** What options make of each other: how much goes unasked, by the line's rate and its round trip. */
import { type HomaOptions, homa } from '../../host/transports/homa/index.js';
import { assert, suite } from '../support/suite.js';
import { forged, PORT } from './forged.js';
import { inRing } from './slots.js';

const test = suite('homa: options');
const ADDRESS = Uint8Array.of(10, 0, 0, 1);

const UNASKED: [what: string, options: HomaOptions, bytes: number][] = [
  // Two frames of 1538 B on the wire and 11.8 µs.
  ['10 Gbit/s', { linkMbps: 10_000 }, 3076 + 14_750],
  ['100 Gbit/s: no more than HomaModule has', { linkMbps: 100_000, rttNs: 4000 }, 40_000],
  ['what is said goes', { linkMbps: 10_000, unscheduled: 5000 }, 5000],
];
for (const [what, options, bytes] of UNASKED)
  test(`bytes that go unasked: ${what}`, () =>
    forged({ homa: options }, f => {
      const client = f.messages.client({ app: f.caller.number });
      const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
      const { end } = f.open(id);
      f.step();
      // What the ring takes at first: the record says how long it will be.
      end.write(
        inRing({ call: 0, address: ADDRESS, port: PORT, bytes: new Uint8Array(900_000) }).subarray(0, 1000),
      );
      f.caller.flush();
      f.step();
      assert.is(f.view.info(id).mayBeSent, bytes);
      end.request(8 /* ABORT */);
      end.release();
      f.pass(5);
    }));

test('a round trip that is none is refused', () => {
  for (const rttNs of [-1, 0.5, 1e9])
    assert.throws(
      () => homa({ rttNs }),
      (e: { code?: string }) => e.code === 'ERR_HOMA_OPTIONS',
    );
});
