// Everything that records do not say is made anew from what they say: free numbers, free memory, the rings of a lane that
// died. Called by the host for a new pool, and after a crash while no lane runs. So a lane may die between any two stores:
// a ring that a record names is used, every other byte is free.
import { header } from "../core/lane";
import {
  APP_LANE_SIZE, APP_SIZE, App, AppLane, AppState, ReadyState, Ring, STREAM_BLOCK, STREAM_CLASSES, Stream,
  StreamEvent, StreamFlag, StreamLane, StreamPool,
} from "../layout.gen";
import { ringAt } from "../mem/ring";
import { buddyClear, buddyMark, buddyRebuild } from "./buddy";
import { appWords } from "./event";
import { depotPush } from "./ids";
import { classOf } from "./memory";
import { promiseAnew, promiseOf } from "./promise";
import { laneAt, pool, recordAt } from "./record";

/** Lane `dead` is no more, u32.MAX_VALUE for none: makes the pool anew. */
export function stream_rebuild(dead: u32): void {
  if (header().streamPoolAt == 0) return;
  const p = pool();
  const lanes = header().laneCount;
  p.lock = 0;
  p.hungry = 0;
  for (let i: u32 = 0; i <= lanes; i++) empty(laneAt(i));
  freeRecords(dead);
  rebuildMemory(p);
  // Lanes that found no memory while it was being changed look again.
  atomic.add<u32>(changetype<usize>(p), 1, offsetof<StreamPool>("returns"));
  if (dead < lanes) beginAnew(dead);
}

function empty(sl: StreamLane): void {
  sl.freeHead = 0;
  sl.freeCount = 0;
  sl.spareHead = 0;
  for (let c: u32 = 0; c < STREAM_CLASSES; c++) {
    store<u32>(changetype<usize>(sl) + (c << 2), 0, offsetof<StreamLane>("cached0"));
  }
}

/**
 * Whether a program opened it and its lane died before el_stream_route: no transport is asked about it, and no application
 * knows of it.
 */
// @ts-ignore: decorator
@inline function isNobodys(s: Stream): bool {
  return (s.flags & StreamFlag.OPEN) != 0 && (s.ifindex | s.transport | s.told) == 0 &&
    atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("events")) == 0;
}

/** Puts every free number into the depot: the lowest come out first. */
function freeRecords(dead: u32): void {
  const p = pool();
  atomic.store<u64>(changetype<usize>(p), 0, offsetof<StreamPool>("ids"));
  let batch: u32 = 0;
  let count: u32 = 0;
  for (let id = header().streamCount - 1; id != 0; id--) {
    const s = recordAt(id);
    if (s.lane == dead && ((s.flags & StreamFlag.LINKED) != 0 || isNobodys(s))) s.flags = 0;
    if (s.flags != 0) continue;
    // It may have been free by half: doorbells and events of its former life must not find the next.
    s.generation++;
    s.sndAt = 0;
    s.rcvAt = 0;
    s.rcvOldAt = 0;
    s.ready = ReadyState.IDLE;
    s.nextFree = batch;
    batch = id;
    if (++count % p.batch == 0) {
      depotPush(batch);
      batch = 0;
    }
  }
  if (batch != 0) depotPush(batch);
}

// @ts-ignore: decorator
@inline function mark(p: StreamPool, at: u32, bytes: u32): void {
  if (at != 0) buddyMark(p, (at - p.memoryAt) / STREAM_BLOCK, classOf(bytes));
}

function rebuildMemory(p: StreamPool): void {
  buddyClear(p);
  let promised: u64 = 0;
  for (let id = header().streamCount - 1; id != 0; id--) {
    const s = recordAt(id);
    if ((s.flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) == 0) continue;
    mark(p, s.sndAt, s.sndBytes);
    mark(p, s.rcvAt, s.rcvBytes);
    // With a lane that died before a ring took over, the old one is the one that there is.
    if (s.rcvOldAt == s.rcvAt && s.rcvOldAt != 0) atomic.store<u64>(changetype<usize>(s), 0, offsetof<Stream>("rcvOldAt"));
    mark(p, s.rcvOldAt, s.rcvOldBytes);
    promised += promiseOf(s.sndBytes, s.rcvBytes) + (s.rcvOldBytes as u64);
  }
  promiseAnew(promised);
  buddyRebuild(p);
}

/**
 * The lane may have died between a change and the event that tells of it, or before the event got into its ring: the
 * application is told that there may be news of every stream that it knows of.
 */
function tellAll(dead: u32): void {
  for (let id = header().streamCount - 1; id != 0; id--) {
    const s = recordAt(id);
    if (s.lane != dead || s.app == 0 || (s.flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) == 0) continue;
    const at = changetype<usize>(s);
    // It was about to be told of the stream for the first time.
    if (atomic.load<u32>(at, offsetof<Stream>("events")) != 0) s.told = 1;
    if (s.told == 0) continue;
    const freed: u32 = (s.flags & StreamFlag.CLOSED) != 0 ? StreamEvent.FREED : 0;
    atomic.or<u32>(at, StreamEvent.IN | StreamEvent.OUT | StreamEvent.RUNG | freed, offsetof<Stream>("events"));
  }
}

/**
 * The next life of a lane takes all doorbells and looks for requests; applications look at all streams that they have
 * there. That every stream becomes ready is host/engine/ready.ts'.
 */
function beginAnew(dead: u32): void {
  tellAll(dead);
  const sl = laneAt(dead);
  const at = changetype<usize>(sl);
  const words = appWords();
  for (let word: u32 = 0; word < words; word++) {
    store<u32>(at + (word << 2), 0, offsetof<StreamLane>("touched0"));
    atomic.store<u32>(at + (word << 2), u32.MAX_VALUE, offsetof<StreamLane>("rung0"));
  }
  atomic.store<u32>(at, 1, offsetof<StreamLane>("scanWanted"));
  for (let i: u32 = 1; i <= pool().appCount; i++) {
    const app = changetype<App>((pool().appsAt + i * APP_SIZE) as usize);
    if (app.state != AppState.OPEN) continue;
    const end = changetype<AppLane>((app.endsAt + dead * APP_LANE_SIZE) as usize);
    resume(ringAt(end.eventProducer));
    resume(ringAt(end.doorConsumer));
    atomic.store<u32>(changetype<usize>(end), 1, offsetof<AppLane>("overflow"));
    atomic.store<u32>(changetype<usize>(app), 0, offsetof<App>("sleeping"));
    atomic.add<u32>(changetype<usize>(app), 1, offsetof<App>("wake"));
    atomic.notify(changetype<usize>(app) + offsetof<App>("wake"), 1);
  }
}

/** A view goes on where its ring's words stand. */
function resume(r: Ring): void {
  const to = atomic.load<u32>(r.producerAt as usize);
  r.cachedProducer = to;
  r.submitted = to;
  r.cachedConsumer = atomic.load<u32>(r.consumerAt as usize);
}
