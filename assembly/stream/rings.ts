// The rings of a stream: made at first use, of the size that was promised, and made larger while traffic fills them.
//
//   send ring      application asks, and writes nothing ─▶ lane copies what is not acknowledged, one store, answers
//   receive ring   … rcvRead ░░░ old ring ░░░ rcvFrom ░░░ ring ░░░ rcvEnd …    the old one goes when all of it was read
//
// Called when rings are first used, by doorbells, and by transports for each doubling: never per packet. Promises: address
// and size of a ring change by one store, so with a lane that dies before it nothing has happened; where bytes are is never
// in doubt to the side that did not move them; how far the receive ring has room never goes back.
import { ENOENT } from "../core/errno";
import { STREAM_BLOCK, Stream, StreamEvent, StreamPool, StreamRequest } from "../layout.gen";
import { postEvent } from "./event";
import { classOf, givePiece, takePiece } from "./memory";
import { LEAST, promisable, promiseLess, promiseMore } from "./promise";
import { isNull, mine, ownStream, pool, rcvReadOf, sndEndOf } from "./record";

// @ts-ignore: decorator
@inline function setRing(words: usize, at: u32, bytes: u32): void {
  atomic.store<u64>(words, ((bytes as u64) << 32) | (at as u64));
}

/** Size of the ring for a wish of `bytes`; 0 for none. */
// @ts-ignore: decorator
@inline export function ringBytes(bytes: u32): u32 { return bytes == 0 ? 0 : STREAM_BLOCK << classOf(bytes); }

/** Size that a ring begins with that may grow up to `most` and of which `bytes` are asked for. */
// @ts-ignore: decorator
@inline export function firstOf(most: u32, bytes: u32): u32 { return ringBytes(min<u32>(most, bytes)); }

/**
 * Makes the ring whose words, address and size, lie at `words`. Its address, 0 when there is no memory. Where that is in
 * small pieces the ring is smaller than was promised.
 */
export function makeRing(words: usize): u32 {
  const promised = load<u32>(words, 4);
  let bytes = promised;
  let at = takePiece(bytes);
  while (at == 0 && bytes > LEAST) {
    bytes >>= 1;
    at = takePiece(bytes);
  }
  if (at == 0) {
    mine().noMemory++;
    return 0;
  }
  setRing(words, at, bytes);
  if (bytes != promised) {
    mine().small++;
    promiseLess(promised - bytes);
  }
  return at;
}

/** A piece of `bytes` bytes, promised. 0: there is no memory for it beside the ring that it is to replace. */
function promisedPiece(bytes: u32): u32 {
  if (!promiseMore(bytes)) return 0;
  const at = takePiece(bytes);
  if (at == 0) promiseLess(bytes);
  return at;
}

// ── send ring ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Copies `live` bytes from position `from` on to where they are in the larger ring. */
function move(at: u32, had: u32, to: u32, bytes: u32, from: u32, live: u32): void {
  while (live != 0) {
    const a = from & (had - 1);
    const b = from & (bytes - 1);
    const n = min<u32>(live, min<u32>(had - a, bytes - b));
    memory.copy(to + b, at + a, n);
    from += n;
    live -= n;
  }
}

/** Most of what an application has to write at once that a send ring is made for, bytes. */
const AT_ONCE: u32 = 262144;

/** Size of a send ring that takes what its application has to write at once. */
function atOnce(s: Stream): u32 {
  const wanted = atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("sndWanted"));
  return firstOf(s.sndMost, min<u32>(wanted, AT_ONCE));
}

/**
 * Makes the send ring larger, while its application waits: up to what the transport wants or the application has to write
 * at once, or what there is memory for.
 */
function growSendRing(s: Stream): void {
  const at = s.sndAt;
  const had = s.sndBytes;
  for (let bytes = max<u32>(min<u32>(s.sndGoal, s.sndMost), atOnce(s)); bytes > had; bytes >>= 1) {
    const to = promisedPiece(bytes);
    if (to == 0) {
      mine().small++;
      continue;
    }
    const acked = s.sndAcked;
    move(at, had, to, bytes, acked, sndEndOf(s) - acked);
    setRing(changetype<usize>(s) + offsetof<Stream>("sndAt"), to, bytes);
    mine().grown++;
    givePiece(at, had);
    promiseLess(had);
    return;
  }
}

