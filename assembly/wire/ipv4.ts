// IPv4 headers, RFC 791 §3.1. Called by steering, helpers and transports.
// Promises: after `check`, header and payload lie within the bytes given, whatever padding follows.
//
//   0          1          2                     4                     6  flags     8
//  ┌────┬─────┬──────────┬─────────────────────┬─────────────────────┬───┬─────────┐
//  │ 4  │ ihl │ tos      │ total length        │ identification      │xDM│ offset  │
//  ├────┴─────┼──────────┼─────────────────────┼─────────────────────┴───┴─────────┤
//  │ ttl      │ protocol │ checksum            │ source                            │   8 … 16
//  ├──────────┴──────────┴─────────────────────┼───────────────────────────────────┘
//  │ destination                               │ options, 4 · (ihl − 5) bytes          16 … 4 · ihl
//  └───────────────────────────────────────────┘
import { csum_fold, csum_partial, csum_pseudo4, csum_reduce, csum_replace2 } from "../mem/checksum";
import { IPV4_CHECKSUM, IPV4_DST, IPV4_FRAGMENT, IPV4_ID, IPV4_PROTOCOL, IPV4_SIZE, IPV4_SRC, IPV4_TOS, IPV4_TOTAL_LENGTH, IPV4_TTL, IPV4_VERSION_IHL, WireStatus } from "./layout.gen";

export const DONT_FRAGMENT: u32 = 0x4000;
export const MORE_FRAGMENTS: u32 = 0x2000;
export const OFFSET_MASK: u32 = 0x1fff;

/** Checks the header at `p` with `len` bytes to the frame's end. The checksum is asked for apart: `checksum_ok`. */
export function check(p: usize, len: u32): i32 {
  if (len < IPV4_SIZE) return WireStatus.TRUNCATED;
  if (load<u8>(p, IPV4_VERSION_IHL) >> 4 != 4) return WireStatus.BAD_VERSION;
  const header = header_bytes(p);
  if (header < IPV4_SIZE) return WireStatus.BAD_HEADER_LENGTH;
  const total = total_length(p);
  if (total < header) return WireStatus.BAD_LENGTH;
  if (total > len) return WireStatus.TRUNCATED;
  return WireStatus.OK;
}

// @ts-ignore: decorator
@inline export function header_bytes(p: usize): u32 { return (<u32>load<u8>(p, IPV4_VERSION_IHL) & 15) << 2; }
// @ts-ignore: decorator
@inline export function tos(p: usize): u32 { return load<u8>(p, IPV4_TOS); }
/** Header and payload, bytes. */
// @ts-ignore: decorator
@inline export function total_length(p: usize): u32 { return bswap(load<u16>(p, IPV4_TOTAL_LENGTH)); }
// @ts-ignore: decorator
@inline export function id(p: usize): u32 { return bswap(load<u16>(p, IPV4_ID)); }
/** Payload offset of this fragment, bytes. */
// @ts-ignore: decorator
@inline export function fragment_offset(p: usize): u32 { return (<u32>bswap(load<u16>(p, IPV4_FRAGMENT)) & OFFSET_MASK) << 3; }
// @ts-ignore: decorator
@inline export function more_fragments(p: usize): bool { return (bswap(load<u16>(p, IPV4_FRAGMENT)) & MORE_FRAGMENTS) != 0; }
/** Part of a larger packet? Tested on the word as it lies in memory: one load, one and. */
// @ts-ignore: decorator
@inline export function is_fragment(p: usize): bool { return (load<u16>(p, IPV4_FRAGMENT) & bswap<u16>(<u16>(MORE_FRAGMENTS | OFFSET_MASK))) != 0; }
// @ts-ignore: decorator
@inline export function ttl(p: usize): u32 { return load<u8>(p, IPV4_TTL); }
// @ts-ignore: decorator
@inline export function protocol(p: usize): u32 { return load<u8>(p, IPV4_PROTOCOL); }
/** Header checksum as in memory. */
// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 { return load<u16>(p, IPV4_CHECKSUM); }
/** Source address as in memory. */
// @ts-ignore: decorator
@inline export function src(p: usize): u32 { return load<u32>(p, IPV4_SRC); }
// @ts-ignore: decorator
@inline export function set_src(p: usize, v: u32): void { store<u32>(p, v, IPV4_SRC); }
/** Destination address as in memory. */
// @ts-ignore: decorator
@inline export function dst(p: usize): u32 { return load<u32>(p, IPV4_DST); }
// @ts-ignore: decorator
@inline export function set_dst(p: usize, v: u32): void { store<u32>(p, v, IPV4_DST); }

/** A right header sums to all ones, its checksum included. Only after `check`. */
export function checksum_ok(p: usize): bool { return csum_reduce(csum_partial(p, header_bytes(p), 0)) == 0xffff; }

/** Writes the right header checksum. */
export function fill_checksum(p: usize): void {
  store<u16>(p, 0, IPV4_CHECKSUM);
  store<u16>(p, <u16>csum_fold(csum_partial(p, header_bytes(p), 0)), IPV4_CHECKSUM);
}

/** Takes one from the TTL and mends the checksum (RFC 1624). Returns the new TTL; the caller drops at 0. */
export function decrease_ttl(p: usize): u32 {
  // TTL and protocol share a checksum word; the TTL is its first byte, so the low one of a little-endian load.
  const from = load<u16>(p, IPV4_TTL);
  const to = <u16>(from - 1);
  store<u16>(p, to, IPV4_TTL);
  store<u16>(p, <u16>csum_replace2(checksum(p), from, to), IPV4_CHECKSUM);
  return to & 0xff;
}

/** Sets CE (RFC 3168 §5) and mends the checksum. False for a packet that is not ECN-capable, or marked already. */
export function mark_ce(p: usize): bool {
  const codepoint = tos(p) & 3;
  if (codepoint == 0 || codepoint == 3) return false;
  // Version and TOS share a checksum word; the TOS is its second byte, so the high one of a little-endian load.
  const from = load<u16>(p, IPV4_VERSION_IHL);
  const to = <u16>(from | 0x0300);
  store<u16>(p, to, IPV4_VERSION_IHL);
  store<u16>(p, <u16>csum_replace2(checksum(p), from, to), IPV4_CHECKSUM);
  return true;
}

/** Partial of the pseudo header for `length` bytes of `proto`. */
// @ts-ignore: decorator
@inline export function pseudo(p: usize, proto: u32, length: u32): u32 { return csum_pseudo4(src(p), dst(p), length, proto); }

/** Writes a header without options, checksum included. `fragment` holds flags and offset / 8. Returns its length. */
export function emit(p: usize, service: u32, total: u32, ident: u32, fragment: u32, hops: u32, proto: u32, from: u32, to: u32): u32 {
  store<u8>(p, 0x45, IPV4_VERSION_IHL);
  store<u8>(p, service, IPV4_TOS);
  store<u16>(p, bswap(<u16>total), IPV4_TOTAL_LENGTH);
  store<u16>(p, bswap(<u16>ident), IPV4_ID);
  store<u16>(p, bswap(<u16>fragment), IPV4_FRAGMENT);
  store<u8>(p, hops, IPV4_TTL);
  store<u8>(p, proto, IPV4_PROTOCOL);
  set_src(p, from);
  set_dst(p, to);
  fill_checksum(p);
  return IPV4_SIZE;
}
