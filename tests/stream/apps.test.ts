/** Applications and lanes: ownership, rings that are full, sleep, death. */
import { Piscina } from 'piscina';
import { MAX_APPS, StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import { StreamApp } from '../../host/streams/stream_app.js';
import { streamCounters } from '../../host/streams/stream_apps.js';
import { assert, suite } from '../support/suite.js';
import type { EchoTask } from './echo_peer.js';
import { KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: applications');

test('a doorbell for a stream of another application is counted and ignored', () => {
  const rig = new StreamRig();
  const [a, b] = [rig.apps.open(), rig.apps.open()];
  const end = rig.apps.stream(a);
  b.door(0, end.id, end.generation);
  b.door(0, 0, 0);
  b.door(0, 0xffffffff, 0);
  b.flush();
  rig.turn();
  assert.is(streamCounters(rig.arena, 0).foreign, 3);
  assert.is(rig.arena.lane(0).readyCount, 0);
  assert.throws(
    () => b.end(end.id),
    (e: { code: string }) => e.code === 'ERR_STREAM_UNKNOWN',
  );
});

test('a doorbell in another lane than the stream’s is counted and ignored', () => {
  const rig = new StreamRig({ lanes: 2 });
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { lane: 1 });
  app.door(0, end.id, end.generation);
  app.flush();
  rig.turn();
  assert.is(streamCounters(rig.arena, 0).foreign, 1);
});

test('doorbells and events of a stream’s former life do not reach the next', () => {
  const rig = new StreamRig({ count: 2 });
  const app = rig.apps.open();
  const first = rig.open(app.number);
  rig.lane().el_stream_event(first, StreamEvent.ACCEPT);
  // Freed before anybody heard of it in truth: the application closes it unseen.
  rig.record(first).released = 1;
  rig.lane().el_stream_free(first);
  const second = rig.open(app.number);
  assert.is(second, first);
  rig.turn();
  assert.is(
    app.take(() => assert.unreachable('the event was of another life')),
    0,
  );
  app.door(0, second, rig.record(second).generation - 1);
  app.flush();
  rig.turn();
  assert.is(streamCounters(rig.arena, 0).stale, 1);
});

test('more doorbells than the ring holds: the lane looks through its streams', () => {
  const rig = new StreamRig({ count: 400, bytes: 4 << 20, slots: 8 });
  const app = rig.apps.open();
  const ends = Array.from({ length: 300 }, () => rig.apps.stream(app, { send: 2 * KIB, receive: 0 }));
  for (const end of ends) end.request(StreamRequest.SHUTDOWN);
  app.flush();
  rig.settle();
  assert.is(rig.arena.lane(0).readyCount, 300);
  for (const end of ends) assert.is(rig.lane().el_stream_requests(end.id), StreamRequest.SHUTDOWN);
});

test('more events than the ring holds: the application looks through its streams, in parts if it wants', () => {
  const rig = new StreamRig({ count: 400, slots: 8 });
  const app = rig.apps.open();
  const other = rig.apps.open();
  const ids = Array.from({ length: 300 }, () => rig.open(app.number));
  const foreign = rig.open(other.number);
  for (const id of [...ids, foreign]) rig.lane().el_stream_event(id, StreamEvent.ACCEPT);
  rig.turn();
  const got: number[] = [];
  assert.is(
    app.take(s => got.push(s.id), 50),
    50,
  );
  assert.ok(app.pending);
  app.take(s => got.push(s.id), 200);
  app.take(s => got.push(s.id));
  assert.equal(
    got.sort((a, b) => a - b),
    ids,
  );
  assert.not.ok(app.pending);
  rig.lane().el_stream_event(ids[7], StreamEvent.HUP);
  rig.turn();
  assert.is(
    app.take(s => assert.is(s.id, ids[7])),
    1,
  );
});

test('events are handed out once, also when a listener throws', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const ids = [rig.open(app.number), rig.open(app.number), rig.open(app.number)];
  for (const id of ids) rig.lane().el_stream_event(id, StreamEvent.ACCEPT);
  rig.turn();
  const got: number[] = [];
  assert.throws(() =>
    app.take(s => {
      got.push(s.id);
      if (s.id === ids[1]) throw new Error('listener');
    }),
  );
  app.take(s => got.push(s.id));
  assert.equal(got, ids);
});

test('an application that sleeps is woken by the end of a round', async () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const id = rig.open(app.number);
  assert.is(await app.wait(5), false, 'nothing happened');
  const woken = app.wait(10_000);
  rig.lane().el_stream_event(id, StreamEvent.ACCEPT);
  await new Promise(done => setTimeout(done, 20));
  assert.is(
    await Promise.race([woken, Promise.resolve('asleep')]),
    'asleep',
    'no wake-up before the round ends',
  );
  rig.turn();
  assert.is(await woken, true);
  assert.is(await app.wait(10_000), true, 'no sleep while there is something to take');
  assert.is(app.waitSync(10_000), true);
  app.take(() => {});
  assert.is(app.waitSync(5), false);
});

test('of several waits of an application each is woken, also when one ends before its time', async () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const id = rig.open(app.number);
  const [long, other] = [app.wait(10_000), app.wait(10_000)];
  assert.is(await app.wait(5), false, 'nothing happened');
  rig.lane().el_stream_event(id, StreamEvent.ACCEPT);
  rig.turn();
  const late = new Promise(done => setTimeout(done, 2000, 'late'));
  assert.is(await Promise.race([long, late]), true);
  assert.is(await Promise.race([other, late]), true);
});

