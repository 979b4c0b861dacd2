// UDP headers, RFC 768. Called by steering, helpers and transports.
// Promises: after `check`, header and payload lie within the bytes given.
//
//   0             2             4             6             8
//  ┌─────────────┬─────────────┬─────────────┬─────────────┬──────┈
//  │ source port │ destination │ length      │ checksum    │ data        checksum 0: none was made (IPv4 only)
//  └─────────────┴─────────────┴─────────────┴─────────────┴──────┈
import { csum_fold, csum_partial, csum_reduce } from "../mem/checksum";
import { UDP_CHECKSUM, UDP_DST_PORT, UDP_LENGTH, UDP_SIZE, UDP_SRC_PORT, WireStatus } from "./layout.gen";

/** Checks a datagram with `len` bytes to the end of the IP payload. */
export function check(p: usize, len: u32): i32 {
  if (len < UDP_SIZE) return WireStatus.TRUNCATED;
  const bytes = length(p);
  if (bytes < UDP_SIZE) return WireStatus.BAD_LENGTH;
  if (bytes > len) return WireStatus.TRUNCATED;
  return WireStatus.OK;
}

// @ts-ignore: decorator
@inline export function src_port(p: usize): u32 { return bswap(load<u16>(p, UDP_SRC_PORT)); }
// @ts-ignore: decorator
@inline export function set_src_port(p: usize, v: u32): void { store<u16>(p, bswap(<u16>v), UDP_SRC_PORT); }
// @ts-ignore: decorator
@inline export function dst_port(p: usize): u32 { return bswap(load<u16>(p, UDP_DST_PORT)); }
// @ts-ignore: decorator
@inline export function set_dst_port(p: usize, v: u32): void { store<u16>(p, bswap(<u16>v), UDP_DST_PORT); }
/** Header and data, bytes. */
// @ts-ignore: decorator
@inline export function length(p: usize): u32 { return bswap(load<u16>(p, UDP_LENGTH)); }
/** Checksum as in memory. */
// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 { return load<u16>(p, UDP_CHECKSUM); }

/** Right, or not made at all. `pseudo` is the packet's partial (ipv4.pseudo, ipv6.pseudo). */
export function checksum_ok(p: usize, pseudo: u32): bool {
  return checksum(p) == 0 || csum_reduce(csum_partial(p, length(p), pseudo)) == 0xffff;
}

/** Writes the right checksum; a sum of 0 is sent as all ones, since 0 means none. */
export function fill_checksum(p: usize, pseudo: u32): void {
  store<u16>(p, 0, UDP_CHECKSUM);
  const sum = csum_fold(csum_partial(p, length(p), pseudo));
  store<u16>(p, sum == 0 ? 0xffff : <u16>sum, UDP_CHECKSUM);
}

/** Writes the header of a datagram whose data already stand behind it. Returns its length. */
export function emit(p: usize, from: u32, to: u32, bytes: u32, pseudo: u32): u32 {
  set_src_port(p, from);
  set_dst_port(p, to);
  store<u16>(p, bswap(<u16>bytes), UDP_LENGTH);
  fill_checksum(p, pseudo);
  return UDP_SIZE;
}
