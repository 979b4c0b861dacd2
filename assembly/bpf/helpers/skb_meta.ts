// Helpers on what is known about a packet beside its bytes: hash, type, time stamp, socket; and ECN.
import { SkbState } from "../../layout.gen";
import { EINVAL, EOPNOTSUPP } from "./errno";
import { flowHash } from "./flow_hash";
import { clearHash, netAt, skbAt } from "./skb";
import { ETH_P_IP, ETH_P_IPV6 } from "./skb_shape";
import { ETH_P_8021AD, ETH_P_8021Q } from "./skb_vlan";

const PACKET_OTHERHOST: u32 = 3;
const OVERFLOW_UID: u32 = 65534;

export function skb_change_type(ctx: usize, type: u32): i32 {
  const skb = skbAt(ctx);
  if (skb.pktType > PACKET_OTHERHOST || type > PACKET_OTHERHOST) return -EINVAL;
  skb.pktType = type;
  return 0;
}

export function get_hash_recalc(ctx: usize): u32 {
  const skb = skbAt(ctx);
  if (!skb.hash && !(skb.state & <u32>SkbState.HASH_SET)) {
    skb.hash = flowHash(netAt(skb), skb.dataEnd, skb.protocol);
    skb.state |= <u32>SkbState.HASH_SET;
  }
  return skb.hash;
}

export function set_hash_invalid(ctx: usize): i32 {
  clearHash(skbAt(ctx));
  return 0;
}

export function set_hash(ctx: usize, hash: u32): i32 {
  const skb = skbAt(ctx);
  skb.hash = hash;
  skb.state |= <u32>SkbState.HASH_SET;
  return 0;
}

export function get_socket_cookie(_ctx: usize): u64 { return 0; }
export function get_socket_uid(_ctx: usize): u32 { return OVERFLOW_UID; }

const CLOCK_REALTIME: u32 = 0;
const CLOCK_TAI: u32 = 2;

export function skb_set_tstamp(ctx: usize, stamp: u64, type: u32): i32 {
  const skb = skbAt(ctx);
  if (skb.protocol != ETH_P_IP && skb.protocol != ETH_P_IPV6) return -EOPNOTSUPP;
  if (type > CLOCK_TAI || (type != CLOCK_REALTIME && !stamp)) return -EINVAL;
  skb.tstamp = stamp;
  skb.tstampType = <u8>type;
  return 0;
}

/**
 * INET_ECN_set_ce: 1 when the packet is marked now, 0 when it cannot be. Tags in the packet are stepped over;
 * the kernel, whose packets have their first tag out of band, would write into a second one.
 */
export function skb_ecn_set_ce(ctx: usize): i32 {
  const skb = skbAt(ctx);
  let ip: usize = netAt(skb);
  let protocol = skb.protocol;
  for (let tags = 0; tags < 2 && (protocol == ETH_P_8021Q || protocol == ETH_P_8021AD); tags++) {
    if (ip + 4 > <usize>skb.dataEnd) return 0;
    protocol = load<u16>(ip, 2);
    ip += 4;
  }
  const room = <i64>skb.dataEnd - <i64>ip;
  if (protocol == ETH_P_IP) return room < 20 ? 0 : markV4(ip);
  if (protocol == ETH_P_IPV6) return room < 40 ? 0 : markV6(ip);
  return 0;
}

function markV4(ip: usize): i32 {
  const tos: u32 = load<u8>(ip, 1);
  const ecn = tos & 3;
  if (ecn == 3) return 1;
  if (ecn == 0) return 0;
  // RFC 1624: the word (version, tos) grows by 3 - ecn, so the complemented sum shrinks by as much.
  let check: u32 = <u32>bswap<u16>(load<u16>(ip, 10)) + 0xffff - (3 - ecn);
  check = (check & 0xffff) + (check >> 16);
  store<u16>(ip, bswap<u16>(<u16>check), 10);
  store<u8>(ip, <u8>(tos | 3), 1);
  return 1;
}

function markV6(ip: usize): i32 {
  // Traffic class straddles bytes 0 and 1; ECN are bits 5 and 4 of byte 1.
  const word: u32 = load<u8>(ip, 1);
  const ecn = (word >> 4) & 3;
  if (ecn == 0) return 0;
  store<u8>(ip, <u8>(word | 0x30), 1);
  return 1;
}
