/** Bytes between packets and rings: right bytes, right sums, and nothing else is touched whatever the arguments. */
import fc from 'fast-check';
import { streamCounters } from '../../host/streams/stream_apps.js';
import { StreamEnd } from '../../host/streams/stream_end.js';
import { assert, suite } from '../support/suite.js';
import { EFAULT, EINVAL, ENOBUFS, KIB, pattern, plainSum, StreamRig, sameSum } from './rig.js';

const test = suite('stream: bytes');

/** A stream of an application with its rings, and positions moved on by `skip`. */
function opened(skip = 0, bytes = 2 * KIB) {
  const rig = new StreamRig();
  const app = rig.apps.open();
  const end = rig.apps.stream(app, { send: bytes, receive: bytes });
  assert.is(end.write(Uint8Array.of(1)), 0, 'the ring is made first');
  app.flush();
  rig.turn();
  for (let left = skip; left > 0; ) {
    const piece = pattern(0, Math.min(left, bytes));
    assert.is(end.write(piece), piece.length);
    for (let got = 0; got < piece.length; ) got += rig.drain(end.id, 1024).length;
    for (let at = 0; at < piece.length; at += 1024) rig.deliver(end.id, piece.subarray(at, at + 1024));
    assert.is(end.read(new Uint8Array(piece.length)), piece.length);
    left -= piece.length;
  }
  return { rig, app, end, id: end.id };
}

test('fetch copies what the application wrote and sums it, across the end of the ring, too', () => {
  fc.assert(
    fc.property(fc.nat(4095), fc.integer({ min: 0, max: 1600 }), fc.nat(60), (skip, n, off) => {
      const { rig, end, id } = opened(skip);
      const bytes = pattern(skip, n, 3);
      assert.is(end.write(bytes), n);
      rig.packet(new Uint8Array(off + n + 7).fill(0xee));
      const sum = rig.lane().el_stream_fetch(rig.ctx, off, id, skip, n);
      assert.ok(sameSum(sum, plainSum(bytes)), `sum ${sum}`);
      const got = rig.bytes;
      assert.equal(got.subarray(off, off + n), bytes);
      assert.ok(got.subarray(0, off).every(b => b === 0xee) && got.subarray(off + n).every(b => b === 0xee));
    }),
    { numRuns: 150 },
  );
});

test('place copies the packet to its position and sums it, across the end of the ring, too', () => {
  fc.assert(
    fc.property(fc.nat(4095), fc.integer({ min: 1, max: 1600 }), fc.nat(60), (skip, n, off) => {
      const { rig, end, id } = opened(skip);
      const bytes = pattern(skip, n, 5);
      const packet = new Uint8Array(off + n);
      packet.set(bytes, off);
      rig.packet(packet);
      const sum = rig.lane().el_stream_place(rig.ctx, off, id, skip, n);
      assert.ok(sameSum(sum, plainSum(bytes)), `sum ${sum}`);
      assert.is(rig.lane().el_stream_received(id, skip + n), 0);
      const got = new Uint8Array(n);
      assert.is(end.read(got), n);
      assert.equal(got, bytes);
    }),
    { numRuns: 150 },
  );
});

test('the sum of a packet is that of RFC 1071, at any offset and length', () => {
  const rig = new StreamRig();
  const packet = pattern(11, 1514);
  rig.packet(packet);
  for (let off = 0; off < 40; off++)
    for (const n of [0, 1, 2, 3, 7, 15, 16, 63, 64, 65, 127, 1000, 1474]) {
      const sum = rig.lane().el_packet_sum(rig.ctx, off, n);
      assert.ok(sameSum(sum, plainSum(packet.subarray(off, off + n))), `${off}+${n}`);
    }
  for (const [off, n] of [
    [0, 1515],
    [1514, 1],
    [0xffffffff, 1],
    [1, 0xffffffff],
    [0x10000, 0],
  ])
    assert.is(rig.lane().el_packet_sum(rig.ctx, off, n), EFAULT, `${off}+${n}`);
});

test('out of order: what is placed ahead is there when the hole is filled', () => {
  const { rig, end, id } = opened(2000);
  const all = pattern(2000, 1500);
  const put = (from: number, to: number): void => {
    rig.packet(all.subarray(from, to));
    assert.ok(rig.lane().el_stream_place(rig.ctx, 0, id, 2000 + from, to - from) >= 0);
  };
  put(1000, 1500);
  put(400, 700);
  assert.is(end.readable, 0);
  put(700, 1000);
  put(0, 400);
  rig.lane().el_stream_received(id, 3500);
  const got = new Uint8Array(2000);
  assert.is(end.read(got), 1500);
  assert.equal(got.subarray(0, 1500), all);
});

