/** Stream memory: every byte in one place, whatever is opened, freed, and wherever a lane dies. */
import fc from 'fast-check';
import { MAX_APPS, StreamFlag, StreamLaneLayout, StreamPoolLayout } from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { mendStreams, planStreams } from '../../host/mem/streams.js';
import { streamCounters } from '../../host/streams/stream_apps.js';
import { assert, suite } from '../support/suite.js';
import { KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: memory');

test('any order of opening, using and freeing conserves memory, in two lanes', () => {
  const steps = fc.array(
    fc.record({
      lane: fc.nat(1),
      open: fc.boolean(),
      bytes: fc.constantFrom(1, 2048, 5000, 16_384, 65_536, 262_144),
      pick: fc.nat(1000),
    }),
    { minLength: 20, maxLength: 200 },
  );
  fc.assert(
    fc.property(steps, fc.constantFrom(64 * KIB, 100 * KIB, 1024 * KIB), (all, bytes) => {
      const rig = new StreamRig({ count: 40, bytes, lanes: 2 });
      const open: { id: number; lane: number }[] = [];
      for (const s of all) {
        const x = rig.lane(s.lane);
        if (s.open) {
          const id = x.el_stream_open(0, 0, s.bytes);
          if (id < 0) continue;
          open.push({ id, lane: s.lane });
          rig.packet(pattern(0, 8));
          x.el_stream_place(rig.ctx, 0, id, 0, 8);
        } else if (open.length) {
          const [gone] = open.splice(s.pick % open.length, 1);
          assert.is(rig.lane(gone.lane).el_stream_free(gone.id), 0);
        }
      }
      assert.is(rig.conserved().open, open.length);
      for (const s of open) rig.lane(s.lane).el_stream_free(s.id);
      assert.is(rig.conserved().used, 0);
      mendStreams(rig.arena, 0xffffffff);
      const mended = rig.conserved();
      assert.equal([mended.free, mended.cached], [mended.total, 0]);
    }),
    { numRuns: 60 },
  );
});

test('pieces that came back are one large piece again', () => {
  const rig = new StreamRig({ count: 600, bytes: 1024 * KIB });
  const small = Array.from({ length: 512 }, () => rig.open(0, 0, 2 * KIB));
  for (const id of small) rig.deliver(id, pattern(0, 1));
  assert.is(rig.conserved().used, 1024 * KIB);
  for (const id of small) rig.lane().el_stream_free(id);
  // Half of all is kept for the least rings of others, and half of the rest for their larger ones.
  const large = rig.open(0, 0, 1024 * KIB);
  assert.is(rig.deliver(large, pattern(0, 100)), 100);
  assert.equal([rig.record(large).rcvBytes, rig.conserved().used], [256 * KIB, 256 * KIB]);
});

test('in memory of small pieces a ring is made as large as a piece, and no stream is without', () => {
  const rig = new StreamRig({ count: 600, bytes: 1024 * KIB });
  const small = Array.from({ length: 512 }, () => rig.open(0, 0, 2 * KIB));
  for (const id of small) rig.deliver(id, pattern(0, 1));
  // Every second piece comes back: its neighbours stay.
  const odd = small.filter(id => ((rig.record(id).rcvAt - rig.pool.memoryAt) / (2 * KIB)) & 1);
  for (const id of odd) rig.lane().el_stream_free(id);
  const ids = Array.from({ length: 256 }, () => {
    const id = rig.open(0, 0, 8 * KIB);
    assert.is(rig.deliver(id, pattern(0, 100)), 100);
    return id;
  });
  assert.is(rig.conserved().used, 1024 * KIB);
  for (const id of ids) assert.is(rig.record(id).rcvBytes, 2 * KIB);
});

test('what lanes keep for themselves was promised to nobody', () => {
  const rig = new StreamRig({ count: 4000, bytes: 4096 * KIB, lanes: 4 });
  const all = (lane: number): number[] => {
    const ids: number[] = [];
    for (;;) {
      const id = rig.lane(lane).el_stream_open(0, 2 * KIB, 2 * KIB);
      if (id < 0) return ids;
      ids.push(id);
    }
  };
  for (const lane of [0, 1, 2, 3]) {
    const ids = all(lane);
    assert.ok(ids.length > 800, `lane ${lane}: ${ids.length} streams`);
    for (const id of ids) assert.is(rig.deliver(id, pattern(0, 10), lane), 10);
    for (const id of ids) rig.lane(lane).el_stream_free(id);
    rig.conserved();
  }
});

test('a ring begins at a multiple of its size from the start of stream memory', () => {
  const rig = new StreamRig({ bytes: 4096 * KIB });
  for (const bytes of [2, 8, 2, 64, 4, 128, 16]) {
    const id = rig.open(0, 0, bytes * KIB);
    rig.deliver(id, pattern(0, 1));
    assert.is((rig.record(id).rcvAt - rig.pool.memoryAt) % (bytes * KIB), 0);
  }
});

test('an application whose send ring found no memory gets it when some came back, from another lane, too', () => {
  const rig = new StreamRig({ lanes: 2 });
  const app = rig.apps.open();
  const other = rig.open(0, 0, 64 * KIB, 1);
  rig.deliver(other, pattern(0, 1), 1);
  const end = rig.apps.stream(app, { send: 32 * KIB });
  // A lane died in the lists.
  rig.pool.dirty = 1;
  assert.is(end.room, 0);
  app.flush();
  rig.settle();
  rig.settle();
  assert.is(end.room, 0);
  assert.is(streamCounters(rig.arena, 0).noMemory, 1);
  rig.pool.dirty = 0;
  rig.lane(1).el_stream_free(other);
  rig.settle();
  assert.is(end.room, 32 * KIB);
});

test('a lane that dies between any two stores loses nothing', () => {
  const rig = new StreamRig({ count: 100, bytes: 256 * KIB, lanes: 2 });
  const ids = Array.from({ length: 60 }, (_, i) => rig.open(0, 0, 4 * KIB, i & 1));
  for (const [i, id] of ids.entries()) rig.lane(i & 1).el_stream_route(id, 1, 146);
  for (const [i, id] of ids.entries()) if (i % 3) rig.deliver(id, pattern(i, 100, i), i & 1);
  for (let i = 0; i < 20; i++) rig.lane(i & 1).el_stream_free(ids[i]);
  // In the middle of the lists, with the lock, a record half free, a batch in no list.
  const pool = rig.pool;
  pool.dirty = 1;
  pool.lock = 0x0101;
  rig.arena.u32[(rig.arena.header.streamPoolAt + StreamPoolLayout.free) >> 2] = 0xdead;
  rig.arena.u32[(pool.lanesAt + StreamLaneLayout.freeHead) >> 2] = 0;
  rig.record(ids[30]).flags = 0;
  rig.record(ids[32]).flags = StreamFlag.LINKED;
  const before = rig.record(ids[30]).generation;
  mendStreams(rig.arena, 0);
  const ledger = rig.conserved();
  assert.is(ledger.open, 38);
  assert.is(rig.record(ids[30]).generation, before + 1);
  // What the others received is still theirs, and the pool works.
  for (let i = 20; i < 60; i++)
    if (i % 3 && i !== 30 && i !== 32)
      assert.equal(
        rig.arena.u8.slice(rig.record(ids[i]).rcvAt, rig.record(ids[i]).rcvAt + 100),
        pattern(i, 100, i),
      );
  for (let i = 20; i < 60; i++)
    if (i !== 30 && i !== 32) assert.is(rig.lane(i & 1).el_stream_free(ids[i]), 0);
  const all = [0, 1].flatMap(lane => {
    const got: number[] = [];
    for (let id = rig.lane(lane).el_stream_open(0, 0, 0); id > 0; id = rig.lane(lane).el_stream_open(0, 0, 0))
      got.push(id);
    return got;
  });
  assert.equal([all.length, new Set(all).size], [99, 99]);
  rig.conserved();
});

test('while the lists of a dead lane are not mended there is no memory, and none is lost', () => {
  const rig = new StreamRig({ bytes: 64 * KIB });
  const a = rig.open(0, 0, 32 * KIB);
  rig.deliver(a, pattern(0, 1));
  const b = rig.open(0, 0, 32 * KIB);
  rig.pool.dirty = 1;
  rig.packet(pattern(0, 4));
  assert.ok(rig.lane().el_stream_place(rig.ctx, 0, b, 0, 4) < 0);
  rig.lane().el_stream_free(a);
  mendStreams(rig.arena, 0xffffffff);
  assert.is(rig.conserved().used, 0);
  assert.ok(rig.lane().el_stream_place(rig.ctx, 0, b, 0, 4) >= 0);
});

test('100,000 streams fit, at 128 B a record', () => {
  const plan = planStreams({ count: 100_001, bytes: 16 << 20 }, 2);
  assert.ok(plan.size - (16 << 20) < 100_001 * 128 + (1 << 20), `${plan.size}`);
  const rig = new StreamRig({ count: 100_001, bytes: 16 << 20 });
  const ids = Array.from({ length: 100_000 }, () => rig.open(0, 0, 0));
  assert.is(rig.lane().el_stream_open(0, 0, 0), -12);
  for (const id of ids) rig.lane().el_stream_free(id);
  assert.is(rig.conserved().freeIds, 100_000);
});

test('sizes that cannot be are refused with a code', () => {
  for (const streams of [
    { count: 1, bytes: 4096 },
    { count: 2 ** 24 + 1, bytes: 4096 },
    { count: 16, bytes: 100 },
    { count: 16, bytes: 4096, apps: MAX_APPS + 1 },
    { count: 16, bytes: 4096, slots: 3 },
    { count: 16.5, bytes: 4096 },
  ])
    assert.throws(
      () => Arena.create({ frames: 16, streams }),
      (e: { code: string }) => e.code === 'ERR_ARENA_OPTIONS',
      JSON.stringify(streams),
    );
});
