/**
 * What lives in the lanes of the TCP bench (EngineOptions.resident): ends of connections that the host made and handed
 * over. The host orders, one thing at a time, through a mailbox in shared memory; see seats.ts. Plain JavaScript, for lanes
 * load it without tsx.
 *
 *   source  keeps the send ring full for so many ms          sink  reads all, counts bytes for so many ms
 *   echo    sends back what comes on any stream              ask   a message in flight on each stream
 *   feed    keeps the send rings of several full             drain empties those of any: of bytes that nobody looks at
 *   options asks that options be taken in
 */
import { performance } from 'node:perf_hooks';
import { StreamRequest } from '../../../dist/layout/layout.gen.js';
import { StreamApp } from '../../../dist/streams/stream_app.js';

const ORDER = 0;
const DONE = 1;
const ORDER_BYTES = 2;
const DONE_BYTES = 3;
const TEXT_AT = 64;
const BLOCK = 64 << 10;
const WARM_MS = 300;
/** Messages taken before what they made leaves: with more, the lanes work in turns instead of at once. */
const TURN = 16;

export default function seat({ arena, lane, data }) {
  const { buffer } = data;
  const words = new Int32Array(buffer, lane * data.bytes, 16);
  const half = (data.bytes - TEXT_AT) / 2;
  const order = new Uint8Array(buffer, lane * data.bytes + TEXT_AT, half);
  const answer = new Uint8Array(buffer, lane * data.bytes + TEXT_AT + half, half);
  const apps = new Map();
  const appOf = number => {
    if (!apps.has(number)) apps.set(number, StreamApp.seated(arena, number, lane));
    return apps.get(number);
  };
  const idle = () => 0;
  let seen = 0;
  let work = idle;

  /** Ends the order in hand. */
  const done = result => {
    const text = new TextEncoder().encode(JSON.stringify(result));
    answer.set(text);
    words[DONE_BYTES] = text.length;
    Atomics.store(words, DONE, seen);
    work = idle;
    return 0;
  };
  const begin = () => {
    seen = Atomics.load(words, ORDER);
    const o = JSON.parse(new TextDecoder().decode(order.slice(0, words[ORDER_BYTES])));
    work = { source, sink, echo, ask, feed, drain, options, rest }[o.do](o);
  };

  const nothing = () => {};

  function rest() {
    done({});
    return idle;
  }

  function options({ app, ids }) {
    const own = appOf(app);
    for (const id of ids) own.end(id).request(StreamRequest.OPTIONS);
    own.flush();
    done({});
    return idle;
  }

  function source({ app, id, ms }) {
    const own = appOf(app);
    const end = own.end(id);
    const block = new Uint8Array(Math.min(BLOCK, end.capacity.send >> 1)).fill(0x5a);
    let until = 0;
    return () => {
      const now = performance.now();
      until ||= now + ms;
      own.take(nothing);
      if (now >= until) return done({});
      if (end.room < block.length) return 0;
      end.write(block);
      own.flush();
      return 1;
    };
  }

  function sink({ app, id, ms, views }) {
    const own = appOf(app);
    const end = own.end(id);
    const into = new Uint8Array(256 << 10);
    let from = 0;
    let bytes = 0;
    const drain = () => {
      const n = end.readable;
      if (n) end.consume(n);
      return own.take(nothing);
    };
    return () => {
      own.take(nothing);
      let n = 0;
      if (views) {
        n = end.readable;
        if (n) end.consume(n);
      } else for (let k = end.read(into); k > 0; k = end.read(into)) n += k;
      if (n === 0) return 0;
      own.flush();
      const now = performance.now();
      from ||= now + WARM_MS;
      if (now >= from + ms) {
        done({ rate: (bytes / ms) * 1e3 });
        // Whoever sends goes on for a while.
        work = drain;
        return 0;
      }
      if (now >= from) bytes += n;
      return 1;
    };
  }

  /** Hands over all the room that there is, as it is. True when some of it came after the look. */
  const fill = end => {
    const { room } = end;
    if (room) end.commit(room);
    return end.wantRoom(end.capacity.send >> 1);
  };

  function feed({ app, ids, ms }) {
    const own = appOf(app);
    const until = performance.now() + ms;
    const again = end => {
      while (fill(end));
    };
    for (const id of ids) again(own.end(id));
    own.flush();
    return () => (performance.now() < until ? own.take(again) : done({}));
  }

  function drain({ app, ms }) {
    const own = appOf(app);
    const until = performance.now() + ms;
    const empty = end => {
      const n = end.readable;
      if (n) end.consume(n);
    };
    return () => (performance.now() < until ? own.take(empty) : done({}));
  }

  function echo({ app }) {
    const own = appOf(app);
    const into = new Uint8Array(4096);
    const parts = [];
    const back = end => {
      for (let n = end.read(into); n > 0; n = end.read(into)) {
        parts[n] ??= into.subarray(0, n);
        end.write(parts[n]);
      }
    };
    done({});
    return () => own.take(back, TURN);
  }

  function ask({ app, ids, bytes, ms }) {
    const own = appOf(app);
    const ends = ids.map(id => own.end(id));
    const message = new Uint8Array(bytes).fill(0x41);
    const into = new Uint8Array(bytes);
    const since = new Float64Array(Math.max(...ids) + 1);
    const samples = new Float64Array(4 << 20);
    let count = 0;
    let messages = 0;
    let now = performance.now();
    const from = now + WARM_MS;
    const to = from + ms;
    const again = end => {
      // Messages are so short that they come whole.
      if (end.read(into) < bytes) return;
      now = performance.now();
      if (now >= from && now < to) {
        messages++;
        if (count < samples.length) samples[count++] = now - since[end.id];
      }
      if (now >= to) return;
      since[end.id] = now;
      end.write(message);
    };
    for (const end of ends) {
      since[end.id] = now;
      end.write(message);
    }
    own.flush();
    return () => {
      const n = own.take(again, TURN);
      if (n === 0) now = performance.now();
      if (now < to + 20) return n;
      const sorted = samples.subarray(0, count).sort();
      const at = part => sorted[Math.min(count - 1, Math.floor(count * part))] * 1e3;
      return done({ rate: (messages / ms) * 1e3, p50Us: at(0.5), p99Us: at(0.99) });
    };
  }

  return {
    poll() {
      if (words[ORDER] !== seen) begin();
      return work();
    },
  };
}
