/** Homa's programs replaced while calls are under way: each is answered once, with the right bytes. */
import { HOMA_OBJECT } from '../../host/transports/homa/control.js';
import { ADDRESS, backwards, inWorld, PORT } from '../homa/world.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, version } from './objects.js';

const test = suite('swap: homa');
/** Counts the packets that it takes in where the other counts ICMP errors. */
const COUNTING = {
  file: 'homa.bpf.c',
  from: '	case PACKET_OK:\n		return homa_dispatch(ctx, &p);',
  to: '	case PACKET_OK:\n		count(ErrorsIn);\n		return homa_dispatch(ctx, &p);',
};
const SIZES = [32, 1000, 5000, 60_000, 300_000];

for (const [what, rounds] of [
  ['short and long messages', 3],
  ['calls one after another on their slots', 6],
] as const)
  test(
    `${what} under upgrades of both hosts: each call answered once, nothing sent again`,
    () =>
      inWorld({ delayNs: 20_000 }, async w => {
        const slots = SIZES.map((size, i) => {
          const [slot] = w.open();
          for (let k = 0; k < rounds; k++)
            slot.call({ address: ADDRESS[i & 1 ? 6 : 4][1], port: PORT }, pattern(size, i * 100 + k));
          return slot;
        });
        const calls = SIZES.length * rounds;
        let steps = 0;
        const isCounting = new Set<string>();
        const ran = new Set<string>();
        let before = [0, 0];
        for (let upgrades = 0; upgrades < 20; upgrades++) {
          const until = steps + 12;
          w.run(() => slots.every(s => s.open === 0) || ++steps >= until, 5000);
          const [first, second] = w.engine.transports.list().filter(t => t.name === 'homa');
          const { stack } = upgrades & 1 ? second : first;
          const counts = w.counters.map(c => c.ErrorsIn ?? 0);
          // Each host has the other version, and its own again.
          const next = upgrades & 2 ? HOMA_OBJECT : version('homa', [COUNTING]);
          await w.engine.transports.upgrade(`${stack}/homa`, next);
          for (const [i, host] of [first, second].entries()) {
            if (!isCounting.has(host.stack)) assert.is(counts[i], before[i], 'code of the other version ran');
            else if (counts[i] > before[i]) ran.add(host.stack);
          }
          before = counts;
          if (upgrades & 2) isCounting.delete(stack);
          else isCounting.add(stack);
        }
        assert.ok(w.run(() => slots.every(s => s.open === 0 || s.failed), 5000));
        for (const [i, slot] of slots.entries()) {
          assert.not(slot.failed);
          assert.equal(
            slot.answers.map(a => a.call),
            Array.from({ length: rounds }, (_, k) => k),
          );
          for (const [k, { bytes }] of slot.answers.entries())
            assert.equal(bytes, backwards({ bytes: pattern(SIZES[i], i * 100 + k) }));
        }
        const [a, b] = w.counters;
        assert.equal([a.CallsOut, b.CallsIn, a.ResponsesIn], [calls, calls, calls]);
        assert.equal([a.Retransmits, b.Retransmits, a.Duplicates, b.Duplicates], Array(4).fill(undefined));
        assert.is(ran.size, 2, 'the other version took packets in, on both hosts');
        assert.equal(
          w.engine.transports.list().flatMap(t => (t.name === 'homa' ? t.generation : [])),
          [11, 11],
        );
      }),
    { missing: missingClang, timeoutMs: 180_000 },
  );