test('a thread with memory and number is the application', async () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const id = rig.open(app.number);
  const pool = new Piscina({ filename: new URL('./echo_peer.ts', import.meta.url).href, maxThreads: 1 });
  const task: EchoTask = { memory: rig.arena.memory, app: app.number, bytes: 20_000 };
  const done = pool.run(task) as Promise<number>;
  let sent = 0;
  let back = 0;
  let moved = 0;
  const until = Date.now() + 15_000;
  while (back < 20_000 && Date.now() < until) {
    if (sent < 20_000) sent += rig.deliver(id, pattern(sent, Math.min(1000, 20_000 - sent)));
    const got = rig.drain(id);
    assert.equal(got, pattern(back, got.length));
    back += got.length;
    rig.turn();
    if (++moved % 4 === 0) await new Promise(r => setTimeout(r, 0));
  }
  assert.is(back, 20_000);
  assert.is(await done, 20_000);
  await pool.close();
});

test('an application that is not open cannot be attached', () => {
  const rig = new StreamRig();
  rig.apps.open();
  for (const n of [0, 2, 5, -1, 1.5])
    assert.throws(
      () => StreamApp.attach(rig.arena.memory, n),
      (e: { code: string }) => e.code === 'ERR_APP_UNKNOWN',
      `${n}`,
    );
});

test('the streams of a dead application are aborted, and its number is used again after them', () => {
  const rig = new StreamRig({ count: 200, bytes: 512 * KIB, lanes: 2, apps: 2 });
  const app = rig.apps.open();
  const other = rig.apps.open();
  const mine = Array.from({ length: 100 }, (_, i) => rig.open(app.number, 0, 4 * KIB, i & 1));
  const spared = rig.open(other.number);
  for (const [i, id] of mine.entries()) rig.deliver(id, pattern(0, 10), i & 1);
  // One that the transport is done with, and the application never let go of.
  rig.lane(0).el_stream_free(mine[0]);
  assert.throws(
    () => rig.apps.open(),
    (e: { code: string }) => e.code === 'ERR_APPS_FULL',
  );
  rig.apps.close(app.number);
  rig.settle();
  assert.is(rig.apps.streamsOf(app.number), 99);
  for (const [i, id] of mine.slice(1).entries()) {
    const x = rig.lane((i + 1) & 1);
    assert.is(x.el_stream_requests(id), StreamRequest.ABORT, `stream ${id}`);
    assert.is(x.el_stream_free(id), 0);
  }
  assert.is(rig.lane().el_stream_requests(spared), 0);
  assert.is(rig.conserved().used, 0);
  const next = rig.apps.open();
  assert.is(next.number, app.number);
  assert.is(
    next.take(() => assert.unreachable('events of the dead')),
    0,
  );
  assert.throws(
    () => rig.apps.close(3),
    (e: { code: string }) => e.code === 'ERR_APP_UNKNOWN',
  );
});

test('what an application had let go of, whose thread is replaced, ends as it had asked', () => {
  const rig = new StreamRig({ count: 20, bytes: 64 * KIB, apps: 2 });
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: 4 * KIB, receive: 4 * KIB });
  end.request(StreamRequest.CLOSE);
  end.release();
  app.flush();
  rig.settle();
  rig.apps.restart(app.number);
  rig.settle();
  assert.is(rig.lane().el_stream_requests(end.id), StreamRequest.CLOSE, 'what it wrote arrives');
});

test('what an application had whose thread is replaced is aborted, though no lane has news of it', () => {
  const rig = new StreamRig({ count: 20, bytes: 64 * KIB, apps: 2 });
  const app = rig.apps.open();
  const known = rig.open(app.number);
  rig.deliver(known, pattern(0, 10));
  rig.settle();
  assert.is(rig.arena.lane(0).readyCount, 0);
  rig.apps.restart(app.number);
  rig.settle();
  assert.is(rig.arena.lane(0).readyCount, 1, 'its transport is to look at it');
  assert.is(rig.lane().el_stream_requests(known), StreamRequest.ABORT);
});

test('what a dead application had let go of ends as it had asked; everything at once only if it is to', () => {
  for (const abort of [false, true]) {
    const rig = new StreamRig({ count: 20, bytes: 64 * KIB, apps: 2 });
    const app = rig.apps.open();
    const end = rig.apps.stream(app, { send: 4 * KIB, receive: 4 * KIB });
    // The doorbell is never rung: the thread dies before.
    end.request(StreamRequest.CLOSE);
    end.release();
    rig.apps.close(app.number, abort);
    rig.settle();
    const { CLOSE, ABORT } = StreamRequest;
    assert.is(rig.lane().el_stream_requests(end.id), abort ? CLOSE | ABORT : CLOSE);
    assert.is(rig.apps.streamsOf(app.number), 1);
    rig.lane().el_stream_free(end.id);
    assert.is(rig.apps.streamsOf(app.number), 0);
  }
});

for (const count of [32, 33, 64, MAX_APPS])
  test(`with ${count} applications every one is heard`, () => {
    const rig = new StreamRig({ apps: count, slots: 2, count: 300 });
    const apps = Array.from({ length: count }, () => rig.apps.open());
    const ends = apps.map(app => rig.apps.stream(app));
    for (const [i, app] of apps.entries()) {
      ends[i].request(StreamRequest.CONNECT);
      app.flush();
    }
    rig.turn();
    for (const [i, app] of apps.entries()) {
      assert.is(rig.lane().el_stream_requests(ends[i].id), StreamRequest.CONNECT);
      rig.lane().el_stream_event(ends[i].id, StreamEvent.CONNECTED);
      rig.turn();
      assert.is(
        app.take(s => assert.is(s, ends[i])),
        1,
      );
    }
  });
