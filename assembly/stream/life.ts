// The life of a stream. Its memory is given back when both have let go: the transport (el_stream_free), and an
// application that knows of it (Stream.released) or is gone. Until then its number names it to nobody but those two.
//
//   free ──el_stream_open──▶ OPEN ──el_stream_free──▶ CLOSED ──application lets go──▶ free
//                              └──el_stream_free, nobody else knows of it───────────────▲
//
// Called by transport programs (kfuncs), doorbells, and the host for streams that an application opens.
import { EINVAL, ENOBUFS, ENOENT, ENOMEM } from "../core/errno";
import { header, lane } from "../core/lane";
import {
  MAX_PORTS, ReadyState, STREAM_BLOCK, STREAM_CLASSES, Stream, StreamEvent, StreamFlag, StreamRequest,
} from "../layout.gen";
import { appGone, appLives, postEvent } from "./event";
import { giveId, takeId } from "./ids";
import { givePiece } from "./memory";
import { LEAST, promiseLeast, promiseNone, promiseOf, promiseRing } from "./promise";
import { el_ready } from "./ready";
import { isNull, mine, ownStream, recordAt } from "./record";
import { answerRing, firstOf, ringBytes } from "./rings";

/** Size of a ring of which `wanted` bytes are wanted: the least one is promised, more if there is more. */
function promised(wanted: u32): u32 {
  if (wanted == 0) return 0;
  const bytes = promiseRing(wanted);
  if (bytes != wanted) mine().small++;
  return bytes;
}

/** Promises the rings of a stream, of so many bytes at most. One that an application opens is `asked` for. */
function promise(s: Stream, sndFirst: u32, rcvFirst: u32, asked: bool): i32 {
  // A lane that died in here may have left one of them.
  const snd = s.sndBytes == 0 ? firstOf(s.sndMost, sndFirst) : 0;
  const rcv = s.rcvBytes == 0 ? firstOf(s.rcvMost, rcvFirst) : 0;
  if ((snd | rcv) == 0) return 0;
  if (!promiseLeast(<u32>(promiseOf(min<u32>(snd, LEAST), min<u32>(rcv, LEAST)) >> 32), asked)) {
    mine().refused++;
    return -ENOBUFS;
  }
  // The receive ring first: what its transport offers the peer cannot be taken back.
  if (rcv != 0) s.rcvBytes = promised(rcv);
  if (snd != 0) s.sndBytes = promised(snd);
  return 0;
}

/** Opens a stream that lane `owner` owns; nothing is promised to it. Its number; -ENOMEM: there is none. */
function open(owner: u32, app: u32, sndBytes: u32, rcvBytes: u32, told: u32): i32 {
  if (header().streamPoolAt == 0) return -ENOMEM;
  const most: u32 = STREAM_BLOCK << (STREAM_CLASSES - 1);
  if (sndBytes > most || rcvBytes > most || (app != 0 && !appLives(app))) return -EINVAL;
  const id = takeId();
  if (id == 0) return -ENOMEM;
  const s = recordAt(id);
  const at = changetype<usize>(s);
  s.sndAt = 0;
  s.sndBytes = 0;
  s.rcvAt = 0;
  s.rcvBytes = 0;
  s.rcvOldAt = 0;
  s.rcvOldBytes = 0;
  s.sndMost = ringBytes(sndBytes);
  s.rcvMost = ringBytes(rcvBytes);
  s.sndGoal = 0;
  s.lane = owner;
  s.ifindex = 0;
  s.transport = 0;
  s.ready = ReadyState.IDLE;
  s.readyNext = 0;
  s.app = app;
  s.told = told;
  s.sndAcked = 0;
  s.rcvEnd = 0;
  s.rcvLimit = 0;
  s.sndEnd = 0;
  s.rcvRead = 0;
  s.sndWanted = 0;
  s.released = 0;
  s.requests = 0;
  s.events = 0;
  mine().opened++;
  atomic.store<u32>(at, StreamFlag.OPEN, offsetof<Stream>("flags"));
  return id;
}

