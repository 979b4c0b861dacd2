// IPv6 headers and the chain of extension headers, RFC 8200 §3 and §4. Called by steering, helpers, transports.
// Promises: `check` and `walk` never look past the bytes given; a chain longer than MAX_EXTENSIONS is refused.
//
//   0    4         12                     32 bits
//  ┌────┬─────────┬──────────────────────┐
//  │ 6  │ class   │ flow label           │   0 … 4
//  ├────┴─────────┴──┬─────────┬─────────┤
//  │ payload length  │ next    │ hops    │   4 … 8
//  ├─────────────────┴─────────┴─────────┤
//  │ source, 16 bytes                    │   8 … 24
//  │ destination, 16 bytes               │  24 … 40
//  └─────────────────────────────────────┘
//  extension:  next │ length / 8 − 1 │ …       fragment:  next │ 0 │ offset 13, 00, M │ id 32
import { csum_pseudo6 } from "../mem/checksum";
import { IPV6_DST, IPV6_EXT_LENGTH, IPV6_EXT_NEXT_HEADER, IPV6_FRAGMENT_ID, IPV6_FRAGMENT_OFFSET, IPV6_FRAGMENT_SIZE, IPV6_HOP_LIMIT, IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH, IPV6_SIZE, IPV6_SRC, IPV6_VERSION_CLASS_FLOW, IpProto, MAX_EXTENSIONS, WireStatus } from "./layout.gen";

/** Checks the fixed header at `p` with `len` bytes to the frame's end. */
export function check(p: usize, len: u32): i32 {
  if (len < IPV6_SIZE) return WireStatus.TRUNCATED;
  if (load<u8>(p, IPV6_VERSION_CLASS_FLOW) >> 4 != 6) return WireStatus.BAD_VERSION;
  if (IPV6_SIZE + payload_length(p) > len) return WireStatus.TRUNCATED;
  return WireStatus.OK;
}

// @ts-ignore: decorator
@inline export function traffic_class(p: usize): u32 { return (bswap(load<u32>(p, IPV6_VERSION_CLASS_FLOW)) >> 20) & 0xff; }
// @ts-ignore: decorator
@inline export function flow_label(p: usize): u32 { return bswap(load<u32>(p, IPV6_VERSION_CLASS_FLOW)) & 0xfffff; }
/** Bytes after the fixed header, extension headers included. */
// @ts-ignore: decorator
@inline export function payload_length(p: usize): u32 { return bswap(load<u16>(p, IPV6_PAYLOAD_LENGTH)); }
// @ts-ignore: decorator
@inline export function next_header(p: usize): u32 { return load<u8>(p, IPV6_NEXT_HEADER); }
// @ts-ignore: decorator
@inline export function hop_limit(p: usize): u32 { return load<u8>(p, IPV6_HOP_LIMIT); }
// @ts-ignore: decorator
@inline export function set_hop_limit(p: usize, v: u32): void { store<u8>(p, v, IPV6_HOP_LIMIT); }
/** Sets CE (RFC 3168 §5). False for a packet that is not ECN-capable, or marked already. */
export function mark_ce(p: usize): bool {
  const codepoint = traffic_class(p) & 3;
  if (codepoint == 0 || codepoint == 3) return false;
  store<u8>(p, load<u8>(p, IPV6_VERSION_CLASS_FLOW + 1) | 0x30, IPV6_VERSION_CLASS_FLOW + 1);
  return true;
}
/** Address of the source address. */
// @ts-ignore: decorator
@inline export function src(p: usize): usize { return p + IPV6_SRC; }
/** Address of the destination address. */
// @ts-ignore: decorator
@inline export function dst(p: usize): usize { return p + IPV6_DST; }

/** Header types `walk` steps over; the fragment header is 8 bytes by definition, the others say their length. */
// @ts-ignore: decorator
@inline export function is_extension(next: u32): bool {
  return next == IpProto.HOPOPTS || next == IpProto.ROUTING || next == IpProto.DSTOPTS || next == IpProto.FRAGMENT || next == IpProto.AH || next == IpProto.MOBILITY;
}

