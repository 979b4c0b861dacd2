/** Opening and closing streams: numbers, errors, who must let go before memory is used again. */
import { StreamEvent, StreamFlag, StreamRequest } from '../../host/layout/layout.gen.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { assert, suite } from '../support/suite.js';
import { EINVAL, ENOENT, ENOMEM, KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: life');

test('numbers begin with 1, and each is given to one stream', () => {
  const rig = new StreamRig({ count: 200 });
  const ids = Array.from({ length: 199 }, () => rig.open());
  assert.is(ids[0], 1);
  assert.is(new Set(ids).size, 199);
  assert.is(rig.lane().el_stream_open(0, 0, 0), ENOMEM, 'all are open');
  for (const id of ids) assert.is(rig.lane().el_stream_free(id), 0);
  assert.is(rig.conserved().freeIds, 199);
});

test('a number that another lane gave back can be opened', () => {
  const rig = new StreamRig({ count: 300, lanes: 2 });
  const ids = Array.from({ length: 299 }, () => rig.open(0, 0, 0, 0));
  for (const id of ids) rig.lane(0).el_stream_free(id);
  // Lane 0 keeps a batch in use and a spare, of 12 each.
  const again = Array.from({ length: 299 - 24 }, () => rig.open(0, 0, 0, 1));
  assert.is(new Set(again).size, again.length);
  rig.conserved();
});

test('sizes are rounded up to a power of two from 2 KiB to 16 MiB; 0 is no ring; more is refused', () => {
  const rig = new StreamRig({ bytes: 128 << 20 });
  const sizes = (snd: number, rcv: number) => {
    const r = rig.record(rig.open(0, snd, rcv));
    return [r.sndBytes, r.rcvBytes];
  };
  assert.equal(sizes(1, 0), [2048, 0]);
  assert.equal(sizes(2048, 2049), [2048, 4096]);
  assert.equal(sizes(65_000, 16 << 20), [65_536, 16 << 20]);
  assert.is(rig.lane().el_stream_open(0, (16 << 20) + 1, 0), EINVAL);
  assert.is(rig.lane().el_stream_open(0, 0, 0xffffffff), EINVAL);
});

test('a stream for an application that is not open is refused', () => {
  const rig = new StreamRig();
  for (const app of [1, 4, 5, 64, 0xffffffff])
    assert.is(rig.lane().el_stream_open(app, 0, 0), EINVAL, `${app}`);
  const app = rig.apps.open();
  assert.ok(rig.lane().el_stream_open(app.number, 0, 0) > 0);
});

test('a stream has no memory before its rings are used, and none after it is freed', () => {
  const rig = new StreamRig();
  const id = rig.open();
  assert.is(rig.conserved().used, 0);
  rig.deliver(id, pattern(0, 10));
  assert.is(rig.conserved().used, 4 * KIB);
  assert.is(rig.lane().el_stream_free(id), 0);
  const after = rig.conserved();
  assert.equal([after.used, after.open], [0, 0]);
});

test('kfuncs refuse what is no open stream of this lane', () => {
  const rig = new StreamRig({ lanes: 2 });
  const other = rig.open(0, 4 * KIB, 4 * KIB, 1);
  const freed = rig.open();
  rig.lane().el_stream_free(freed);
  const x = rig.lane(0);
  for (const id of [0, other, freed, 63, 64, 65, 0x7fffffff, 0xffffffff, 0x01000000]) {
    assert.is(x.el_stream_free(id), ENOENT, `free ${id}`);
    assert.is(x.el_stream_route(id, 1, 1), ENOENT);
    assert.is(x.el_stream_fetch(rig.ctx, 0, id, 0, 0), ENOENT);
    assert.is(x.el_stream_place(rig.ctx, 0, id, 0, 0), ENOENT);
    assert.is(x.el_stream_acked(id, 0), ENOENT);
    assert.is(x.el_stream_received(id, 0), ENOENT);
    assert.is(x.el_stream_event(id, 1), ENOENT);
    assert.is(x.el_stream_snd_end(id), 0);
    assert.is(x.el_stream_rcv_limit(id), 0);
    assert.is(x.el_stream_requests(id), 0);
  }
  assert.is(rig.lane(1).el_stream_free(other), 0);
});

test('an engine without streams has none to open', () => {
  const rig = new StreamRig();
  rig.arena.header.streamPoolAt = 0;
  assert.is(rig.lane().el_stream_open(0, 0, 0), ENOMEM);
  assert.is(rig.lane().stream_turn(), 0);
  assert.throws(
    () => takeStreamLedger(rig.arena),
    (e: { code: string }) => e.code === 'ERR_STREAMS_NONE',
  );
});

test('a route is a port that can be, and GEN finds it in the record', () => {
  const rig = new StreamRig();
  const id = rig.open();
  assert.is(rig.lane().el_stream_route(id, 3, 6), 0);
  assert.equal([rig.record(id).ifindex, rig.record(id).transport], [3, 6]);
  assert.is(rig.lane().el_stream_route(id, 256, 6), EINVAL);
  assert.is(rig.record(id).ifindex, 3);
});

test('a stream that its application knows of stays readable until it lets go', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const id = rig.open(app.number);
  rig.deliver(id, pattern(0, 100));
  rig.turn();
  let end: ReturnType<typeof app.end> | undefined;
  app.take((s, events) => {
    assert.is(events, StreamEvent.IN);
    end = s;
  });
  rig.lane().el_stream_free(id);
  rig.turn();
  assert.is(rig.record(id).flags, StreamFlag.CLOSED);
  assert.is(
    rig.lane().el_stream_event(id, StreamEvent.IN),
    ENOENT,
    'the transport has no such stream any more',
  );
  const told: number[] = [];
  app.take((_, events) => told.push(events));
  assert.equal(told, [StreamEvent.FREED]);
  assert.ok(end!.finished);
  const got = new Uint8Array(100);
  assert.is(end!.read(got), 100);
  assert.equal(got, pattern(0, 100));
  const before = rig.conserved();
  assert.equal([before.closed, before.used], [1, 4 * KIB]);
  end!.release();
  app.flush();
  rig.turn();
  const after = rig.conserved();
  assert.equal([after.closed, after.used, app.size], [0, 0, 0]);
});

