// What every map type shares: the header's overlay, flags, result codes, moving and comparing bytes.
// A map pointer is the address of a MapHeader (host/layout). Results are 0 or a negative errno, as in the kernel.
import { MapHeader } from "../../layout.gen";
import { self } from "../../core/lane";

/** errno values of Linux that map operations return (negated). */
export const enum Errno {
  EPERM = 1,
  ENOENT = 2,
  E2BIG = 7,
  EAGAIN = 11,
  ENOMEM = 12,
  EBUSY = 16,
  EEXIST = 17,
  ENODEV = 19,
  EINVAL = 22,
  ENOSPC = 28,
  EDEADLK = 35,
  EOVERFLOW = 75,
  EOPNOTSUPP = 95,
}

/** Flags of an update (include/uapi/linux/bpf.h). */
export const BPF_ANY: u64 = 0;
export const BPF_NOEXIST: u64 = 1;
export const BPF_EXIST: u64 = 2;
export const BPF_F_LOCK: u64 = 4;

// @ts-ignore: decorator
@inline export function head(map: usize): MapHeader { return changetype<MapHeader>(map); }

/** Before a change: should this lane die in it, the elements of the map are looked through (reclaim.ts). */
// @ts-ignore: decorator
@inline export function begin(map: usize): void { self().handMap = <u32>map; }

/** After a change; hands its result on. */
// @ts-ignore: decorator
@inline export function done(result: i64): i64 {
  self().handMap = 0;
  return result;
}

// @ts-ignore: decorator
@inline export function fail(errno: i32): i64 { return -(<i64>errno); }

// @ts-ignore: decorator
@inline export function roundUp8(n: u32): u32 { return (n + 7) & ~7; }

/**
 * Copies `n` bytes. Words of 8 first, so that an aligned field is never torn; memory.copy pays a call out of
 * Wasm in V8, worth it from some hundred bytes.
 */
// @ts-ignore: decorator
@inline export function copyBytes(to: usize, from: usize, n: u32): void {
  if (n > 256) {
    memory.copy(to, from, n);
    return;
  }
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) store<u64>(to + i, load<u64>(from + i));
  if (n & 4) {
    store<u32>(to + i, load<u32>(from + i));
    i += 4;
  }
  if (n & 2) {
    store<u16>(to + i, load<u16>(from + i));
    i += 2;
  }
  if (n & 1) store<u8>(to + i, load<u8>(from + i));
}

// @ts-ignore: decorator
@inline export function zeroBytes(at: usize, n: u32): void {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) store<u64>(at + i, 0);
  for (; i < n; i++) store<u8>(at + i, 0);
}

/** Whether `n` bytes are equal; no order is told. */
// @ts-ignore: decorator
@inline export function sameBytes(a: usize, b: usize, n: u32): bool {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
  if (n & 4) {
    if (load<u32>(a + i) != load<u32>(b + i)) return false;
    i += 4;
  }
  if (n & 2) {
    if (load<u16>(a + i) != load<u16>(b + i)) return false;
    i += 2;
  }
  return !(n & 1) || load<u8>(a + i) == load<u8>(b + i);
}

/** check_flags of the kernel's hash tables: `found` says whether the key is there. */
// @ts-ignore: decorator
@inline export function checkFlags(found: bool, flags: u64): i64 {
  const f = flags & ~BPF_F_LOCK;
  if (found && f == BPF_NOEXIST) return fail(Errno.EEXIST);
  if (!found && f == BPF_EXIST) return fail(Errno.ENOENT);
  return 0;
}
