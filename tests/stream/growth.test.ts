/** Rings that grow: every byte once and in order, whatever comes between, wherever a lane dies; memory for others is left. */
import { StreamLayout } from '../../host/layout/layout.gen.js';
import { mendStreams, streamMemory } from '../../host/mem/streams.js';
import { StreamApp } from '../../host/streams/stream_app.js';
import { streamCounters } from '../../host/streams/stream_apps.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { steppedCore } from '../support/stepped_core.js';
import { assert, suite } from '../support/suite.js';
import { Growing } from './growing.js';
import { ENOBUFS, KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: growth');

const MOST = 4096 * KIB;
const SMALL = { send: 16 * KIB, receive: 16 * KIB };

test('a stream that is not promised anything holds no memory; with the promise it has 16 KiB a ring', () => {
  const rig = new StreamRig({ count: 5000, bytes: 64 << 20 });
  const x = rig.lane();
  const ids = Array.from({ length: 4096 }, () => x.el_stream_draft(0, MOST, MOST));
  assert.ok(ids.every(id => id > 0));
  assert.equal([streamMemory(rig.arena).least, streamMemory(rig.arena).more], [0, 0]);
  // It has no room; what it would have is known.
  assert.equal([x.el_stream_rcv_limit(ids[0]), x.el_stream_rcv_size(ids[0], 16 * KIB)], [0, 16 * KIB]);
  assert.is(x.el_stream_promise(ids[0], 16 * KIB, 16 * KIB), 0);
  assert.is(x.el_stream_promise(ids[0], 16 * KIB, 16 * KIB), 0);
  assert.equal([rig.record(ids[0]).sndBytes, rig.record(ids[0]).rcvBytes], [16 * KIB, 16 * KIB]);
  assert.equal([streamMemory(rig.arena).least, streamMemory(rig.arena).more], [4 * KIB, 28 * KIB]);
  for (const id of ids) assert.is(x.el_stream_free(id), 0);
  assert.equal([streamMemory(rig.arena).least, streamMemory(rig.arena).more], [0, 0]);
});

test('10,000 connections that moved a byte each way fit into 320 MiB, with 16 KiB a ring', () => {
  const rig = new StreamRig({ count: 10_001, bytes: 320 << 20, slots: 16_384 });
  const app = rig.apps.open();
  const x = rig.lane();
  for (let i = 0; i < 10_000; i++) {
    const id = x.el_stream_draft(app.number, MOST, MOST);
    assert.ok(id > 0 && x.el_stream_promise(id, 16 * KIB, 16 * KIB) === 0, `${i} fit`);
    assert.is(rig.deliver(id, Uint8Array.of(i)), 1);
  }
  rig.settle();
  let written = 0;
  const answer = (): number => app.take(end => (written += end.write(Uint8Array.of(1))));
  while (answer() > 0) rig.settle();
  assert.is(written, 10_000);
  const { used } = rig.conserved();
  assert.is(used, 10_000 * 32 * KIB);
  assert.is(streamCounters(rig.arena, 0).small, 0);
});

test('where memory is scarce the promise is of small rings, and only then refused', () => {
  const rig = new StreamRig({ count: 64, bytes: 64 * KIB });
  const x = rig.lane();
  const sizes: number[] = [];
  for (;;) {
    const id = x.el_stream_draft(0, MOST, MOST);
    const would = x.el_stream_rcv_size(id, 16 * KIB);
    const answer = x.el_stream_promise(id, 16 * KIB, 16 * KIB);
    if (answer !== 0) {
      assert.is(answer, ENOBUFS);
      break;
    }
    assert.is(rig.record(id).rcvBytes, would);
    sizes.push(rig.record(id).rcvBytes);
  }
  assert.is(sizes.at(-1), 2 * KIB);
  assert.ok(sizes.length >= 8, `${sizes}`);
  rig.conserved();
});

test('the receive ring doubles while bytes lie in it, and no room is taken back', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { receive: MOST, first: SMALL });
  const x = rig.lane();
  assert.is(rig.deliver(end.id, pattern(0, 10_000)), 10_000);
  assert.is(x.el_stream_rcv_limit(end.id), 16 * KIB);
  assert.is(x.el_stream_widen(end.id, 32 * KIB), 32 * KIB);
  // What is in the old ring takes nothing of the new one.
  assert.is(x.el_stream_rcv_limit(end.id), 10_000 + 32 * KIB);
  assert.is(x.el_stream_unread(end.id), 10_000);
  assert.is(rig.deliver(end.id, pattern(10_000, 20_000)), 20_000);
  // One at a time: the old one is not read yet.
  assert.is(x.el_stream_widen(end.id, 64 * KIB), 32 * KIB);
  assert.is(end.readable, 30_000);
  assert.equal(
    end.readViews().flatMap(v => [...v]),
    [...pattern(0, 30_000)],
  );
  const into = new Uint8Array(30_000);
  assert.is(end.read(into), 30_000);
  assert.equal(into, pattern(0, 30_000));
  assert.is(x.el_stream_widen(end.id, 64 * KIB), 64 * KIB);
  assert.is(streamCounters(rig.arena, 0).grown, 2);
  assert.is(rig.conserved().used, 64 * KIB);
});

