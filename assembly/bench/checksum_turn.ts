// Batches for benchmarks and tests: the loop is inside Wasm, so that calls from JavaScript do not show.
import { csum_partial } from "../mem/checksum";

/** RFC 1071 §4.1 as it is written, word by word: what csum_partial is compared with. */
export function csum_plain(ptr: usize, len: u32, seed: u32): u32 {
  let sum: u64 = seed;
  let left = len;
  for (; left > 1; left -= 2, ptr += 2) sum += load<u16>(ptr);
  if (left) sum += load<u8>(ptr);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return <u32>sum;
}

/** `rounds` sums over the same bytes, each the seed of the next. */
export function csum_turn(ptr: usize, len: u32, rounds: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < rounds; i++) sum = csum_partial(ptr, len, sum);
  return sum;
}

export function csum_turn_plain(ptr: usize, len: u32, rounds: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < rounds; i++) sum = csum_plain(ptr, len, sum);
  return sum;
}