/** With rings of at most so many bytes. Its number; -ENOBUFS: there is no memory for them. */
function openWith(id: i32, sndFirst: u32, rcvFirst: u32, asked: bool): i32 {
  if (id < 0) return id;
  const s = recordAt(id);
  if (promise(s, sndFirst, rcvFirst, asked) == 0) return id;
  mine().opened--;
  mine().freed--;
  reclaim(s, id);
  return -ENOBUFS;
}

/** Opens a stream of this lane for application `app`, 0 for none. Rings are made when they are first used. */
export function el_stream_open(app: u32, sndBytes: u32, rcvBytes: u32): i32 {
  return openWith(open(lane, app, sndBytes, rcvBytes, 0), sndBytes, rcvBytes, false);
}

/** The same without a promise of memory, until el_stream_promise; from then on its rings grow up to these sizes. */
export function el_stream_draft(app: u32, sndBytes: u32, rcvBytes: u32): i32 {
  return open(lane, app, sndBytes, rcvBytes, 0);
}

/** Promises a stream that was opened without the rings that it begins with, of at most so many bytes. 0 when it has them. */
export function el_stream_promise(id: u32, sndBytes: u32, rcvBytes: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  return promise(s, sndBytes, rcvBytes, false);
}

/**
 * The host: opens a stream of lane `owner` for an application, which is given its number. Rings begin with at most
 * `sndFirst` and `rcvFirst` bytes.
 */
export function stream_open_on(
  owner: u32, app: u32, sndBytes: u32, rcvBytes: u32, sndFirst: u32, rcvFirst: u32,
): i32 {
  if (owner >= header().laneCount) return -EINVAL;
  return openWith(open(owner, app, sndBytes, rcvBytes, 1), sndFirst, rcvFirst, true);
}

/** Gives memory and number of a stream back. `flags` go first: what a lane leaves half done is free to recovery. */
export function reclaim(s: Stream, id: u32): void {
  const at = changetype<usize>(s);
  const idle = s.ready == ReadyState.IDLE;
  atomic.store<u32>(at, idle ? 0 : StreamFlag.LINKED, offsetof<Stream>("flags"));
  atomic.store<u32>(at, s.generation + 1, offsetof<Stream>("generation"));
  const snd = s.sndAt;
  const rcv = s.rcvAt;
  const old = s.rcvOldAt;
  s.sndAt = 0;
  s.rcvAt = 0;
  s.rcvOldAt = 0;
  if (snd != 0) givePiece(snd, s.sndBytes);
  if (rcv != 0) givePiece(rcv, s.rcvBytes);
  if (old != 0) givePiece(old, s.rcvOldBytes);
  promiseNone(promiseOf(s.sndBytes, s.rcvBytes) + (s.rcvOldBytes as u64));
  mine().freed++;
  if (idle) giveId(id);
}

/** A free stream has left the ready list: its number may be used again. */
export function unlinked(s: Stream, id: u32): void {
  atomic.store<u32>(changetype<usize>(s), 0, offsetof<Stream>("flags"));
  giveId(id);
}

// @ts-ignore: decorator
@inline export function letGo(s: Stream): bool {
  return s.told == 0 || atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("released")) != 0 || appGone(s.app);
}

/** The transport is done with the stream: no kfunc takes its number any more. */
export function el_stream_free(id: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  if (letGo(s)) {
    reclaim(s, id);
    return 0;
  }
  atomic.store<u32>(changetype<usize>(s), StreamFlag.CLOSED, offsetof<Stream>("flags"));
  postEvent(s, StreamEvent.FREED);
  return 0;
}

/** Where XDP_GEN makes the packets of the stream, and for which transport. */
export function el_stream_route(id: u32, ifindex: u32, transport: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  if (ifindex >= MAX_PORTS) return -EINVAL;
  s.ifindex = ifindex;
  s.transport = transport;
  return 0;
}

/** Does what the application asked of its stream by the bits `asked`: the rest is for the transport to fetch. */
export function attend(s: Stream, id: u32, asked: u32): void {
  if ((s.flags & StreamFlag.CLOSED) != 0) {
    if (letGo(s)) reclaim(s, id);
    return;
  }
  if ((asked & StreamRequest.WANTS_RING) != 0) answerRing(s);
  el_ready(id);
}