test('a send ring grows while its application waits for room, up to what the transport wants', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: 1024 * KIB, first: SMALL });
  const x = rig.lane();
  assert.is(end.room, 0);
  app.flush();
  rig.settle();
  const bytes = pattern(0, 100_000, 1);
  // Nobody wants it larger.
  assert.is(end.write(bytes), 16 * KIB);
  app.flush();
  rig.settle();
  assert.is(end.capacity.send, 16 * KIB);
  assert.equal(rig.drain(end.id, 5000), bytes.subarray(0, 5000));
  x.el_stream_snd_goal(end.id, 60_000);
  let sent = 16 * KIB;
  sent += end.write(bytes.subarray(sent));
  assert.is(sent, 5000 + 16 * KIB);
  // Until it is answered nothing is written, whatever becomes free.
  rig.drain(end.id, 1000);
  assert.equal([end.room, end.write(bytes.subarray(sent))], [0, 0]);
  app.flush();
  rig.settle();
  let told = 0;
  app.take((_, events) => (told |= events));
  assert.ok(told & 2, 'there is room');
  assert.is(end.capacity.send, 16 * KIB, 'not looked at yet');
  sent += end.write(bytes.subarray(sent));
  assert.equal([end.capacity.send, sent], [64 * KIB, 6000 + 64 * KIB]);
  for (let from = 6000; from < sent; from += 1000)
    assert.equal(
      rig.drain(end.id, Math.min(1000, sent - from)),
      bytes.subarray(from, Math.min(from + 1000, sent)),
    );
  assert.is(rig.conserved().used, 64 * KIB);
});

for (const [how, look] of [
  ['room', end => end.room],
  ['views of it', end => end.writeViews().reduce((n, view) => n + view.length, 0)],
] as [string, (end: StreamEnd) => number][])
  test(`who only looks for ${how} has a ring that grows, too`, () => {
    const rig = new StreamRig();
    const app = rig.apps.open();
    const end = rig.apps.stream(app, { send: MOST, first: SMALL });
    end.askRing(0);
    app.flush();
    rig.settle();
    rig.lane().el_stream_snd_goal(end.id, 100_000);
    let sent = 0;
    for (let round = 0; round < 20; round++) {
      for (let n = look(end); n !== 0; n = look(end)) {
        const views = end.writeViews();
        const bytes = Math.min(1000, views[0].length);
        views[0].set(pattern(sent, bytes, 1));
        end.commit(bytes);
        sent += bytes;
        if (views[0].length > bytes) end.writeViews();
      }
      app.flush();
      rig.settle();
      app.take(() => {});
    }
    assert.is(end.capacity.send, 128 * KIB);
    for (let from = 0; from < sent; from += 1000) {
      const n = Math.min(1000, sent - from);
      assert.equal(rig.drain(end.id, n), pattern(from, n, 1));
    }
    rig.conserved();
  });

