// Hashing and finding keys, specialised by key size: 4, 8, 12, 16 and any other.
// The hash is Multilinear-HM (Lemire, Kaser: "Strongly universal string hashing is fast", 2014) over 32-bit
// words with 64-bit random coefficients of the map: any two keys collide with probability 2^-32 however they
// were chosen, so a flood of crafted keys finds no long chain. Two words cost one multiplication.
//   hash = (s0 + Σ (s[2i+1] + w[2i]) · (s[2i+2] + w[2i+1]) [+ s · last word]) >> 32
import { sameBytes } from "./map";

/** Last 1 … 3 bytes of a key as a word. */
// @ts-ignore: decorator
@inline function tailWord(at: usize, n: u32): u64 {
  let w: u64 = 0;
  if (n & 2) w = load<u16>(at);
  if (n & 1) w = (w << 8) | load<u8>(at + (n & 2));
  return w;
}

/** Two words: one multiplication. */
// @ts-ignore: decorator
@inline function pair(s: usize, at: usize): u64 {
  return (load<u64>(s) + load<u32>(at)) * (load<u64>(s, 8) + load<u32>(at, 4));
}

/** Hash of an `n`-byte key. Pass a literal `n` and the rest folds away. */
// @ts-ignore: decorator
@inline export function hashKey(seeds: usize, key: usize, n: u32): u32 {
  let h = load<u64>(seeds);
  if (n == 4) return <u32>((h + load<u64>(seeds, 8) * <u64>load<u32>(key)) >> 32);
  if (n == 8) return <u32>((h + pair(seeds + 8, key)) >> 32);
  if (n == 12)
    return <u32>((h + pair(seeds + 8, key) + load<u64>(seeds, 24) * <u64>load<u32>(key, 8)) >> 32);
  if (n == 16) return <u32>((h + pair(seeds + 8, key) + pair(seeds + 24, key + 8)) >> 32);
  let s = seeds + 8;
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8, s += 16) h += pair(s, key + i);
  if (n & 4) {
    h += load<u64>(s) * <u64>load<u32>(key + i);
    i += 4;
    s += 8;
  }
  if (n & 3) h += load<u64>(s) * tailWord(key + i, n & 3);
  return <u32>(h >> 32);
}

/** Whether two keys are equal. Pass a literal `n` and the rest folds away. */
// @ts-ignore: decorator
@inline export function sameKey(a: usize, b: usize, n: u32): bool {
  if (n == 4) return load<u32>(a) == load<u32>(b);
  if (n == 8) return load<u64>(a) == load<u64>(b);
  if (n == 12) return ((load<u64>(a) ^ load<u64>(b)) | <u64>(load<u32>(a, 8) ^ load<u32>(b, 8))) == 0;
  if (n == 16) return ((load<u64>(a) ^ load<u64>(b)) | (load<u64>(a, 8) ^ load<u64>(b, 8))) == 0;
  return sameBytes(a, b, n);
}
