/** Many lanes at once: numbers and memory go from hand to hand, bytes stay where they belong, deaths lose none. */
import { Piscina } from 'piscina';
import { Engine } from '../../host/engine/engine.js';
import { StreamEvent, XdpContextLayout } from '../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { ReplayNic } from '../../host/nic/index.js';
import { StreamApps, streamCounters } from '../../host/streams/stream_apps.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { handMade } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import type { LaneResult, LaneTask } from './lane_peer.js';
import { KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: lanes');

test(
  'lanes that open, fill and free beside each other share memory and numbers, and no byte',
  async () => {
    // Too little memory for all rings that are wanted: they must live on what the others give back, and what is open has its.
    const rig = new StreamRig({ lanes: 3, count: 200, bytes: 768 * KIB });
    const pool = new Piscina({
      filename: new URL('./lane_peer.ts', import.meta.url).href,
      maxThreads: 3,
      minThreads: 3,
    });
    for (let round = 0; round < 3; round++) {
      const tasks = [0, 1, 2].map(lane => {
        const task: LaneTask = {
          memory: rig.arena.memory,
          ...{
            lane,
            seed: round * 7 + lane,
            steps: 12_000,
            ctx: rig.arena.scratch.alloc(XdpContextLayout.size, 64),
          },
        };
        return pool.run(task) as Promise<LaneResult>;
      });
      const results = await Promise.all(tasks);
      const ledger = rig.conserved();
      assert.is(
        ledger.open,
        results.reduce((n, r) => n + r.left.length, 0),
      );
      for (const [lane, r] of results.entries()) {
        assert.is(r.wrong, 0, `lane ${lane}`);
        const { small } = streamCounters(rig.arena, lane);
        assert.ok(r.opened > 1000 && small > 0, `lane ${lane} opened ${r.opened}, small rings ${small}`);
        for (const s of r.left) {
          const { rcvAt } = rig.record(s.id);
          assert.equal(rig.arena.u8.slice(rcvAt, rcvAt + s.bytes), pattern(0, s.bytes, s.seed));
          assert.is(rig.lane(lane).el_stream_free(s.id), 0);
        }
      }
      assert.is(rig.conserved().used, 0);
    }
    await pool.close();
  },
  { timeoutMs: 60_000 },
);

/** A transport without a wire: what a stream sends it receives. `at`: a word of state for each stream. */
const loopback = (at: number) => {
  const { rxQueueIndex } = XdpContextLayout;
  return handMade(
    `(local $id i32) (local $at i32) (local $pos i32) (local $n i32) (local $m i32)
     (local.set $id (i32.load offset=${rxQueueIndex} (local.get 0)))
     (local.set $at (i32.add (i32.const ${at}) (i32.shl (local.get $id) (i32.const 2))))
     (local.set $pos (i32.load (local.get $at)))
     ;; A lane may have died before it said so.
     (drop (call $el_stream_received (local.get $id) (local.get $pos)))
     (drop (call $el_stream_acked (local.get $id) (local.get $pos)))
     (local.set $n (i32.sub (call $el_stream_snd_end (local.get $id)) (local.get $pos)))
     (local.set $m (i32.sub (call $el_stream_rcv_limit (local.get $id)) (local.get $pos)))
     (if (i32.lt_u (local.get $m) (local.get $n)) (then (local.set $n (local.get $m))))
     (if (i32.gt_u (local.get $n) (i32.const 1000)) (then (local.set $n (i32.const 1000))))
     (if (i32.eqz (local.get $n)) (then (return (i64.const 1))))
     (if (i32.lt_s (call $el_stream_fetch (local.get 0) (i32.const 54) (local.get $id) (local.get $pos) (local.get $n)) (i32.const 0))
       (then (return (i64.const 1))))
     (if (i32.lt_s (call $el_stream_place (local.get 0) (i32.const 54) (local.get $id) (local.get $pos) (local.get $n)) (i32.const 0))
       (then (return (i64.const 1))))
     (local.set $pos (i32.add (local.get $pos) (local.get $n)))
     (i32.store (local.get $at) (local.get $pos))
     (drop (call $el_stream_received (local.get $id) (local.get $pos)))
     (drop (call $el_stream_acked (local.get $id) (local.get $pos)))
     (drop (call $el_ready (local.get $id)))
     i64.const 1`,
    {
      name: 'loopback',
      type: 'xdp_gen',
      helpers: {
        el_stream_received: '(param i32 i32) (result i32)',
        el_stream_acked: '(param i32 i32) (result i32)',
        el_stream_snd_end: '(param i32) (result i32)',
        el_stream_rcv_limit: '(param i32) (result i32)',
        el_stream_fetch: '(param i32 i32 i32 i32 i32) (result i32)',
        el_stream_place: '(param i32 i32 i32 i32 i32) (result i32)',
        el_ready: '(param i32) (result i32)',
      },
    },
  );
};

/** An engine whose streams lead back to themselves, and an application. */
async function looped(lanes: number, streams: number, inline = false) {
  const engine = await Engine.create({
    ...{
      nics: [new ReplayNic({ packets: [new Uint8Array(64)], count: 0 })],
      lanes,
      inline,
      mapBytes: 1 << 16,
    },
    ...{ frames: 2048, streams: { count: streams + 1, bytes: 8 << 20 } },
  });
  const at = engine.arena.scratch.alloc((streams + 1) * 4, 64);
  engine.arena.u8.fill(0, at, at + (streams + 1) * 4);
  engine.attach(await engine.load(loopback(at)), 1);
  await engine.start();
  const apps = new StreamApps(engine);
  const app = apps.open();
  const ends = Array.from({ length: streams }, (_, i) =>
    apps.stream(app, { ifindex: 1, lane: i % lanes, send: 16 * KIB, receive: 8 * KIB }),
  );
  return { engine, apps, app, ends };
}

test('bytes go round through an inline lane, step by step', async () => {
  const { engine, app, ends } = await looped(1, 3, true);
  for (const end of ends) assert.is(end.room, 0);
  app.flush();
  assert.ok(engine.busy);
  engine.run();
  assert.not.ok(engine.busy);
  const sent = ends.map((end, i) => end.write(pattern(0, 5000, i)));
  assert.equal(sent, [5000, 5000, 5000]);
  app.flush();
  engine.run();
  const told: number[] = [];
  app.take((s, e) => told.push(s.id, e & StreamEvent.IN));
  assert.equal(told, [1, 1, 2, 1, 3, 1]);
  for (const [i, end] of ends.entries()) {
    const got = new Uint8Array(6000);
    assert.is(end.read(got), 5000);
    assert.equal(got.subarray(0, 5000), pattern(0, 5000, i));
  }
  await engine.stop();
});

/** Sends `total` bytes through every stream and reads them back; `meanwhile` is called now and then. */
async function pump(
  app: {
    take: (each: (s: StreamEnd, e: number) => void) => number;
    wait: (ms: number) => Promise<boolean>;
    flush: () => void;
  },
  ends: StreamEnd[],
  total: number,
  meanwhile: (progress: number) => void = () => {},
): Promise<void> {
  const sent = new Map(ends.map(s => [s, 0]));
  const got = new Map(ends.map(s => [s, 0]));
  const into = new Uint8Array(3000);
  let done = 0;
  const serve = (s: StreamEnd): void => {
    for (let n = s.read(into); n > 0; n = s.read(into)) {
      const at = got.get(s)!;
      assert.equal(into.subarray(0, n), pattern(at, n, s.id), `stream ${s.id} at ${at}`);
      got.set(s, at + n);
      done += n;
    }
    for (let at = sent.get(s)!; at < total; at = sent.get(s)!) {
      const n = s.write(pattern(at, Math.min(2500, total - at), s.id));
      sent.set(s, at + n);
      if (n === 0) break;
    }
  };
  for (const s of ends) serve(s);
  while (done < total * ends.length) {
    app.flush();
    if (!(await app.wait(5000)))
      assert.unreachable(`no event in 5 s, ${done} of ${total * ends.length} bytes`);
    app.take(serve);
    meanwhile(done / (total * ends.length));
  }
}

test(
  'two worker lanes and an application that sleeps: every byte once and in order',
  async () => {
    const { engine, app, ends } = await looped(2, 12);
    await pump(app, ends, 200_000);
    await engine.stop();
    const l = takeStreamLedger(engine.arena);
    assert.equal([l.lost, l.doubled, l.lostIds, l.open], [0, 0, 0, 12]);
  },
  { timeoutMs: 60_000 },
);

test(
  'streams of a lane that is killed go on in the new one: every byte once and in order',
  async () => {
    const { engine, app, ends } = await looped(2, 12);
    let kills = 0;
    await pump(app, ends, 400_000, progress => {
      if (kills >= 4 || progress < (kills + 1) / 6) return;
      engine.killLane(kills++ & 1);
    });
    await engine.settled();
    assert.is(engine.crashes.length, 4);
    const report = await engine.stop();
    assert.is(report.ledger.lost, 0);
    const l = takeStreamLedger(engine.arena);
    assert.equal([l.lost, l.doubled, l.lostIds, l.open], [0, 0, 0, 12]);
  },
  { timeoutMs: 60_000 },
);