test('the first send ring takes what there is to be written already', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: MOST, first: SMALL });
  end.askRing(100_000);
  app.flush();
  rig.settle();
  assert.is(end.write(pattern(0, 100_000, 1)), 100_000);
  assert.is(end.capacity.send, 128 * KIB);
  assert.equal(rig.drain(end.id, 1460), pattern(0, 1460, 1));
  rig.conserved();
});

test('who wants more room at once than the ring ever has gets a larger one, whatever the transport could fill', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: MOST, first: SMALL });
  end.askRing(0);
  app.flush();
  rig.settle();
  assert.is(end.write(pattern(0, 1000, 1)), 1000);
  assert.is(end.wantRoom(100_000), false);
  app.flush();
  rig.settle();
  assert.is(end.room, 128 * KIB - 1000);
  assert.is(end.write(pattern(1000, 100_000, 1)), 100_000);
  assert.equal(rig.drain(end.id, 1460), pattern(0, 1460, 1));
  rig.conserved();
});

test(
  'while a ring that did not take over is mended the application reads what it had, between any two stores',
  async () => {
    const rig = new StreamRig();
    const app = rig.apps.open();
    const end = rig.apps.stream(app, { receive: MOST, first: SMALL });
    const unread = pattern(0, 10_000);
    assert.is(rig.deliver(end.id, unread), unread.length);
    // The lane dies when the old ring is noted, and the new one does not stand in its place yet.
    const { at } = rig.record(end.id);
    const place = at + StreamLayout.rcvAt;
    const dying = await steppedCore(rig.arena, 0, (store, address) => {
      if (store && address === place) throw new Error('death');
    });
    assert.throws(() => dying.exports.el_stream_widen(end.id, 32 * KIB), /death/);
    assert.is(rig.record(end.id).rcvOldAt, rig.record(end.id).rcvAt);
    let looks = 0;
    let changed = false;
    const host = await steppedCore(rig.arena, rig.cores.length - 1, (store, address) => {
      // After each store to the record: whoever looks for the first time finds the rings as they stand now.
      if (changed) {
        const now = StreamApp.over(rig.arena, app.number).end(end.id);
        assert.is(Buffer.compare(Buffer.concat(now.readViews()), unread), 0);
        looks++;
      }
      changed = store && address >= at && address < at + StreamLayout.size;
    });
    host.exports.stream_rebuild(0);
    assert.ok(looks > 0, `${looks} looks`);
    assert.equal([rig.record(end.id).rcvOldAt, rig.record(end.id).rcvOldBytes], [0, 0]);
    assert.is(rig.conserved().used, 16 * KIB);
  },
  { timeoutMs: 60_000 },
);

test('views that were given out are not pulled away', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: 1024 * KIB, first: SMALL });
  assert.is(end.room, 0);
  app.flush();
  rig.settle();
  rig.lane().el_stream_snd_goal(end.id, 1024 * KIB);
  const [view] = end.writeViews();
  assert.is(end.wantRoom(100_000), false);
  app.flush();
  rig.settle();
  view.set(pattern(0, view.length, 1));
  end.commit(view.length);
  assert.equal(rig.drain(end.id, 1460), pattern(0, 1460, 1));
});

