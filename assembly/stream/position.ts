// Positions of a stream: how far the application wrote and read, how far the transport has got. Called by transport
// programs (kfuncs). Positions are bytes from the first one, modulo 2^32; only those that can be are taken.
import { EINVAL, ENOENT } from "../core/errno";
import { self } from "../core/lane";
import { Stream, StreamEvent, StreamRequest } from "../layout.gen";
import { postEvent } from "./event";
import { isNull, ownStream, rcvLimitOf, rcvReadOf, sndEndOf } from "./record";
import { retire, tellRoom } from "./rings";

/** Position behind the last byte that the application wrote; 0 for a number that is no stream of this lane. */
export function el_stream_snd_end(id: u32): u32 {
  const s = ownStream(id);
  return isNull(s) ? 0 : sndEndOf(s);
}

/** Position up to which the receive ring has room; the application rings when a quarter more has become free since. */
export function el_stream_rcv_limit(id: u32): u32 {
  const s = ownStream(id);
  if (isNull(s)) return 0;
  if (s.rcvOldAt != 0) retire(s);
  const limit = rcvLimitOf(s);
  // Nobody else writes it, and an atomic store costs more than all the rest: every ACK asks.
  if (s.rcvLimit != limit) atomic.store<u32>(changetype<usize>(s), limit, offsetof<Stream>("rcvLimit"));
  return limit;
}

/**
 * Bytes before `pos` may be overwritten. An application that waits for room is told when there is as much as it wants.
 * A position that is no news is no error: a transport whose lane died says again what it may have said.
 */
export function el_stream_acked(id: u32, pos: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  const at = changetype<usize>(s);
  const acked = s.sndAcked;
  if (<i32>(pos - acked) <= 0) return 0;
  const end = sndEndOf(s);
  if (pos - acked > end - acked) return -EINVAL;
  atomic.store<u32>(at, pos, offsetof<Stream>("sndAcked"));
  const wanted = atomic.load<u32>(at, offsetof<Stream>("sndWanted"));
  // One that asked for a larger ring is told with the answer: until then it writes nothing.
  if (wanted != 0 && (atomic.load<u32>(at, offsetof<Stream>("requests")) & StreamRequest.WANTS_RING) == 0) tellRoom(s, pos);
  return 0;
}

/** Bytes before `pos` are the application's, which is told so. A position that is no news is no error. */
export function el_stream_received(id: u32, pos: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  const end = s.rcvEnd;
  if (<i32>(pos - end) <= 0) return 0;
  if (s.rcvAt == 0 || pos - end > rcvLimitOf(s) - end) return -EINVAL;
  atomic.store<u32>(changetype<usize>(s), pos, offsetof<Stream>("rcvEnd"));
  postEvent(s, StreamEvent.IN);
  return 0;
}

/**
 * What the application wants, EL_REQ bits: fetched and cleared. What is fetched in a visit of the stream is asked again
 * should the lane die before the visit ends (host/engine/ready.ts).
 */
export function el_stream_requests(id: u32): u32 {
  const s = ownStream(id);
  if (isNull(s)) return 0;
  const at = changetype<usize>(s);
  const asked = atomic.load<u32>(at, offsetof<Stream>("requests")) & StreamRequest.MASK;
  if (asked == 0) return 0;
  const ls = self();
  if (ls.handStream == id + 1) ls.handAsked |= asked;
  // What was asked since stays for the next time.
  atomic.and<u32>(at, ~asked, offsetof<Stream>("requests"));
  return asked;
}

/** Tells the application the EL_EV bits `events`; bits of the core's own are left out. */
export function el_stream_event(id: u32, events: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  if ((events & StreamEvent.MASK) != 0) postEvent(s, events & StreamEvent.MASK);
  return 0;
}

/** Bytes that were received and not read. */
export function el_stream_unread(id: u32): u32 {
  const s = ownStream(id);
  if (isNull(s)) return 0;
  const unread = s.rcvEnd - rcvReadOf(s);
  const most = s.rcvOldAt == 0 ? s.rcvBytes : s.rcvEnd - s.rcvFrom + s.rcvOldBytes;
  return min<u32>(unread, most);
}
