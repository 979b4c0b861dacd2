/** Applications in the thread of a lane, and the copies that short messages take. */
import { StreamEvent } from '../../host/layout/layout.gen.js';
import { StreamApp } from '../../host/streams/stream_app.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { assert, suite } from '../support/suite.js';
import { KIB, pattern, StreamRig } from './rig.js';

const test = suite('stream: seated');
const RING = 2 * KIB;

/** Streams of both lanes, of an application that sits in lane `seat`. */
function seated(seat: number) {
  const rig = new StreamRig({ lanes: 2, slots: 8 });
  const { number } = rig.apps.open();
  const app = StreamApp.seated(rig.arena, number, seat);
  const ends = [0, 1].map(lane => app.end(rig.apps.openId(number, { send: RING, receive: RING, lane })));
  for (const end of ends) end.room;
  app.flush();
  for (const lane of [0, 1]) rig.lane(lane).stream_turn();
  app.take(() => {});
  return { rig, app, ends };
}

/** Gives `bytes` to the stream's application, from its lane. */
function deliver(rig: StreamRig, { id, lane }: StreamEnd, bytes: Uint8Array): void {
  assert.is(rig.deliver(id, bytes, lane), bytes.length);
  rig.lane(lane).stream_turn();
}

for (const seat of [0, 1])
  test(`in lane ${seat}: messages of every length around both rings, with its own lane and the other`, () => {
    const { rig, app, ends } = seated(seat);
    const into = new Uint8Array(200);
    for (const end of ends) {
      let at = 0;
      // Three times around rings of 2 KiB, at every offset of a word.
      for (let n = 1; at < 3 * RING; n = n === 150 ? 1 : n + 1) {
        const bytes = pattern(at, n);
        deliver(rig, end, bytes);
        const told: number[] = [];
        const taken = app.take((e, events) => {
          told.push(events);
          assert.is(e, end);
          assert.is(e.read(into), n);
          assert.equal(into.subarray(0, n), bytes);
          assert.is(e.read(into), 0);
          // The same bytes as last time, and others: a view that is kept must not be of those.
          assert.is(e.write(n % 3 ? bytes : into.subarray(0, n)), n);
        });
        assert.is(taken, 1);
        assert.equal(told, [StreamEvent.IN]);
        assert.is(rig.lane(end.lane).stream_turn(), 1, 'its doorbell');
        assert.equal(rig.drain(end.id, n, end.lane), bytes);
        assert.is(rig.lane(end.lane).el_stream_rcv_limit(end.id), at + n + RING);
        at += n;
      }
    }
    assert.is(
      app.take(() => assert.unreachable('nothing more happened')),
      0,
    );
  });

test('a stream of its own lane rings once, until the lane has heard it', () => {
  const { rig, app, ends } = seated(0);
  const [end] = ends;
  for (let round = 0; round < 20; round++) {
    for (let k = 0; k < 3; k++) assert.is(end.write(pattern(k, 8)), 8);
    app.flush();
    assert.is(rig.lane(0).stream_turn(), 1);
    assert.is(rig.lane(0).stream_turn(), 0);
    rig.drain(end.id, 24, 0);
  }
});

test('one that finds the ring of doorbells full is found by the look through the streams', () => {
  const { rig, app, ends } = seated(0);
  const [end] = ends;
  // What made its ring has left it in the ready list.
  Object.assign(rig.arena.lane(0), { readyHead: 0, readyTail: 0, readyCount: 0 });
  rig.record(end.id).ready = 0;
  // Of nobody: they stand before it.
  while (app.door(0, 0, 0));
  assert.is(end.write(pattern(0, 8)), 8);
  app.flush();
  for (let k = 0; k < 100 && rig.lane(0).stream_turn() > 0; k++);
  assert.is(rig.arena.lane(0).readyCount, 1);
});

test('a message from a buffer that is used again and again is what it holds by then', () => {
  const { rig, ends } = seated(0);
  const message = new Uint8Array(64);
  for (const end of ends)
    for (let i = 0; i < 8; i++) {
      message.set(pattern(64 * i, 64));
      assert.is(end.write(message), 64);
      assert.equal(rig.drain(end.id, 64, end.lane), message);
    }
});

test('a part of a buffer is its own: bytes beside it are neither read nor written', () => {
  const { rig, app, ends } = seated(0);
  const [end] = ends;
  const all = new Uint8Array(96);
  const part = all.subarray(16, 80);
  for (let i = 0; i < 4; i++) {
    all.fill(0xee);
    deliver(rig, end, pattern(64 * i, 64));
    app.take(e => assert.is(e.read(part), 64));
    assert.equal(part, pattern(64 * i, 64));
    assert.ok([...all.subarray(0, 16), ...all.subarray(80)].every(b => b === 0xee));
  }
});