test('ranges outside of what was written, or of the room, are refused', () => {
  const { rig, end, id } = opened(100);
  const x = rig.lane();
  end.write(pattern(100, 50));
  rig.packet(new Uint8Array(1600));
  const fetch = (pos: number, n: number) => x.el_stream_fetch(rig.ctx, 0, id, pos, n);
  assert.ok(fetch(100, 50) >= 0);
  assert.is(fetch(100, 51), EINVAL, 'behind what was written');
  assert.is(fetch(99, 1), EINVAL, 'acknowledged');
  assert.is(fetch(150, 1), EINVAL);
  assert.is(fetch(150, 0), 0);
  assert.is(fetch(151, 0), EINVAL);
  const place = (pos: number, n: number) => x.el_stream_place(rig.ctx, 0, id, pos, n);
  assert.is(place(99, 10), EINVAL, 'the application’s already');
  assert.ok(place(100 + 2048 - 10, 10) >= 0, 'the last bytes of the room');
  assert.is(place(100 + 2048 - 10, 11), EINVAL);
  assert.is(place(100 + 2048, 1), EINVAL);
  assert.is(x.el_stream_fetch(rig.ctx, 1590, id, 100, 11), EFAULT, 'behind the packet');
  assert.is(x.el_stream_place(rig.ctx, 1590, id, 100, 11), EFAULT);
});

test('positions go on over 2^32', () => {
  const { rig, end, id } = opened();
  const record = rig.record(id);
  const start = 0xfffffc00;
  Object.assign(record, { sndAcked: start, sndEnd: start, rcvEnd: start, rcvRead: start });
  const fresh = new StreamEnd(end.app, id, end.generation, 0);
  let sent = 0;
  let read = 0;
  for (let round = 0; round < 6; round++) {
    const piece = pattern(sent, 700);
    assert.is(fresh.write(piece), 700);
    assert.equal(rig.drain(id, 1000), piece);
    assert.is(rig.deliver(id, piece), 700);
    const got = new Uint8Array(900);
    assert.is(fresh.read(got), 700);
    assert.equal(got.subarray(0, 700), pattern(read, 700));
    sent += 700;
    read += 700;
  }
  assert.is(record.sndAcked, (start + 4200) % 2 ** 32);
});

test('no arguments and no cursors of the application reach beyond ring and packet', () => {
  const size = 2 * KIB;
  const rig = new StreamRig({ count: 16, bytes: 64 * KIB });
  const app = rig.apps.open();
  // Three streams: the one in the middle is called with anything.
  const ends = [0, 1, 2].map(() => rig.apps.stream(app, { send: size, receive: size }));
  for (const end of ends) end.write(Uint8Array.of(0));
  app.flush();
  rig.turn();
  for (const end of ends) rig.deliver(end.id, pattern(0, 1));
  const victim = ends[1].id;
  const { memoryAt } = rig.pool;
  const packetLen = 200;
  const anything = fc.oneof(
    fc.nat(300),
    fc.nat(5000),
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 0xffff, 0x10000),
  );
  const { u8 } = rig.arena;
  const frame = rig.packetAt - 256;
  fc.assert(
    fc.property(
      fc.constantFrom('fetch', 'place'),
      fc.record({ off: anything, pos: anything, len: anything }),
      fc.record({ sndAcked: anything, sndEnd: anything, rcvEnd: anything, rcvRead: anything }),
      (what, a, cursors) => {
        Object.assign(rig.record(victim), cursors);
        rig.packet(new Uint8Array(packetLen).fill(0x55));
        const memory = u8.slice(memoryAt, memoryAt + 64 * KIB);
        const frames = u8.slice(frame, frame + 4096);
        const ring = rig.record(victim)[what === 'fetch' ? 'sndAt' : 'rcvAt'];
        const r = rig.lane()[`el_stream_${what}`](rig.ctx, a.off, victim, a.pos, a.len);
        const at = 256 + a.off;
        if (r >= 0) {
          assert.ok(a.off + a.len <= packetLen && a.len <= size);
          const expected = Uint8Array.from({ length: a.len }, (_, i) =>
            what === 'fetch' ? memory[ring - memoryAt + ((a.pos + i) % size)] : frames[at + i],
          );
          assert.ok(sameSum(r, plainSum(expected)));
          for (let i = 0; i < a.len; i++)
            if (what === 'fetch') frames[at + i] = expected[i];
            else memory[ring - memoryAt + ((a.pos + i) % size)] = expected[i];
        }
        assert.ok(Buffer.compare(u8.subarray(memoryAt, memoryAt + 64 * KIB), memory) === 0, 'stream memory');
        assert.ok(Buffer.compare(u8.subarray(frame, frame + 4096), frames) === 0, 'frames');
      },
    ),
    { numRuns: 3000 },
  );
});

test('a stream that is open has its rings for sure, one that would have none is not opened', () => {
  const rig = new StreamRig({ bytes: 8 * KIB });
  const ids = [1, 2, 3].map(() => rig.open(0, 0, 8 * KIB));
  assert.equal(
    ids.map(id => rig.record(id).rcvBytes),
    [4 * KIB, 2 * KIB, 2 * KIB],
  );
  assert.is(rig.lane().el_stream_open(0, 0, 2 * KIB), ENOBUFS);
  assert.is(streamCounters(rig.arena, 0).refused, 1);
  assert.is(streamCounters(rig.arena, 0).small, 3);
  for (const id of ids) assert.is(rig.deliver(id, pattern(0, 10)), 10);
  assert.is(rig.conserved().used, 8 * KIB);
  rig.lane().el_stream_free(ids[1]);
  assert.is(rig.deliver(rig.open(0, 0, 2 * KIB), pattern(0, 10)), 10);
  rig.conserved();
});
