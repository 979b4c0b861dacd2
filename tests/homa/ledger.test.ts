/** A lane dies wherever a channel begins or ends: shares and what is remembered count what there is, and no stream is lost. */
import { takeStreamLedger } from '../../host/mem/streams.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { recordsOf } from '../../host/transports/records.js';
import { assert, suite } from '../support/suite.js';
import { type Mortal, mortal } from './mortal.js';
import { ADDRESS, PORT } from './world.js';

const test = suite('homa: shares and deaths');
const LIMIT = { timeoutMs: 240_000 };

interface Key {
  address: number[];
  port: number;
  lane: number;
}
interface Share {
  living: number;
  past: number;
}
type Shares = Iterable<[Key, Share]> & { set(key: Key, share: Share): void };
type Live = { map<T = Iterable<unknown>>(name: string): Parameters<typeof recordsOf>[0] & T };
const liveOf = ({ w }: Mortal): Live => (w.b.messages as unknown as { live: Live }).live;

/** As if there were another channel of the peer: the same numbers without its traffic. */
function another(m: Mortal): void {
  const shares = liveOf(m).map<Shares>('homa_shares');
  const [[peer, { past }]] = [...shares];
  const { port, served } = (
    [...liveOf(m).map('homa_past')] as [{ port: number; served: number }, unknown][]
  )[0][0];
  assert.ok(port !== served);
  const none = { address: [0, 0, 0, 0], lane: 0 };
  shares.set(peer, { living: 1, past });
  shares.set({ ...none, port: 0 }, { living: 1, past: 0 });
  shares.set({ ...none, port: served }, { living: 1, past: 0 });
}

/** What the server's maps say: channels by shares, places by shares, by the queue, and that there are. */
function counted(m: Mortal): { living: number[]; places: number; queued: number; past: number } {
  const { w } = m;
  const live = liveOf(m);
  const shares = [...live.map<Shares>('homa_shares')];
  const { at, fields } = recordsOf(live.map('homa_ledgers'));
  const word = (name: string): number => w.engine.arena.dv.getUint32(at + fields[name].at, true);
  return {
    living: shares.map(([, s]) => s.living),
    places: shares.reduce((n, [, s]) => n + s.past, 0),
    queued: word('tail') - word('head'),
    past: [...live.map('homa_past')].length,
  };
}

/** A call of a slot that ends; its channel rests, and ends, or the server's application ends it. */
function one(m: Mortal, abort: boolean): void {
  const { w } = m;
  const [slot] = w.open();
  slot.call({ address: ADDRESS[4][1], port: PORT }, new Uint8Array(10));
  const before = w.server.requests.length;
  w.run(() => w.server.requests.length > before || slot.failed, 300);
  if (abort)
    for (const { end } of w.server.slots.values()) {
      end.request(8 /* ABORT */);
      end.release();
    }
  if (abort) w.server.slots.clear();
  w.b.app.flush();
  w.run(() => slot.open === 0 || slot.failed, 1000);
  slot.end.request(8 /* ABORT */);
  slot.end.release();
  w.a.app.flush();
  w.slots.length = 0;
  w.run(() => false, 1200);
}

for (const abort of [false, true])
  test(
    `a channel that ${abort ? 'its server ends' : 'rests, and ends'}, and a death before each call of its programs`,
    async () => {
      const m = await mortal({ answer: abort ? () => undefined : undefined, streams: 16 });
      const { w, lanes } = m;
      const { calls } = lanes;
      one(m, abort);
      another(m);
      const all = lanes.calls - calls;
      const places = new Set<string>();
      // Calls before the one that is meant vary from time to time: those that open a channel are named.
      const named = ['el_stream_draft', 'el_stream_route', 'el_stream_promise', 'hash_update_elem'];
      const begins = [
        ...named.map(name => [1, name] as const),
        ...Array.from({ length: all }, (_, i) => [i + 1] as const),
      ];
      for (const [n, name] of begins) {
        const { deaths } = lanes;
        lanes.dieIn(n, name);
        one(m, abort);
        if (lanes.deaths > deaths) places.add(lanes.before);
        lanes.dieIn(Number.POSITIVE_INFINITY);
        const c = counted(m);
        assert.equal(c.living, [1, 1, 1], `before call ${n}, ${lanes.before}: ${JSON.stringify(c)}`);
        assert.equal([c.places, c.queued], [c.past, c.past], `before call ${n}, ${lanes.before}`);
      }
      assert.ok(
        lanes.deaths > all / 2 && named.every(name => places.has(name)),
        `${lanes.deaths} of ${all}: ${[...places]}`,
      );
      const apps = StreamApps.of(w.engine);
      for (const { app } of [w.a, w.b]) apps.close(app.number);
      w.run(() => false, 5000);
      const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(w.engine.arena);
      assert.equal(
        { lost, doubled, lostIds, open, closed, used },
        { lost: 0, doubled: 0, lostIds: 0, open: 0, closed: 0, used: 0 },
      );
      await w.engine.stop();
    },
    LIMIT,
  );
