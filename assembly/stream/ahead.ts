// What a burst is about to touch, asked of memory all at once. A connection that was not heard of for long is in no cache: a
// program waits for each of its lines in turn, some 90 ns, while a core can wait for twenty of them together.
//
//   doorbells   number ─▶ record, parts ─▶ line of the send ring                                     one pass over all, each
//   packets     header ─▶ bucket ─▶ element ─▶ record, parts ─▶ line of the receive ring             (bpf/maps/flow_table.ts)
//
// Which parts is the transport's to say (host/streams/ahead.ts): where nothing is said, nothing is done. Called by whoever
// takes doorbells, and by the loop, before either begins. Promises: nothing is changed but a lane's notes.
import { Ring, STREAM_SIZE, StreamAhead } from "../layout.gen";
import { header, lane } from "../core/lane";
import { descAddr, descOptions, entry } from "../mem/ring";
import { mine, pool, recordAt } from "./record";

// @ts-ignore: decorator
@inline export function ahead(): StreamAhead { return changetype<StreamAhead>(pool().aheadAt as usize); }

/** Parts that a transport keeps of each stream; 0: nothing is to be fetched. */
// @ts-ignore: decorator
@inline export function partsOf(a: StreamAhead): u32 {
  return atomic.load<u32>(changetype<usize>(a), offsetof<StreamAhead>("parts"));
}

// @ts-ignore: decorator
@inline function partOf(a: StreamAhead, i: u32, offset: usize): u32 { return load<u32>(changetype<usize>(a) + (i << 2) + offset); }

/** The record of stream `id`, and what its transport keeps of it. The loads do not wait for one another. */
export function fetchStream(a: StreamAhead, parts: u32, id: u32): u32 {
  const record = <usize>(header().streamsAt + id * STREAM_SIZE);
  let bits = load<u32>(record) | load<u32>(record, 64);
  for (let i: u32 = 0; i < parts; i++) {
    const at = partOf(a, i, offsetof<StreamAhead>("partAt0")) + id * partOf(a, i, offsetof<StreamAhead>("partStride0"));
    for (let lines = partOf(a, i, offsetof<StreamAhead>("partLines0")); lines != 0; lines &= lines - 1) {
      bits |= load<u32>(at + (ctz<u32>(lines) << 6));
    }
  }
  return bits;
}

/** The line of a ring at position `pos`. */
// @ts-ignore: decorator
@inline export function fetchRing(ring: u32, bytes: u32, pos: u32): u32 {
  return ring == 0 ? 0 : load<u32>(ring + (pos & (bytes - 1) & ~3));
}

/** Ahead of the first `n` entries of doorbell ring `r`. */
export function aheadOfDoorbells(r: Ring, n: u32): void {
  const a = ahead();
  const parts = partsOf(a);
  if (parts == 0) return;
  const count = header().streamCount;
  let bits: u32 = 0;
  for (let k: u32 = 0; k < n; k++) {
    const id = descAddr(entry(r, k));
    if (id < count) bits |= fetchStream(a, parts, id);
  }
  for (let k: u32 = 0; k < n; k++) {
    const id = descAddr(entry(r, k));
    if (id >= count) continue;
    const s = recordAt(id);
    // Of this lane, and as the doorbell means it: then address and size are of one ring.
    if (s.lane != lane || s.generation != descOptions(entry(r, k))) continue;
    bits |= fetchRing(s.sndAt, s.sndBytes, s.sndAcked);
  }
  mine().fetched = bits;
}
