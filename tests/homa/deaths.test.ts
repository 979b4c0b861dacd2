/** A lane may die before any call that a program makes: calls go on in its next life, once each, or end in an error. */
import { takeStreamLedger } from '../../host/mem/streams.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { mortal } from './mortal.js';
import { ADDRESS, backwards, PORT, type World, type WorldOptions } from './world.js';

const test = suite('homa: deaths');
const LIMIT = { timeoutMs: 240_000 };

/** Calls of these lengths on a slot each; how many were answered, and how many failed. */
function round(w: World, sizes: readonly number[], seed: number): { answered: number; failed: string[] } {
  const before = w.server.requests.length;
  const slots = sizes.map((size, i) => {
    const [slot] = w.open();
    slot.call({ address: ADDRESS[i & 1 ? 6 : 4][1], port: PORT }, pattern(size, seed + i));
    return slot;
  });
  assert.ok(
    w.run(() => slots.every(s => s.open === 0 || s.failed), 5000),
    JSON.stringify([w.counters, slots.map(s => w.a.view.info(s.end.id))]),
  );
  const failed = slots.filter(s => s.failed);
  for (const [i, slot] of slots.entries())
    if (!slot.failed)
      assert.is(sha(slot.answers[0].bytes), sha(backwards({ bytes: pattern(sizes[i], seed + i) })));
  // None twice, whatever became of it.
  const seen = w.server.requests.slice(before).map(r => sha(r.message.bytes));
  assert.is(new Set(seen).size, seen.length, 'a call was made twice');
  for (const slot of slots)
    if (!slot.failed) {
      slot.end.request(4 /* CLOSE */);
      slot.end.release();
    }
  w.slots.length = 0;
  w.run(() => false, 2500);
  return { answered: slots.length - failed.length, failed: failed.map(s => w.a.view.error(s.end.id) ?? '') };
}

const MOVES: [what: string, sizes: number[], options: WorldOptions][] = [
  ['short calls', [10, 20, 300], {}],
  ['granted messages, and a pacer', [90_000, 120_000, 100], { homa: { linkMbps: 1000 }, rate: 1e9 }],
  ['a wire that loses', [3000, 60_000, 40], { loss: 0.03 }],
];

for (const [what, sizes, options] of MOVES)
  test(
    `${what}: calls go on, or say why not`,
    async () => {
      const { w, lanes } = await mortal({ delayNs: 100_000, ...options });
      round(w, sizes, 1);
      const { calls } = lanes;
      const places = new Set<string>();
      let answered = 0;
      let failed = 0;
      for (let n = 1; n < calls; n += Math.max(1, Math.floor(calls / 40))) {
        const { deaths } = lanes;
        lanes.dieIn(n);
        const r = round(w, sizes, n);
        answered += r.answered;
        failed += r.failed.length;
        if (lanes.deaths > deaths) places.add(lanes.before);
        lanes.dieIn(Number.POSITIVE_INFINITY);
      }
      assert.ok(lanes.deaths > 20 && places.size > 6, `${lanes.deaths} deaths before ${[...places]}`);
      assert.ok(failed <= answered / 10, `${failed} of ${answered + failed} failed`);
      const apps = StreamApps.of(w.engine);
      for (const { app } of [w.a, w.b]) apps.close(app.number);
      w.run(() => false, 10_000);
      const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(w.engine.arena);
      assert.equal(
        { lost, doubled, lostIds, open, closed, used },
        { lost: 0, doubled: 0, lostIds: 0, open: 0, closed: 0, used: 0 },
      );
      await w.engine.stop();
    },
    LIMIT,
  );