/**
 * Makes the first send ring: as promised, or for what its application has to write already, if there is memory for that.
 * False without memory: the lane looks again when some came back.
 */
function makeSendRing(s: Stream): bool {
  const p = changetype<usize>(pool());
  const bytes = atOnce(s);
  if (bytes > s.sndBytes && promiseMore(bytes - s.sndBytes)) s.sndBytes = bytes;
  const seen = atomic.load<u32>(p, offsetof<StreamPool>("returns"));
  if (makeRing(changetype<usize>(s) + offsetof<Stream>("sndAt")) == 0) {
    const sl = mine();
    sl.starved = 1;
    sl.returnsSeen = seen;
    atomic.store<u32>(p, 1, offsetof<StreamPool>("hungry"));
    return false;
  }
  if (atomic.load<u32>(p, offsetof<StreamPool>("hungry")) != 0) atomic.store<u32>(p, 0, offsetof<StreamPool>("hungry"));
  return true;
}

/** The application asked for its send ring, or for a larger one, and writes nothing before this is answered. */
export function answerRing(s: Stream): void {
  if (s.sndAt != 0) growSendRing(s);
  else if (s.sndBytes != 0 && !makeSendRing(s)) return;
  atomic.and<u32>(changetype<usize>(s), ~<u32>StreamRequest.WANTS_RING, offsetof<Stream>("requests"));
  tellRoom(s, s.sndAcked);
}

/** Tells an application that waits for room, or for its ring, when there is as much as it wants. */
export function tellRoom(s: Stream, acked: u32): void {
  const at = changetype<usize>(s);
  const wanted = atomic.load<u32>(at, offsetof<Stream>("sndWanted"));
  if (s.sndBytes - (sndEndOf(s) - acked) < min<u32>(wanted, s.sndBytes)) return;
  if (wanted != 0) atomic.store<u32>(at, 0, offsetof<Stream>("sndWanted"));
  postEvent(s, StreamEvent.OUT);
}

/** The transport could fill a send ring of `bytes`: it may grow up to that, as far as its stream was opened for. */
export function el_stream_snd_goal(id: u32, bytes: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  atomic.store<u32>(changetype<usize>(s), ringBytes(min<u32>(bytes, s.sndMost)), offsetof<Stream>("sndGoal"));
  return 0;
}

// ── receive ring ────────────────────────────────────────────────────────────────────────────────────────────────

/** Gives the old ring back if all of it was read. Whether there is none any more. */
export function retire(s: Stream): bool {
  const old = s.rcvOldAt;
  const bytes = s.rcvOldBytes;
  if (old == 0) return true;
  if (<i32>(rcvReadOf(s) - s.rcvFrom) < 0) return false;
  setRing(changetype<usize>(s) + offsetof<Stream>("rcvOldAt"), 0, 0);
  givePiece(old, bytes);
  promiseLess(bytes);
  return true;
}

/** What is received from now on goes into a larger ring; the application finds the old one until it has read all of it. */
function link(s: Stream, bytes: u32): void {
  const at = changetype<usize>(s);
  const to = promisedPiece(bytes);
  if (to == 0) {
    mine().small++;
    return;
  }
  atomic.store<u32>(at, s.rcvEnd, offsetof<Stream>("rcvFrom"));
  setRing(at + offsetof<Stream>("rcvOldAt"), s.rcvAt, s.rcvBytes);
  setRing(at + offsetof<Stream>("rcvAt"), to, bytes);
  mine().grown++;
  retire(s);
}

/**
 * Makes the receive ring larger, up to `bytes` and what its stream was opened for, if there is memory for it and it does
 * not grow already. Bytes that were placed beyond what was received do not move: the caller has none there. Its size then.
 */
export function el_stream_widen(id: u32, bytes: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  const size = ringBytes(min<u32>(bytes, s.rcvMost));
  if (size > s.rcvBytes && s.rcvAt != 0 && retire(s)) link(s, size);
  return s.rcvBytes;
}

/** Size of the receive ring; of a stream that was promised none yet, what would be promised of `first` bytes now. */
export function el_stream_rcv_size(id: u32, first: u32): u32 {
  const s = ownStream(id);
  if (isNull(s)) return 0;
  return s.rcvBytes != 0 ? s.rcvBytes : promisable(firstOf(s.rcvMost, first));
}