test('growth leaves memory for others: half of it for first rings, and no step takes more than half of the rest', () => {
  const rig = new StreamRig({ count: 64, bytes: 1024 * KIB });
  const id = rig.open(0, 0, 0);
  rig.lane().el_stream_free(id);
  const app = rig.apps.open();
  const ends = Array.from({ length: 4 }, () =>
    rig.apps.stream(app, { send: 0, receive: MOST, first: SMALL }),
  );
  const nobodys = (): number => {
    const { budget, least, more, reserve } = streamMemory(rig.arena);
    return budget - least - more - reserve;
  };
  const { budget, reserve } = streamMemory(rig.arena);
  const kept = (budget - reserve) / 2;
  for (const end of ends) {
    rig.deliver(end.id, pattern(0, 100));
    for (;;) {
      const had = rig.record(end.id).rcvBytes;
      const free = nobodys();
      end.read(new Uint8Array(100));
      const has = rig.lane().el_stream_widen(end.id, 2 * had);
      if (has === had) {
        assert.ok(2 * had > (free - kept) / 2, `${had} bytes could have grown: ${free} are nobody’s`);
        break;
      }
      assert.ok(has <= (free - kept) / 2, `${has} of ${free} bytes`);
    }
  }
  assert.ok(rig.record(ends[0].id).rcvBytes >= 64 * KIB);
  assert.ok(nobodys() >= kept, `${nobodys()} are left of ${kept}`);
  assert.ok(streamCounters(rig.arena, 0).small > 0);
  for (const end of ends) assert.is(rig.deliver(end.id, pattern(100, 1000)), 1000);
  rig.conserved();
});

test(
  'a lane that dies while it promises rings leaves no stream without one',
  async () => {
    let deaths = 0;
    for (let fuse = 1; ; fuse++) {
      const rig = new StreamRig({ count: 20, bytes: 256 * KIB });
      const id = rig.lane().el_stream_draft(0, 64 * KIB, 64 * KIB);
      rig.lane().el_stream_route(id, 1, 146);
      let left = fuse;
      let died = false;
      rig.cores[0] = await steppedCore(rig.arena, 0, store => {
        if (--left > 0 || !store) return;
        died = true;
        throw new Error('the lane dies');
      });
      try {
        rig.lane().el_stream_promise(id, 16 * KIB, 16 * KIB);
      } catch (error) {
        if (!died) throw error;
      }
      if (!died) break;
      deaths++;
      rig.cores[0] = await steppedCore(rig.arena, 0, () => {});
      mendStreams(rig.arena, 0);
      assert.is(rig.lane().el_stream_promise(id, 16 * KIB, 16 * KIB), 0);
      const { sndBytes, rcvBytes } = rig.record(id);
      assert.equal([sndBytes > 0, rcvBytes > 0], [true, true], `death at ${fuse}: ${sndBytes}, ${rcvBytes}`);
    }
    assert.ok(deaths > 5, `${deaths} deaths`);
  },
  { timeoutMs: 60_000 },
);

test(
  'every byte once and in order, whatever the application does between any two accesses of the lane',
  async () => {
    let largest = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const g = await Growing.create(seed);
      for (let i = 0; i < 600; i++) {
        if (i % 3) g.interrupted(1 + ((seed * 7) % 40));
        else g.application();
      }
      const { received, sent, send, receive } = g.finish();
      assert.ok(received > 10_000 && sent > 10_000, `seed ${seed}: ${received} received, ${sent} sent`);
      largest = Math.max(largest, Math.min(send, receive));
    }
    assert.ok(largest >= 64 * KIB, `${largest}`);
  },
  { timeoutMs: 60_000 },
);

test(
  'every byte once and in order, and no memory lost, though the lane dies before any of its stores',
  async () => {
    let deaths = 0;
    for (let seed = 1; seed <= 8; seed++) {
      const g = await Growing.create(seed, seed % 2 ? 4096 * KIB : 400 * KIB);
      for (let i = 0; i < 400; i++) {
        if (i % 3 === 0) await g.dying(1 + ((i * 7919 + seed * 104_729) % 300));
        else if (i % 3 === 1) g.lane();
        else g.application();
      }
      deaths += g.deaths;
      g.finish();
    }
    assert.ok(deaths > 200, `${deaths} deaths`);
  },
  { timeoutMs: 60_000 },
);
