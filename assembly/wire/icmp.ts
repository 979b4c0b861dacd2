// ICMP messages, RFC 792. Called by the slow path (echo, unreachable) and by test programs.
// Promises: after `check` the 8 common bytes may be read.
//
//   0      1      2          4          6          8
//  ┌──────┬──────┬──────────┬──────────┬──────────┬───────┈
//  │ type │ code │ checksum │ id       │ sequence │ data        echo; other types use 4 … 8 as they like
//  └──────┴──────┴──────────┴──────────┴──────────┴───────┈
import { csum_fold, csum_partial, csum_reduce } from "../mem/checksum";
import { ICMP_CHECKSUM, ICMP_CODE, ICMP_ID, ICMP_SEQ, ICMP_SIZE, ICMP_TYPE, WireStatus } from "./layout.gen";

/** Checks a message of `len` bytes (the IP payload, padding excluded). */
export function check(_p: usize, len: u32): i32 { return len < ICMP_SIZE ? WireStatus.TRUNCATED : WireStatus.OK; }

/** IcmpType. */
// @ts-ignore: decorator
@inline export function type(p: usize): u32 { return load<u8>(p, ICMP_TYPE); }
// @ts-ignore: decorator
@inline export function code(p: usize): u32 { return load<u8>(p, ICMP_CODE); }
/** Checksum as in memory. */
// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 { return load<u16>(p, ICMP_CHECKSUM); }
// @ts-ignore: decorator
@inline export function id(p: usize): u32 { return bswap(load<u16>(p, ICMP_ID)); }
// @ts-ignore: decorator
@inline export function seq(p: usize): u32 { return bswap(load<u16>(p, ICMP_SEQ)); }

export function checksum_ok(p: usize, len: u32): bool { return csum_reduce(csum_partial(p, len, 0)) == 0xffff; }

/** Writes the right checksum over the `len` bytes of the message. */
export function fill_checksum(p: usize, len: u32): void {
  store<u16>(p, 0, ICMP_CHECKSUM);
  store<u16>(p, <u16>csum_fold(csum_partial(p, len, 0)), ICMP_CHECKSUM);
}

/** Writes the header of an echo message whose data already stand behind it, checksum over all `len` bytes. Returns its length. */
export function emit(p: usize, kind: u32, sub: u32, ident: u32, sequence: u32, len: u32): u32 {
  store<u8>(p, kind, ICMP_TYPE);
  store<u8>(p, sub, ICMP_CODE);
  store<u16>(p, bswap(<u16>ident), ICMP_ID);
  store<u16>(p, bswap(<u16>sequence), ICMP_SEQ);
  fill_checksum(p, len);
  return ICMP_SIZE;
}
