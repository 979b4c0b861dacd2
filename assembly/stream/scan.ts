// The look through the table of streams, for what no doorbell told: requests that found their ring full, send rings that
// found no memory, streams of applications that died, doorbells that died with a lane. Some records a round, so that
// packets do not wait. Called by the loop: three loads when there is nothing to look for.
import { header, lane } from "../core/lane";
import { Stream, StreamFlag, StreamLane, StreamPool, StreamRequest } from "../layout.gen";
import { appLives } from "./event";
import { attend, letGo, reclaim } from "./life";
import { el_ready } from "./ready";
import { mine, pool, recordAt } from "./record";

/** Records a round: some µs when none of them is in a cache. */
const SLICE: u32 = 64;

/** Whether memory came back since a send ring found none. */
// @ts-ignore: decorator
@inline function memoryBack(sl: StreamLane): bool {
  return sl.starved != 0 && atomic.load<u32>(changetype<usize>(pool()), offsetof<StreamPool>("returns")) != sl.returnsSeen;
}

/** Whether a look is under way, or one is to begin. */
export function isLooking(): bool {
  const sl = mine();
  if (sl.scanAt != 0 || memoryBack(sl)) return true;
  return atomic.load<u32>(changetype<usize>(sl), offsetof<StreamLane>("scanWanted")) != 0;
}

/** Goes on with the look, or begins one. Returns 1 while one is under way. */
export function scanStreams(): u32 {
  const sl = mine();
  const at = changetype<usize>(sl);
  if (atomic.load<u32>(at, offsetof<StreamLane>("scanWanted")) != 0) {
    atomic.store<u32>(at, 0, offsetof<StreamLane>("scanWanted"));
    sl.scanAt = 1;
  } else if (memoryBack(sl)) {
    sl.starved = 0;
    sl.scanAt = 1;
  }
  let id = sl.scanAt;
  if (id == 0) return 0;
  const count = header().streamCount;
  const end = min<u32>(id + SLICE, count);
  for (; id < end; id++) look(recordAt(id), id);
  sl.scanAt = end < count ? end : 0;
  return 1;
}

function look(s: Stream, id: u32): void {
  if (s.lane != lane || (s.flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) == 0) return;
  const at = changetype<usize>(s);
  if (s.app != 0 && !appLives(s.app)) {
    if ((s.flags & StreamFlag.CLOSED) != 0) {
      if (letGo(s)) reclaim(s, id);
      return;
    }
    // The transport tells the peer, and frees the stream. One that the application had let go of ends as it asked: what it
    // asked stands in the record, whatever became of the doorbell.
    if (atomic.load<u32>(at, offsetof<Stream>("released")) == 0)
      atomic.or<u32>(at, StreamRequest.ABORT, offsetof<Stream>("requests"));
    el_ready(id);
    return;
  }
  const asked = atomic.load<u32>(at, offsetof<Stream>("requests"));
  // A stream that is closed may have been let go of by a doorbell that nobody answered.
  if ((s.flags & StreamFlag.OPEN) != 0 && (asked & (StreamRequest.RUNG | StreamRequest.WANTS_RING)) == 0) return;
  atomic.and<u32>(at, ~<u32>StreamRequest.RUNG, offsetof<Stream>("requests"));
  attend(s, id, asked);
}