test('a stream that its application let go of ends with its transport', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app);
  end.request(StreamRequest.CLOSE);
  end.release();
  app.flush();
  rig.turn();
  assert.is(rig.lane().el_stream_requests(end.id), StreamRequest.CLOSE);
  assert.is(rig.conserved().open, 1, 'bytes may still be on their way to the peer');
  rig.lane().el_stream_free(end.id);
  assert.is(rig.conserved().open, 0);
  assert.is(end.write(pattern(0, 3)), 0);
  assert.is(end.read(new Uint8Array(3)), 0);
  assert.equal(end.readViews(), []);
});

test('a stream of which nobody was told ends with its transport', () => {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const id = rig.open(app.number);
  rig.lane().el_stream_free(id);
  assert.equal([rig.conserved().open, rig.conserved().closed], [0, 0]);
});

test('the host opens streams of a lane for an application', () => {
  const rig = new StreamRig({ lanes: 2 });
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { lane: 1, send: 2 * KIB, receive: 8 * KIB });
  assert.is(end.lane, 1);
  assert.equal(end.capacity, { send: 2 * KIB, receive: 8 * KIB });
  assert.is(rig.lane(1).el_stream_route(end.id, 1, 6), 0);
  assert.is(rig.lane(0).el_stream_route(end.id, 1, 6), ENOENT);
  for (const bad of [{ lane: 2 }, { lane: -1 }, { send: 1 << 25 }])
    assert.throws(
      () => rig.apps.stream(app, bad),
      (e: { code: string }) => e.code === 'ERR_STREAM_OPEN',
    );
});

test('a number freed while its stream is in the ready list is not given out before it left it', () => {
  const rig = new StreamRig({ count: 3 });
  const first = rig.open();
  const second = rig.open();
  assert.is(rig.lane().el_ready(first), 0);
  rig.lane().el_stream_free(first);
  assert.is(rig.lane().el_stream_open(0, 0, 0), ENOMEM);
  rig.lane().el_stream_free(second);
  assert.is(rig.open(), second);
  // The loop takes it off the list.
  rig.lane().loop_run(1, 0);
  assert.is(rig.open(), first);
});

test('what a lane opened and had not routed when it died is free; others, and what an application opened, stay', () => {
  const rig = new StreamRig({ lanes: 2 });
  const [x, host] = [rig.lane(), rig.lane(2)];
  const app = rig.apps.open();
  const half = [x.el_stream_draft(app.number, 4 * KIB, 4 * KIB), rig.open(app.number), rig.open()];
  const routed = rig.open(app.number);
  assert.is(x.el_stream_route(routed, 1, 146), 0);
  const told = rig.apps.stream(app, { send: 4 * KIB }).id;
  const elsewhere = rig.open(0, 4 * KIB, 4 * KIB, 1);
  host.stream_rebuild(0);
  const isOpen = (id: number): boolean => (rig.record(id).flags & StreamFlag.OPEN) !== 0;
  assert.equal([...half, routed, told, elsewhere].map(isOpen), [false, false, false, true, true, true]);
  const { open, freeIds } = rig.conserved();
  assert.equal([open, freeIds], [3, 60]);
});