/** After `walk`: type of the upper-layer header. */
export let upper: u32 = 0;
/** After `walk`: offset of the upper-layer header from `p`. */
export let upperAt: u32 = 0;
/** After `walk`: offset of the fragment header from `p`, 0 when there is none. */
export let fragmentAt: u32 = 0;

/**
 * Walks the extension headers of a checked packet; fills `upper`, `upperAt` and `fragmentAt`.
 * Behind the fragment header of a later fragment lies payload, so the walk ends there.
 */
export function walk(p: usize): i32 {
  const end = IPV6_SIZE + payload_length(p);
  let next = next_header(p);
  let at: u32 = IPV6_SIZE;
  fragmentAt = 0;
  for (let n: u32 = 0; is_extension(next); n++) {
    if (n == MAX_EXTENSIONS) return WireStatus.TOO_MANY_HEADERS;
    if (at + IPV6_FRAGMENT_SIZE > end) return WireStatus.TRUNCATED;
    const e = p + at;
    let bytes: u32 = IPV6_FRAGMENT_SIZE;
    const kind = next;
    // AH counts in units of 4 bytes, RFC 4302 §2.2.
    if (kind == IpProto.AH) bytes = (<u32>load<u8>(e, IPV6_EXT_LENGTH) + 2) << 2;
    else if (kind != IpProto.FRAGMENT) bytes = (<u32>load<u8>(e, IPV6_EXT_LENGTH) + 1) << 3;
    if (at + bytes > end) return WireStatus.TRUNCATED;
    next = load<u8>(e, IPV6_EXT_NEXT_HEADER);
    if (kind == IpProto.FRAGMENT) {
      fragmentAt = at;
      if (fragment_offset(p) != 0) {
        at += bytes;
        break;
      }
    }
    at += bytes;
  }
  upper = next;
  upperAt = at;
  return WireStatus.OK;
}

/** Payload offset of this fragment, bytes. Only after `walk` found a fragment header. */
// @ts-ignore: decorator
@inline export function fragment_offset(p: usize): u32 { return <u32>bswap(load<u16>(p + fragmentAt, IPV6_FRAGMENT_OFFSET)) & 0xfff8; }
// @ts-ignore: decorator
@inline export function more_fragments(p: usize): bool { return (bswap(load<u16>(p + fragmentAt, IPV6_FRAGMENT_OFFSET)) & 1) != 0; }
// @ts-ignore: decorator
@inline export function fragment_id(p: usize): u32 { return bswap(load<u32>(p + fragmentAt, IPV6_FRAGMENT_ID)); }

/** Partial of the pseudo header for `length` bytes of `proto`. */
// @ts-ignore: decorator
@inline export function pseudo(p: usize, proto: u32, length: u32): u32 { return csum_pseudo6(p + IPV6_SRC, length, proto); }

/** Writes a fixed header; `from` and `to` point at 16-byte addresses. Returns its length. */
export function emit(p: usize, service: u32, flow: u32, payload: u32, next: u32, hops: u32, from: usize, to: usize): u32 {
  store<u32>(p, bswap((6 << 28) | (service << 20) | flow), IPV6_VERSION_CLASS_FLOW);
  store<u16>(p, bswap(<u16>payload), IPV6_PAYLOAD_LENGTH);
  store<u8>(p, next, IPV6_NEXT_HEADER);
  set_hop_limit(p, hops);
  v128.store(p, v128.load(from), IPV6_SRC);
  v128.store(p, v128.load(to), IPV6_DST);
  return IPV6_SIZE;
}

/** Writes a fragment header at `e`; `offset` in bytes, a multiple of 8. Returns its length. */
export function emit_fragment(e: usize, next: u32, offset: u32, more: bool, ident: u32): u32 {
  store<u8>(e, next, IPV6_EXT_NEXT_HEADER);
  store<u8>(e, 0, IPV6_EXT_LENGTH);
  store<u16>(e, bswap(<u16>(offset | u32(more))), IPV6_FRAGMENT_OFFSET);
  store<u32>(e, bswap(ident), IPV6_FRAGMENT_ID);
  return IPV6_FRAGMENT_SIZE;
}

/** What `walk` found, for the host. */
export function upper_protocol(): u32 { return upper; }
export function upper_at(): u32 { return upperAt; }
export function fragment_at(): u32 { return fragmentAt; }
