/** What hosts give their NICs is no more than the line takes, whichever lanes send. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { ADDRESS, inWorld, PORT } from './world.js';

const test = suite('homa: pacing');
const LANES = 4;
const BYTES = 200_000;
const RATE = 1e9;

test('lanes that send at once give the NIC no more than its rate, all together', () =>
  inWorld(
    {
      engine: { lanes: LANES },
      rate: RATE,
      delayNs: 20_000,
      homa: { linkMbps: RATE / 1e6, unscheduled: BYTES, maxIncoming: 2 ** 30 },
      answer: () => new Uint8Array(8),
    },
    w => {
      const slots = Array.from({ length: LANES }, (_, i) => w.openIn(i));
      for (const [i, slot] of slots.entries())
        slot.call({ address: ADDRESS[4][1], port: PORT }, pattern(BYTES, i));
      const begun = w.engine.now();
      // All that goes unasked would go at once but for the pacer: so fast is it given to the NIC.
      const given = () => slots.reduce((n, s) => n + (w.a.view.info(s.end.id).sent ?? 0), 0);
      let most = 0;
      w.run(
        () => slots.every(s => s.open === 0 || s.failed),
        100,
        () => {
          const ns = Number(w.engine.now() - begun);
          if (given() < LANES * BYTES) most = Math.max(most, given() - (ns * RATE) / 8e9);
        },
      );
      assert.ok(slots.every(s => s.open === 0 && !s.failed));
      // 5 µs, which are 625 B, a packet of each lane that found the queue short, and what bytes of headers take.
      assert.ok(most < 20_000, `${most} B more than the line had taken`);
      assert.ok(w.counters[0].Throttled > LANES * 10, String(w.counters[0].Throttled));
    },
  ));
