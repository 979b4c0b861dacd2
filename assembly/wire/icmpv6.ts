// ICMPv6 messages (RFC 4443 §2.1) and neighbour discovery (RFC 4861 §4). Called by the slow path.
// Promises: after `check` the common bytes may be read, after `check_nd` the target too. Unlike ICMP, the
// checksum covers a pseudo header: the functions that touch it take the packet's partial (ipv6.pseudo).
//
//   0      1      2          4          6          8                    24
//  ┌──────┬──────┬──────────┬──────────┬──────────┬────────────────────┬──────────────────────┈
//  │ type │ code │ checksum │ id       │ sequence │ data                                        echo
//  │ 135,6│ 0    │ checksum │ flags: R S O 0 …    │ target, 16 bytes   │ type│len/8│ MAC         neighbour
//  └──────┴──────┴──────────┴──────────┴──────────┴────────────────────┴──────────────────────┈
import { csum_fold, csum_partial, csum_reduce } from "../mem/checksum";
import { copy_mac } from "./eth";
import { ICMPV6_CHECKSUM, ICMPV6_CODE, ICMPV6_ID, ICMPV6_SEQ, ICMPV6_SIZE, ICMPV6_TYPE, Icmpv6Type, ND_FLAGS, ND_SIZE, ND_TARGET, NdOption, WireStatus } from "./layout.gen";

const LINK_OPTION_BYTES: u32 = 8;

/** Checks a message of `len` bytes (the IPv6 payload after the extension headers). */
export function check(_p: usize, len: u32): i32 { return len < ICMPV6_SIZE ? WireStatus.TRUNCATED : WireStatus.OK; }

/** IcmpType of RFC 4443. */
// @ts-ignore: decorator
@inline export function type(p: usize): u32 { return load<u8>(p, ICMPV6_TYPE); }
// @ts-ignore: decorator
@inline export function code(p: usize): u32 { return load<u8>(p, ICMPV6_CODE); }
/** Checksum as in memory. */
// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 { return load<u16>(p, ICMPV6_CHECKSUM); }
// @ts-ignore: decorator
@inline export function id(p: usize): u32 { return bswap(load<u16>(p, ICMPV6_ID)); }
// @ts-ignore: decorator
@inline export function seq(p: usize): u32 { return bswap(load<u16>(p, ICMPV6_SEQ)); }

/** Checks a neighbour solicitation or advertisement with its options (RFC 4861 §7.1: no option of length 0). */
export function check_nd(p: usize, len: u32): i32 {
  if (len < ND_SIZE) return WireStatus.TRUNCATED;
  const kind = type(p);
  if (kind != Icmpv6Type.NEIGHBOR_SOLICITATION && kind != Icmpv6Type.NEIGHBOR_ADVERTISEMENT) return WireStatus.BAD_TYPE;
  for (let at: u32 = ND_SIZE; at < len; ) {
    if (at + LINK_OPTION_BYTES > len) return WireStatus.TRUNCATED;
    const bytes = <u32>load<u8>(p + at, 1) << 3;
    if (bytes == 0) return WireStatus.BAD_OPTION;
    at += bytes;
    if (at > len) return WireStatus.TRUNCATED;
  }
  return WireStatus.OK;
}

/** Address of the target address. Only after `check_nd`. */
// @ts-ignore: decorator
@inline export function target(p: usize): usize { return p + ND_TARGET; }

/** Address of the hardware address in the option `kind` (NdOption), 0 when there is none. Only after `check_nd`. */
export function link_address(p: usize, len: u32, kind: u32): usize {
  for (let at: u32 = ND_SIZE; at < len; at += <u32>load<u8>(p + at, 1) << 3) {
    if (load<u8>(p + at) == kind) return p + at + 2;
  }
  return 0;
}

export function checksum_ok(p: usize, len: u32, pseudo: u32): bool { return csum_reduce(csum_partial(p, len, pseudo)) == 0xffff; }

/** Writes the right checksum over pseudo header and the `len` bytes of the message. */
export function fill_checksum(p: usize, len: u32, pseudo: u32): void {
  store<u16>(p, 0, ICMPV6_CHECKSUM);
  store<u16>(p, <u16>csum_fold(csum_partial(p, len, pseudo)), ICMPV6_CHECKSUM);
}

/** Writes the header of an echo message whose data already stand behind it. Returns its length. */
export function emit(p: usize, kind: u32, sub: u32, ident: u32, sequence: u32, len: u32, pseudo: u32): u32 {
  store<u8>(p, kind, ICMPV6_TYPE);
  store<u8>(p, sub, ICMPV6_CODE);
  store<u16>(p, bswap(<u16>ident), ICMPV6_ID);
  store<u16>(p, bswap(<u16>sequence), ICMPV6_SEQ);
  fill_checksum(p, len, pseudo);
  return ICMPV6_SIZE;
}

/** Writes a neighbour message; pointers to target and MAC. Without MAC (0) it has no option. Returns its length, 32 or 24. */
export function emit_nd(p: usize, kind: u32, flags: u32, about: usize, mac: usize, pseudo: u32): u32 {
  store<u8>(p, kind, ICMPV6_TYPE);
  store<u8>(p, 0, ICMPV6_CODE);
  store<u32>(p, bswap(flags), ND_FLAGS);
  v128.store(p, v128.load(about), ND_TARGET);
  if (mac == 0) {
    fill_checksum(p, ND_SIZE, pseudo);
    return ND_SIZE;
  }
  const option = p + ND_SIZE;
  store<u8>(option, kind == Icmpv6Type.NEIGHBOR_SOLICITATION ? NdOption.SOURCE_LINK : NdOption.TARGET_LINK);
  store<u8>(option, LINK_OPTION_BYTES >> 3, 1);
  copy_mac(option + 2, mac);
  fill_checksum(p, ND_SIZE + LINK_OPTION_BYTES, pseudo);
  return ND_SIZE + LINK_OPTION_BYTES;
}
