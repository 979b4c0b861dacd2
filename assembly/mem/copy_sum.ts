// Copies and sums in one pass: what a byte costs between a ring and a packet is its load and its store. Called by
// el_stream_fetch and el_stream_place. Promises: reads and writes exactly `len` bytes; the sum is csum_partial's.
import { csum_add, csum_reduce } from "./checksum";

/** Copies `len` bytes between places that do not overlap; returns their ones' complement sum (partial, as checksum.ts has it). */
export function copySum(to: usize, from: usize, len: u32): u32 {
  let sum: u64 = 0;
  const end = from + (len & ~63);
  // Lanes of 32 bits take 2 · 0xffff a round: a packet is far from filling them.
  let a = i64x2.splat(0);
  let b = a;
  let c = a;
  let d = a;
  while (from < end) {
    const v = v128.load(from);
    const w = v128.load(from, 16);
    const x = v128.load(from, 32);
    const y = v128.load(from, 48);
    v128.store(to, v);
    v128.store(to, w, 16);
    v128.store(to, x, 32);
    v128.store(to, y, 48);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(w));
    c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(x));
    d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(y));
    from += 64;
    to += 64;
  }
  if (len & 32) {
    const v = v128.load(from);
    const w = v128.load(from, 16);
    v128.store(to, v);
    v128.store(to, w, 16);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(w));
    from += 32;
    to += 32;
  }
  if (len & 16) {
    const v = v128.load(from);
    v128.store(to, v);
    c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v));
    from += 16;
    to += 16;
  }
  if (len & 8) {
    const w = load<u64>(from);
    store<u64>(to, w);
    sum += (w & 0xffffffff) + (w >> 32);
    from += 8;
    to += 8;
  }
  if (len & 4) {
    const w = load<u32>(from);
    store<u32>(to, w);
    sum += w;
    from += 4;
    to += 4;
  }
  if (len & 2) {
    const w = load<u16>(from);
    store<u16>(to, w);
    sum += w;
    from += 2;
    to += 2;
  }
  if (len & 1) {
    const w = load<u8>(from);
    store<u8>(to, w);
    sum += w;
  }
  const v = i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(v), i64x2.extend_high_i32x4_u(v));
  sum += i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return <u32>(sum + (sum >> 32));
}

/** Sum of a piece of `before` bytes and the one behind it: behind an odd number of bytes the halves of words change places. */
// @ts-ignore: decorator
@inline export function joinSums(first: u32, before: u32, second: u32): u32 {
  if (before & 1) {
    const folded = csum_reduce(second);
    second = ((folded & 0xff) << 8) | (folded >> 8);
  }
  return csum_add(first, second);
}
