// Address resolution for IPv4 over Ethernet, RFC 826. Called by the slow path and by programs' tests.
// Promises: `check` takes only the Ethernet/IPv4 form, so every getter below has a fixed offset.
//
//   0       2       4     5     6       8            14           18           24           28
//  ┌───────┬───────┬─────┬─────┬───────┬────────────┬────────────┬────────────┬────────────┐
//  │ htype │ ptype │ hlen│ plen│ oper  │ sender MAC │ sender IP  │ target MAC │ target IP  │
//  │ 1     │ 0800  │ 6   │ 4   │ 1, 2  │            │            │            │            │
//  └───────┴───────┴─────┴─────┴───────┴────────────┴────────────┴────────────┴────────────┘
import { copy_mac } from "./eth";
import { ARP_HLEN, ARP_HTYPE, ARP_OPER, ARP_PLEN, ARP_PTYPE, ARP_SHA, ARP_SIZE, ARP_SPA, ARP_THA, ARP_TPA, EtherType, WireStatus } from "./layout.gen";

const HTYPE_ETHERNET: u32 = 1;
const MAC_BYTES: u32 = 6;
const IPV4_BYTES: u32 = 4;

/** Checks an ARP packet of at most `len` bytes at `p` (Ethernet padding may follow it). */
export function check(p: usize, len: u32): i32 {
  if (len < ARP_SIZE) return WireStatus.TRUNCATED;
  if (bswap(load<u16>(p, ARP_HTYPE)) != HTYPE_ETHERNET || bswap(load<u16>(p, ARP_PTYPE)) != EtherType.IPV4) return WireStatus.BAD_TYPE;
  if (load<u8>(p, ARP_HLEN) != MAC_BYTES || load<u8>(p, ARP_PLEN) != IPV4_BYTES) return WireStatus.BAD_LENGTH;
  return WireStatus.OK;
}

/** ArpOper. */
// @ts-ignore: decorator
@inline export function oper(p: usize): u32 { return bswap(load<u16>(p, ARP_OPER)); }
// @ts-ignore: decorator
@inline export function set_oper(p: usize, v: u32): void { store<u16>(p, bswap(<u16>v), ARP_OPER); }
/** Address of the sender's hardware address. */
// @ts-ignore: decorator
@inline export function sha(p: usize): usize { return p + ARP_SHA; }
/** Sender's IPv4 address as in memory. */
// @ts-ignore: decorator
@inline export function spa(p: usize): u32 { return load<u32>(p, ARP_SPA); }
/** Address of the target's hardware address. */
// @ts-ignore: decorator
@inline export function tha(p: usize): usize { return p + ARP_THA; }
/** Target's IPv4 address as in memory. */
// @ts-ignore: decorator
@inline export function tpa(p: usize): u32 { return load<u32>(p, ARP_TPA); }

/** Writes a packet: `from` and `to` point at hardware addresses, protocol addresses as in memory. Returns its length. */
export function emit(p: usize, operation: u32, from: usize, fromIp: u32, to: usize, toIp: u32): u32 {
  store<u16>(p, bswap(<u16>HTYPE_ETHERNET), ARP_HTYPE);
  store<u16>(p, bswap(<u16>EtherType.IPV4), ARP_PTYPE);
  store<u8>(p, MAC_BYTES, ARP_HLEN);
  store<u8>(p, IPV4_BYTES, ARP_PLEN);
  set_oper(p, operation);
  copy_mac(p + ARP_SHA, from);
  store<u32>(p, fromIp, ARP_SPA);
  copy_mac(p + ARP_THA, to);
  store<u32>(p, toIp, ARP_TPA);
  return ARP_SIZE;
}
