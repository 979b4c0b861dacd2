/** Programs on probation: those that count more errors than before are put back, those that do not stay. */
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import { UDP_OBJECT } from '../../host/transports/udp/index.js';
import { AT, echo, pattern, Sender, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, version } from './objects.js';

const test = suite('swap: probation');
/** Counts every hundredth segment as one that was cut short, and drops it. */
const BAD = {
  file: 'tcp.bpf.c',
  from: '	kind = tcp_predicted(ctx, s);',
  to: '	if (bpf_get_prandom_u32() % 100 == 0) {\n		count(InErrs);\n		return XDP_DROP;\n	}\n	kind = tcp_predicted(ctx, s);',
};

test(
  'an object that drops segments is put back, every byte arrives all the same; a good one stays',
  () =>
    wired(
      async ({ a, b, engine }) => {
        b.onAccept = echo;
        b.stack.burst.listen({ port: 7 });
        let over = false;
        let sender: Sender | undefined;
        const verdicts: string[] = [];
        const traffic = (async () => {
          for (let i = 0; !over; i++) {
            const c = a.connect({ host: AT.b[4], port: 7 });
            const s = new Sender(c, pattern(3_000_000, i));
            sender = s;
            a.hear(c, s.heard);
            await until([a, b], () => s.ended || s.error !== undefined, 60_000);
            verdicts.push(s.verdict);
            c.close();
          }
        })();
        await until([a, b], () => (sender?.bytes ?? 0) > 0, 60_000);
        try {
          const bad = await engine.transports.upgrade('b/tcp', version('tcp', [BAD]), {
            ...{ probationMs: 20_000, baselineMs: 200 },
          });
          assert.equal(bad.probation!.rolledBack!.includes('InErrs'), true, JSON.stringify(bad.probation));
          assert.ok(bad.probation!.ms < 20_000, 'at once, not at the end');
          assert.is(bad.probation!.counters.InErrs.expected, 0);
          assert.is(bad.generation, 3);
          assert.is(engine.transports.list().find(t => t.stack === 'b')!.object, TCP_OBJECT);
          const { InErrs } = b.stack.counters();
          const good = await engine.transports.upgrade('b/udp', UDP_OBJECT, {
            ...{ probationMs: 200, baselineMs: 50 },
          });
          assert.is(good.probation!.rolledBack, undefined);
          assert.ok(good.probation!.ms >= 200);
          assert.is(b.stack.counters().InErrs, InErrs, 'the old programs count none');
        } finally {
          over = true;
          await traffic;
        }
        assert.equal([...new Set(verdicts)], ['same']);
      },
      { a: { name: 'a' }, b: { name: 'b' }, engine: { inline: false, clock: 'real', lanes: 2 } },
    ),
  { missing: missingClang, timeoutMs: 180_000 },
);
