// Bit strings in network order: comparing and slicing the data of LPM keys.

/** 8 bytes by atomic loads; LPM keys have 4-byte alignment only. */
// @ts-ignore: decorator
@inline function shared64(a: usize, at: usize): u64 {
  return (atomic.load<u32>(a + at) as u64) | ((atomic.load<u32>(a + at, 4) as u64) << 32);
}

/**
 * Whether the first `n` bits of `a` and `b` agree; `bytes` is the length of both. Another lane may be writing `a`, which
 * stands in the map: loaded by atomics, in order with what validates the walk.
 */
// @ts-ignore: decorator
@inline export function sameBits(a: usize, b: usize, n: u32, bytes: u32): bool {
  // A shift by the full width is no shift in Wasm, hence u64 for 32 bits and the tests for 0.
  if (bytes == 4) return <u64>bswap<u32>(atomic.load<u32>(a) ^ load<u32>(b)) >> (32 - n) == 0;
  if (bytes == 16) {
    const high = shared64(a, 0) ^ load<u64>(b);
    if (n <= 64) return n == 0 || bswap<u64>(high) >> (64 - n) == 0;
    return high == 0 && bswap<u64>(shared64(a, 8) ^ load<u64>(b, 8)) >> (128 - n) == 0;
  }
  return commonBits(a, b, n) == n;
}

/** Number of leading bits that agree, at most `limit`. `a` as in sameBits. */
export function commonBits(a: usize, b: usize, limit: u32): u32 {
  let n: u32 = 0;
  for (; n + 8 <= limit; n += 8) {
    const x: u32 = atomic.load<u8>(a + (n >> 3)) ^ load<u8>(b + (n >> 3));
    if (x) return n + clz<u32>(x) - 24;
  }
  if (n == limit) return n;
  const x: u32 = atomic.load<u8>(a + (n >> 3)) ^ load<u8>(b + (n >> 3));
  return min(limit, x ? n + clz<u32>(x) - 24 : limit);
}

/** `s` bits from bit `d` on, both multiples of 4: s is 4, or d is 0 and s at most 16. */
// @ts-ignore: decorator
@inline export function bitsAt(data: usize, d: u32, s: u32): u32 {
  const at = data + (d >> 3);
  if (s == 4) return ((<u32>load<u8>(at)) >> (4 - (d & 4))) & 15;
  if (s == 8) return load<u8>(at);
  return (<u32>bswap<u16>(load<u16>(at))) >> (16 - s);
}
