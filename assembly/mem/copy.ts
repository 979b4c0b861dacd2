// Copies of packets. Called by replay, broadcasts, links and the host's end; promises no allocation.
// V8 turns memory.copy into a call out of Wasm (some 20 ns), so short packets go by 16 B vectors.

/** Longest copy that is done by vectors. */
const INLINE_BYTES: u32 = 256;

/** Copies exactly `n` bytes between places that do not overlap. The tail is one vector that overlaps the one before it. */
// @ts-ignore: decorator
@inline export function copyPacket(to: usize, from: usize, n: u32): void {
  if (n - 16 > INLINE_BYTES - 16) {
    // n < 16 wraps around and lands here, too.
    memory.copy(to, from, n);
    return;
  }
  const last = n - 16;
  for (let i: u32 = 0; i < last; i += 16) v128.store(to + i, v128.load(from + i));
  v128.store(to + last, v128.load(from + last));
}
