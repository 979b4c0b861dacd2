// TCP headers, RFC 9293 §3.1. Called by steering, helpers and transports.
// Promises: after `check`, header and options lie within the bytes given; `option` never looks past the header.
//
//   0                     2                     4
//  ┌─────────────────────┬─────────────────────┐
//  │ source port         │ destination port    │    0 …  4
//  │ sequence number                           │    4 …  8
//  │ acknowledgment number                     │    8 … 12
//  ├──────┬────┬─────────┼─────────────────────┤
//  │ doff │ 0  │CEUAPRSF │ window              │   12 … 16
//  ├──────┴────┴─────────┼─────────────────────┤
//  │ checksum            │ urgent pointer      │   16 … 20
//  ├─────────────────────┴─────────────────────┤
//  │ options: kind │ length │ …,  END and NOP alone      20 … 4 · doff
//  └───────────────────────────────────────────┘
import { csum_fold, csum_partial, csum_reduce } from "../mem/checksum";
import { TCP_ACK, TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_DST_PORT, TCP_FLAGS, TCP_SEQ, TCP_SIZE, TCP_SRC_PORT, TCP_URGENT, TCP_WINDOW, TcpOption, WireStatus } from "./layout.gen";

/** Checks a segment of `len` bytes (the IP payload, padding excluded). Options are asked for apart: `check_options`. */
export function check(p: usize, len: u32): i32 {
  if (len < TCP_SIZE) return WireStatus.TRUNCATED;
  const header = header_bytes(p);
  if (header < TCP_SIZE) return WireStatus.BAD_HEADER_LENGTH;
  if (header > len) return WireStatus.TRUNCATED;
  return WireStatus.OK;
}

// @ts-ignore: decorator
@inline export function src_port(p: usize): u32 { return bswap(load<u16>(p, TCP_SRC_PORT)); }
// @ts-ignore: decorator
@inline export function set_src_port(p: usize, v: u32): void { store<u16>(p, bswap(<u16>v), TCP_SRC_PORT); }
// @ts-ignore: decorator
@inline export function dst_port(p: usize): u32 { return bswap(load<u16>(p, TCP_DST_PORT)); }
// @ts-ignore: decorator
@inline export function set_dst_port(p: usize, v: u32): void { store<u16>(p, bswap(<u16>v), TCP_DST_PORT); }
// @ts-ignore: decorator
@inline export function seq(p: usize): u32 { return bswap(load<u32>(p, TCP_SEQ)); }
// @ts-ignore: decorator
@inline export function ack(p: usize): u32 { return bswap(load<u32>(p, TCP_ACK)); }
// @ts-ignore: decorator
@inline export function header_bytes(p: usize): u32 { return <u32>(load<u8>(p, TCP_DATA_OFFSET) >> 4) << 2; }
/** TcpFlag bits. */
// @ts-ignore: decorator
@inline export function flags(p: usize): u32 { return load<u8>(p, TCP_FLAGS); }
/** Window as sent, not scaled. */
// @ts-ignore: decorator
@inline export function window(p: usize): u32 { return bswap(load<u16>(p, TCP_WINDOW)); }
/** Checksum as in memory. */
// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 { return load<u16>(p, TCP_CHECKSUM); }

/** Checks that the options are well formed: each with a length of at least 2 that ends within the header. */
export function check_options(p: usize): i32 {
  const end = header_bytes(p);
  for (let at: u32 = TCP_SIZE; at < end; ) {
    const kind = load<u8>(p + at);
    if (kind == TcpOption.END) break;
    if (kind == TcpOption.NOP) {
      at++;
      continue;
    }
    if (at + 2 > end) return WireStatus.BAD_OPTION;
    const bytes = <u32>load<u8>(p + at, 1);
    if (bytes < 2 || at + bytes > end) return WireStatus.BAD_OPTION;
    at += bytes;
  }
  return WireStatus.OK;
}

/** Offset of the first option of this kind from `p`, 0 when there is none. Only after `check` and `check_options`. */
export function option(p: usize, kind: u32): u32 {
  const end = header_bytes(p);
  for (let at: u32 = TCP_SIZE; at < end; ) {
    const k = <u32>load<u8>(p + at);
    if (k == TcpOption.END) break;
    if (k == kind) return at;
    at += k == TcpOption.NOP ? 1 : <u32>load<u8>(p + at, 1);
  }
  return 0;
}

/** `len` bytes of segment; `pseudo` is the packet's partial (ipv4.pseudo, ipv6.pseudo). */
export function checksum_ok(p: usize, len: u32, pseudo: u32): bool { return csum_reduce(csum_partial(p, len, pseudo)) == 0xffff; }

/** Writes the right checksum over pseudo header and the `len` bytes of the segment. */
export function fill_checksum(p: usize, len: u32, pseudo: u32): void {
  store<u16>(p, 0, TCP_CHECKSUM);
  store<u16>(p, <u16>csum_fold(csum_partial(p, len, pseudo)), TCP_CHECKSUM);
}

/**
 * Writes the fixed header of a segment of `len` bytes whose options (`header` − 20 bytes) and data already stand
 * behind it, checksum last. Returns `header`.
 */
export function emit(p: usize, from: u32, to: u32, sequence: u32, acknowledged: u32, header: u32, bits: u32, room: u32, len: u32, pseudo: u32): u32 {
  set_src_port(p, from);
  set_dst_port(p, to);
  store<u32>(p, bswap(sequence), TCP_SEQ);
  store<u32>(p, bswap(acknowledged), TCP_ACK);
  store<u8>(p, (header >> 2) << 4, TCP_DATA_OFFSET);
  store<u8>(p, bits, TCP_FLAGS);
  store<u16>(p, bswap(<u16>room), TCP_WINDOW);
  store<u16>(p, 0, TCP_URGENT);
  fill_checksum(p, len, pseudo);
  return header;
}
