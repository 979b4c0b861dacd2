// The ring verbs as the host calls them: a burst at a time, on views that belong to the host.
// Addresses of entries are computed here, so that JavaScript knows nothing of cursors.
import { freeFrame } from "./frames";
import { descAddr, entry, peek, push, release, reserve, ringAt, submit, wakeLane } from "./ring";

export function ring_reserve(ring: u32, n: u32): u32 { return reserve(ringAt(ring), n); }
export function ring_push(ring: u32, addr: u32, len: u32, options: u32): bool { return push(ringAt(ring), addr, len, options); }
export function ring_submit(ring: u32): void { submit(ringAt(ring)); }
export function ring_peek(ring: u32, n: u32): u32 { return peek(ringAt(ring), n); }
export function ring_entry(ring: u32, k: u32): usize { return entry(ringAt(ring), k); }
export function ring_release(ring: u32, n: u32): void { release(ringAt(ring), n); }
export function ring_wake(lane: u32): void { wakeLane(lane); }

/** Frees the frames of the first `n` readable packets and releases their entries. */
export function ring_discard(ring: u32, n: u32): u32 {
  const r = ringAt(ring);
  const have = peek(r, n);
  for (let k: u32 = 0; k < have; k++) freeFrame(descAddr(entry(r, k)));
  release(r, have);
  return have;
}
