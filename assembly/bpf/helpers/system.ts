// Helpers that need nothing but the lane: time, chance, identity.
// Called by compiled programs and the interpreter; none has a context.
import { nowNs } from "../../core/clock";
import { lane, self } from "../../core/lane";

/** Ticks per second that programs see in jiffies64 (CONFIG_HZ of Debian and most distributions). */
const HZ: u64 = 250;
/** INITIAL_JIFFIES: the kernel starts 300 s before the counter's low half wraps. */
const INITIAL_JIFFIES: u64 = <u64>(<u32>(-300 * 250));

export function ktime_get_ns(): u64 { return nowNs; }
export function ktime_get_boot_ns(): u64 { return nowNs; }
export function ktime_get_coarse_ns(): u64 { return nowNs; }
export function ktime_get_tai_ns(): u64 { return nowNs + self().taiOffsetNs; }
export function jiffies64(): u64 { return INITIAL_JIFFIES + nowNs / (1000000000 / HZ); }
export function get_smp_processor_id(): u32 { return lane; }
export function get_numa_node_id(): u32 { return 0; }

/** splitmix32 step: spreads a small seed over a word of state. */
// @ts-ignore: decorator
@inline function spread(x: u32): u32 {
  x = (x ^ (x >> 16)) * 0x21f0aaad;
  x = (x ^ (x >> 15)) * 0x735a2d97;
  return x ^ (x >> 15);
}

/** Seeds the lane's generator. Engine.create does it for every lane; one that nobody seeded takes its number. */
export function prandom_seed(seed: u32): void {
  const s = self();
  s.random0 = spread(seed + 0x9e3779b9);
  s.random1 = spread(seed + 0x3c6ef372);
  s.random2 = spread(seed + 0xdaa66d2b);
  s.random3 = spread(seed + 0x78dde6e4) | 1; // never all zero
}

/** xoshiro128++ 1.0 (Blackman, Vigna): state in LaneState, so that a run can be repeated. */
export function get_prandom_u32(): u32 {
  const s = self();
  if (s.random3 == 0 && (s.random0 | s.random1 | s.random2) == 0) prandom_seed(lane);
  const s0 = s.random0, s1 = s.random1, s2 = s.random2, s3 = s.random3;
  const result = rotl<u32>(s0 + s3, 7) + s0;
  const x2 = s2 ^ s0;
  const x3 = s3 ^ s1;
  s.random1 = s1 ^ x2;
  s.random0 = s0 ^ x3;
  s.random2 = x2 ^ (s1 << 9);
  s.random3 = rotl<u32>(x3, 11);
  return result;
}
