// The Internet checksum (RFC 1071): ones' complement sum of 16-bit words. Called by wire files, helpers and tests.
// Sums are kept as the words lie in memory (little-endian loads): by RFC 1071 §2(B) the folded result, stored
// back little-endian, is right in network order, so nothing on the packet path swaps bytes.
//
//   partial  u32, not folded, not complemented: what bpf_csum_diff returns and what adds up piece by piece
//   folded   u16, complemented: what stands in a header
//
// Partials of pieces may be added (`csum_add`) when every piece but the last has an even length.

/** 64-byte rounds before a u32 lane could overflow: a round adds at most 2 · 0xffff to each. */
const SAFE_ROUNDS: u32 = 32768;

/** Ones' complement sum of `len` bytes from `ptr` on top of `seed`. An odd last byte counts as (byte, 0). */
export function csum_partial(ptr: usize, len: u32, seed: u32): u32 {
  let sum: u64 = seed;
  let p = ptr;
  let left = len;
  while (left >= 64) {
    // Four accumulators: extadd has a latency of 3–4 cycles, one chain would wait for itself.
    let a = i64x2.splat(0);
    let b = a;
    let c = a;
    let d = a;
    const end = p + (<usize>min<u32>(left >> 6, SAFE_ROUNDS) << 6);
    left -= <u32>(end - p);
    do {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 16)));
      c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 32)));
      d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 48)));
      p += 64;
    } while (p < end);
    sum += lanes(a) + lanes(b) + lanes(c) + lanes(d);
  }
  for (; left >= 8; left -= 8, p += 8) {
    const w = load<u64>(p);
    sum += (w & 0xffffffff) + (w >> 32);
  }
  if (left & 4) {
    sum += load<u32>(p);
    p += 4;
  }
  if (left & 2) {
    sum += load<u16>(p);
    p += 2;
  }
  if (left & 1) sum += load<u8>(p);
  return fold64(sum);
}

// @ts-ignore: decorator
@inline function lanes(v: v128): u64 {
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(v), i64x2.extend_high_i32x4_u(v));
  return i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1);
}

/** 64 bits to 32 with the carries added back. Twice: the first addition may carry once more. */
// @ts-ignore: decorator
@inline function fold64(sum: u64): u32 {
  sum = (sum & 0xffffffff) + (sum >> 32);
  return <u32>(sum + (sum >> 32));
}

/** Sum of two partials. */
export function csum_add(a: u32, b: u32): u32 {
  const sum = a + b;
  return sum + u32(sum < a);
}

/** Partial `a` without partial `b`: adds the complement, RFC 1071 §1(5). */
export function csum_sub(a: u32, b: u32): u32 {
  return csum_add(a, ~b);
}

/** 32 bits to 16 with the carries added back, not complemented. */
// @ts-ignore: decorator
@inline export function csum_reduce(sum: u32): u32 {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum + (sum >> 16)) & 0xffff;
}

/** What stands in a header: the partial folded to 16 bits and complemented (csum_fold of the kernel). */
export function csum_fold(sum: u32): u32 {
  return ~csum_reduce(sum) & 0xffff;
}

/** A header checksum as a partial again, to add differences to (csum_unfold, complemented). */
// @ts-ignore: decorator
@inline export function csum_open(check: u32): u32 {
  return ~check & 0xffff;
}

/** RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'), for one 16-bit word of the checksummed data. All as in memory. */
export function csum_replace2(check: u32, from: u32, to: u32): u32 {
  return csum_fold(csum_open(check) + (~from & 0xffff) + to);
}

/** The same for a 32-bit word at an even offset. */
export function csum_replace4(check: u32, from: u32, to: u32): u32 {
  return csum_fold(csum_add(csum_add(csum_open(check), ~from), to));
}

/** The same for a difference made of partials: `diff` = new partial − old partial (bpf_csum_diff). */
export function csum_replace_by_diff(check: u32, diff: u32): u32 {
  return csum_fold(csum_add(csum_open(check), diff));
}

/** Partial of the IPv4 pseudo header (RFC 9293 §3.1). Addresses as in memory; length and protocol as numbers. */
export function csum_pseudo4(src: u32, dst: u32, length: u32, protocol: u32): u32 {
  return fold64(<u64>src + <u64>dst + <u64>bswap<u16>(<u16>length) + <u64>(protocol << 8));
}

/** Partial of the IPv6 pseudo header (RFC 8200 §8.1). `addresses` points at source and destination, 32 bytes. */
export function csum_pseudo6(addresses: usize, length: u32, protocol: u32): u32 {
  const words = v128.load(addresses);
  const more = v128.load(addresses, 16);
  const sum = i32x4.add(i32x4.extadd_pairwise_i16x8_u(words), i32x4.extadd_pairwise_i16x8_u(more));
  return fold64(lanes(sum) + <u64>bswap<u32>(length) + <u64>(protocol << 24));
}
