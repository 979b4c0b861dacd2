// Records of streams: from a number to the record, and what can be believed of the words that applications write.
// Called by every kfunc on streams. Promises: a record of another lane, or of no open stream, is never handed out.
import { header, lane } from "../core/lane";
import { STREAM_LANE_SIZE, STREAM_SIZE, Stream, StreamFlag, StreamLane, StreamPool } from "../layout.gen";

/** Null when the engine was made without streams. */
// @ts-ignore: decorator
@inline export function pool(): StreamPool { return changetype<StreamPool>(header().streamPoolAt as usize); }

// @ts-ignore: decorator
@inline export function laneAt(index: u32): StreamLane {
  return changetype<StreamLane>((pool().lanesAt + index * STREAM_LANE_SIZE) as usize);
}

/** What this lane keeps of streams. Only in an engine that has them. */
// @ts-ignore: decorator
@inline export function mine(): StreamLane { return laneAt(lane); }

/** The record of a number that is known to be one. */
// @ts-ignore: decorator
@inline export function recordAt(id: u32): Stream {
  return changetype<Stream>((header().streamsAt + id * STREAM_SIZE) as usize);
}

/** Number of a record. */
// @ts-ignore: decorator
@inline export function idOf(s: Stream): u32 { return (<u32>changetype<usize>(s) - header().streamsAt) / STREAM_SIZE; }

/** The record of open stream `id` of this lane; null for any other number. */
// @ts-ignore: decorator
@inline export function ownStream(id: u32): Stream {
  if (id >= header().streamCount) return changetype<Stream>(0);
  const s = recordAt(id);
  return (s.flags & StreamFlag.OPEN) != 0 && s.lane == lane ? s : changetype<Stream>(0);
}

// @ts-ignore: decorator
@inline export function isNull(s: Stream): bool { return changetype<usize>(s) == 0; }

/** Position behind what the application wrote. One that it cannot have reached counts as nothing written. */
// @ts-ignore: decorator
@inline export function sndEndOf(s: Stream): u32 {
  const acked = s.sndAcked;
  const end = atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("sndEnd"));
  return s.sndAt != 0 && end - acked <= s.sndBytes ? end : acked;
}

// @ts-ignore: decorator
@inline export function rcvReadOf(s: Stream): u32 {
  return atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("rcvRead"));
}

/** Position up to which the receive ring has room. With a cursor that cannot be, it has none. */
// @ts-ignore: decorator
@inline export function rcvLimitOf(s: Stream): u32 {
  const end = s.rcvEnd;
  const unread = end - rcvReadOf(s);
  // In the line of the cursor: to ask costs nothing.
  if (s.rcvOldAt != 0) return limitOfTwo(s, end, unread);
  return unread <= s.rcvBytes ? end + (s.rcvBytes - unread) : end;
}

/** The same while there is an old ring: what is not read of that takes no room of this one. */
function limitOfTwo(s: Stream, end: u32, unread: u32): u32 {
  const here = end - s.rcvFrom;
  if (unread > here + s.rcvOldBytes) return end;
  return end + (s.rcvBytes - min<u32>(unread, here));
}
