/** How far application and transport have got, and what each is told of the other. */
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { assert, suite } from '../support/suite.js';
import { EINVAL, KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: positions');

function opened(send = 4 * KIB, receive = 4 * KIB) {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send, receive });
  return { rig, app, end, id: end.id, x: rig.lane() };
}

/** Events by stream, taken now. */
function events(app: StreamApp): Map<number, number> {
  const got = new Map<number, number>();
  app.take((s, e) => got.set(s.id, (got.get(s.id) ?? 0) | e));
  return got;
}

test('the send ring is made when the application first writes, which is told by OUT', () => {
  const { rig, app, end, id, x } = opened();
  assert.is(end.room, 0);
  app.flush();
  rig.turn();
  assert.is(events(app).get(id), StreamEvent.OUT);
  assert.is(end.room, 4 * KIB);
  assert.is(x.el_stream_requests(id), 0, 'the transport is not asked for a ring');
});

test('a stream without rings takes and gives nothing', () => {
  const { rig, app, end, id, x } = opened(0, 0);
  assert.is(end.write(pattern(0, 1)), 0);
  app.flush();
  rig.turn();
  assert.equal([end.room, end.readable, x.el_stream_snd_end(id), x.el_stream_rcv_limit(id)], [0, 0, 0, 0]);
  rig.packet(pattern(0, 10));
  assert.is(x.el_stream_place(rig.ctx, 0, id, 0, 1), EINVAL);
  assert.is(x.el_stream_received(id, 1), EINVAL);
});

test('a write rings once, makes the stream ready, and the transport sees its end', () => {
  const { rig, app, end, id, x } = opened();
  end.write(pattern(0, 1));
  app.flush();
  rig.turn();
  rig.lane().loop_run(1, 0);
  assert.is(rig.arena.lane(0).readyCount, 0);
  for (let i = 0; i < 10; i++) end.write(pattern(i * 10, 10));
  assert.is(x.stream_turn(), 0, 'nothing before flush');
  app.flush();
  assert.is(x.stream_turn(), 1, 'one doorbell');
  assert.is(rig.arena.lane(0).readyCount, 1);
  assert.is(x.el_stream_snd_end(id), 100);
});

test('bytes are acknowledged only when they were written; an older position changes nothing', () => {
  const { rig, app, end, id, x } = opened();
  end.room;
  app.flush();
  rig.turn();
  end.write(pattern(0, 100));
  assert.is(x.el_stream_acked(id, 101), EINVAL);
  assert.is(x.el_stream_acked(id, 60), 0);
  assert.is(x.el_stream_acked(id, 59), 0, 'no news');
  assert.is(x.el_stream_acked(id, 60), 0);
  assert.is(end.unacknowledged, 40);
  assert.is(end.room, 4 * KIB - 40);
});

test('a full send ring says OUT when half of it is free, once', () => {
  const { rig, app, end, id, x } = opened();
  end.room;
  app.flush();
  rig.turn();
  events(app);
  assert.is(end.write(pattern(0, 8000)), 4 * KIB);
  x.el_stream_acked(id, 2047);
  rig.turn();
  assert.is(events(app).size, 0);
  x.el_stream_acked(id, 2048);
  rig.turn();
  assert.is(events(app).get(id), StreamEvent.OUT);
  x.el_stream_acked(id, 4096);
  rig.turn();
  assert.is(events(app).size, 0);
  assert.is(end.wantRoom(4096), true, 'it is free now');
});

test('room that comes between a full ring and the wish for more is used at once: no event tells of it', () => {
  const { rig, app, end, id, x } = opened();
  end.room;
  app.flush();
  rig.turn();
  events(app);
  const { store } = Atomics;
  let acked = 0;
  // The lane acknowledges just before the wish is written.
  Atomics.store = ((words: Int32Array, index: number, value: number) => {
    if (value === 2 * KIB && acked++ === 0) x.el_stream_acked(id, 3 * KIB);
    return store(words, index, value);
  }) as typeof Atomics.store;
  try {
    assert.is(end.write(pattern(0, 6 * KIB)), 6 * KIB);
  } finally {
    Atomics.store = store;
  }
  rig.turn();
  assert.is(acked, 1);
  assert.is(events(app).size, 0);
});

test('the receive window is the room behind what the application has not read', () => {
  const { rig, end, id, x } = opened();
  assert.is(x.el_stream_rcv_limit(id), 4 * KIB);
  assert.is(rig.deliver(id, pattern(0, 1000)), 1000);
  assert.is(x.el_stream_rcv_limit(id), 4 * KIB);
  end.read(new Uint8Array(300));
  assert.is(x.el_stream_rcv_limit(id), 4 * KIB + 300);
  assert.is(x.el_stream_received(id, 4 * KIB + 301), EINVAL);
  assert.is(x.el_stream_received(id, 999), 0, 'no news');
  assert.is(rig.record(id).rcvEnd, 1000);
});

test('reading rings when the window could open by a quarter', () => {
  const { rig, app, end, id, x } = opened();
  rig.deliver(id, pattern(0, 1460));
  rig.deliver(id, pattern(1460, 1460));
  rig.settle();
  x.el_stream_rcv_limit(id);
  const into = new Uint8Array(512);
  end.read(into);
  app.flush();
  assert.is(x.stream_turn(), 0);
  end.read(into);
  app.flush();
  assert.is(x.stream_turn(), 1);
  x.el_stream_rcv_limit(id);
  end.read(into);
  app.flush();
  assert.is(x.stream_turn(), 0, 'the transport has seen it');
});

test('cursors that cannot be count as nothing written and no room', () => {
  const { rig, app, end, id, x } = opened();
  end.room;
  app.flush();
  rig.turn();
  end.write(pattern(0, 50));
  rig.deliver(id, pattern(0, 50));
  const record = rig.record(id);
  for (const bad of [4097, 0x80000000, 0xffffffff]) {
    record.sndEnd = bad;
    assert.is(x.el_stream_snd_end(id), 0, `sndEnd ${bad}`);
    record.rcvRead = (50 - bad) >>> 0;
    assert.is(x.el_stream_rcv_limit(id), 50, `rcvRead ${bad} behind`);
  }
});

test('requests are fetched once, and the core’s own bits never', () => {
  const { rig, app, end, id, x } = opened();
  end.request(StreamRequest.CONNECT | StreamRequest.OPTIONS);
  end.room;
  app.flush();
  assert.is(x.el_stream_requests(id), StreamRequest.CONNECT | StreamRequest.OPTIONS);
  assert.is(x.el_stream_requests(id), 0);
  rig.turn();
  end.request(0xffffffff);
  app.flush();
  rig.turn();
  assert.is(x.el_stream_requests(id), StreamRequest.MASK);
});

test('events of one round are one event, with all bits', () => {
  const { rig, app, id, x } = opened();
  x.el_stream_event(id, StreamEvent.CONNECTED);
  x.el_stream_event(id, StreamEvent.OUT);
  rig.deliver(id, pattern(0, 5));
  assert.is(
    app.take(() => assert.unreachable('nothing before the end of the round')),
    0,
  );
  rig.turn();
  const all = StreamEvent.CONNECTED | StreamEvent.OUT | StreamEvent.IN;
  let calls = 0;
  assert.is(
    app.take((s, e) => {
      calls++;
      assert.equal([s.id, e], [id, all]);
    }),
    1,
  );
  assert.is(calls, 1);
  x.el_stream_event(id, 0xffffffff);
  rig.turn();
  assert.is(events(app).get(id), StreamEvent.MASK, 'FREED is not the transport’s to say');
});
