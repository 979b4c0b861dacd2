// The ready list: streams of this lane whose XDP_GEN has something to make. First in, first out, linked through the
// streams themselves, each in it at most once. Called by kfuncs (el_ready), by whoever takes an application's doorbells,
// and by the loop, which empties it at the end of a round (core/generate.ts).
//
//   readyHead ─▶ stream 7 ─▶ stream 2 ─▶ stream 40 ◀─ readyTail        el_ready appends, the loop takes the head
//
// Promises: constant time, only streams that are open and this lane's. host/engine/recover.ts makes it anew for a lane
// that died.
import { ReadyState, STREAM_SIZE, Stream, StreamFlag } from "../layout.gen";
import { ENOENT, EPERM } from "../core/errno";
import { header, lane, self } from "../core/lane";
import { unlinked } from "./life";

/** The record of stream `id`, null when there is none of that number or it is not open. */
// @ts-ignore: decorator
@inline export function streamAt(id: u32): Stream {
  const h = header();
  if (id >= h.streamCount) return changetype<Stream>(0);
  const s = changetype<Stream>((h.streamsAt + id * STREAM_SIZE) as usize);
  return s.flags & StreamFlag.OPEN ? s : changetype<Stream>(0);
}

/** Appends the stream to the list of this lane, if it is not in it. 0, -ENOENT: not open, -EPERM: another lane's. */
export function el_ready(id: u32): i32 {
  const s = streamAt(id);
  if (changetype<usize>(s) == 0) return -ENOENT;
  if (s.lane != lane) return -EPERM;
  if (s.ready != ReadyState.QUEUED) append(s, id);
  return 0;
}

function append(s: Stream, id: u32): void {
  const ls = self();
  s.ready = ReadyState.QUEUED;
  s.readyNext = 0;
  const last = ls.readyTail;
  if (last == 0) ls.readyHead = id + 1;
  else changetype<Stream>((header().streamsAt + (last - 1) * STREAM_SIZE) as usize).readyNext = id + 1;
  ls.readyTail = id + 1;
  ls.readyCount++;
}

/** Takes the head off the list, which is not empty: its visit begins. Returns its number. */
export function takeReady(): u32 {
  const ls = self();
  const id = ls.readyHead - 1;
  const s = changetype<Stream>((header().streamsAt + id * STREAM_SIZE) as usize);
  ls.handAsked = 0;
  ls.handStream = id + 1;
  s.ready = ReadyState.VISITED;
  const next = s.readyNext;
  ls.readyHead = next;
  if (next == 0) ls.readyTail = 0;
  ls.readyCount--;
  return id;
}

/** Its visit ends. `again`: it has more to make, and goes to the tail. */
export function endVisit(id: u32, again: bool): void {
  const s = changetype<Stream>((header().streamsAt + id * STREAM_SIZE) as usize);
  s.flags &= ~StreamFlag.SUSPECT;
  if (s.ready == ReadyState.VISITED) {
    s.ready = ReadyState.IDLE;
    if (again && s.flags & StreamFlag.OPEN) append(s, id);
    // Freed while it stood in the list: its number waited for this.
    if (s.flags & StreamFlag.LINKED) unlinked(s, id);
  }
  self().handStream = 0;
}
