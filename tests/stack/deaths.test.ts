/** Lanes that die while a stack's connections move bytes: their applications notice nothing but the time. */
import { assert, suite } from '../support/suite.js';
import { AT, echo, type Host, pattern, Sender, until, wired } from './rig.js';

const test = suite('stack: lanes that die');

test(
  'two lanes killed in turn under echoes of main thread and peer: every byte, no error, no frame lost',
  () =>
    wired(
      async ({ a, b, engine }) => {
        b.onAccept = echo;
        b.stack.burst.listen({ port: 7 });
        const senders = Array.from({ length: 8 }, (_, i) => {
          const c = a.connect({ host: AT.b[i & 1 ? 6 : 4], port: 7 });
          const s = new Sender(c, pattern(2_000_000, i));
          a.hear(c, s.heard);
          return s;
        });
        const hosts: Host[] = [a, b];
        const moved = (): number => senders.reduce((sum, s) => sum + s.bytes, 0);
        for (let kill = 1; kill <= 4; kill++) {
          await until(hosts, () => moved() >= kill * 2_000_000, 30_000);
          engine.killLane(kill & 1);
        }
        await until(hosts, () => senders.every(s => s.ended || s.error !== undefined), 60_000);
        await engine.settled();
        assert.is(engine.crashes.length, 4);
        assert.equal(
          senders.map(s => s.verdict),
          senders.map(() => 'same'),
        );
      },
      { engine: { inline: false, clock: 'real', lanes: 2 } },
    ),
  { timeoutMs: 120_000 },
);
