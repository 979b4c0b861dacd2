// Receive-side scaling in batches, for benchmarks.
import { rss_hash, rss_toeplitz } from "../nic/rss";

/** Hashes the frame at `data` `rounds` times. */
export function rss_turn(data: usize, len: u32, rounds: u32): u32 {
  let all: u32 = 0;
  for (let i: u32 = 0; i < rounds; i++) all = (all << 1) ^ rss_hash(data, len);
  return all;
}

/** The same by the definition, over the `bytes` of input at `input`. */
export function rss_turn_plain(key: usize, input: usize, bytes: u32, rounds: u32): u32 {
  let all: u32 = 0;
  for (let i: u32 = 0; i < rounds; i++) all = (all << 1) ^ rss_toeplitz(key, input, bytes);
  return all;
}
