// Helpers that change where a packet's bytes lie: room, head, tail, IPv4 ↔ IPv6 (net/core/filter.c).
// The frame bounds what the kernel would reallocate: no headroom or tailroom left gives -ENOMEM.
import { SkBuff, SkbState } from "../../layout.gen";
import { EALREADY, EFAULT, EINVAL, ENOMEM, ENOTSUPP } from "./errno";
import { clearHash, macAt, netAt, netOffset, skbAt } from "./skb";

export const ETH_P_IP: u32 = 0x0008; // in network order, as skb.protocol
export const ETH_P_IPV6: u32 = 0xdd86;
const IPV4_HLEN: u32 = 20;
const IPV6_HLEN: u32 = 40;
/** BPF_SKB_MAX_LEN of the kernel is a page order away from any frame here. */
const MAX_LEN: u32 = 0x4000;

/**
 * Makes `len` zero bytes at `off` by moving what lies before it towards the head (bpf_skb_generic_push). A packet that ends
 * before `off` has no such place: the kernel moves what its buffer holds behind it, here the next frame would begin there.
 */
export function push(skb: SkBuff, off: u32, len: u32): i32 {
  if (off > skb.len || skb.data < skb.hardStart + len) return -ENOMEM;
  const data = skb.data;
  memory.copy(data - len, data, off);
  memory.fill(data - len + off, 0, len);
  shift(skb, -<i32>len);
  return 0;
}

/** Takes `len` bytes at `off` away (bpf_skb_generic_pop). */
export function pop(skb: SkBuff, off: u32, len: u32): i32 {
  if (off + len > skb.len) return -ENOMEM;
  const data = skb.data;
  memory.copy(data + len, data, off);
  shift(skb, <i32>len);
  return 0;
}

/** Moves `data` and the header marks by `by` bytes; metadata before the packet is lost, as in the kernel. */
function shift(skb: SkBuff, by: i32): void {
  skb.data += by;
  skb.len -= by;
  skb.dataMeta = skb.data;
  if (skb.macAt) skb.macAt += by;
  if (skb.netAt) skb.netAt += by;
}

// @ts-ignore: decorator
@inline function baseLen(protocol: u32): u32 {
  return protocol == ETH_P_IP ? IPV4_HLEN : protocol == ETH_P_IPV6 ? IPV6_HLEN : u32.MAX_VALUE;
}

export function skb_change_proto(ctx: usize, proto: u32, flags: u64): i32 {
  if (flags) return -EINVAL;
  const skb = skbAt(ctx);
  const to = proto & 0xffff;
  const off = netAt(skb) - macAt(skb);
  let err: i32;
  if (skb.protocol == ETH_P_IP && to == ETH_P_IPV6) err = push(skb, off, IPV6_HLEN - IPV4_HLEN);
  else if (skb.protocol == ETH_P_IPV6 && to == ETH_P_IP) err = pop(skb, off, IPV6_HLEN - IPV4_HLEN);
  else return -ENOTSUPP;
  if (err) return err;
  skb.protocol = to;
  clearHash(skb);
  return 0;
}

const ADJ_ROOM_NET: u32 = 0;
const ADJ_ROOM_MAC: u32 = 1;
const F_FIXED_GSO: u64 = 1;
const F_ENCAP_L3_IPV4: u64 = 1 << 1;
const F_ENCAP_L3_IPV6: u64 = 1 << 2;
const F_ENCAP_L3: u64 = F_ENCAP_L3_IPV4 | F_ENCAP_L3_IPV6;
const F_ENCAP_L4_GRE: u64 = 1 << 3;
const F_ENCAP_L4_UDP: u64 = 1 << 4;
const F_NO_CSUM_RESET: u64 = 1 << 5;
const F_ENCAP_L2_ETH: u64 = 1 << 6;
const F_DECAP_L3_IPV4: u64 = 1 << 7;
const F_DECAP_L3_IPV6: u64 = 1 << 8;
const F_DECAP_L3: u64 = F_DECAP_L3_IPV4 | F_DECAP_L3_IPV6;
const F_ENCAP_L2_SHIFT: u64 = 56;
const F_ALL: u64 = 0x1ff | (<u64>0xff << F_ENCAP_L2_SHIFT);

export function skb_adjust_room(ctx: usize, diff: i32, mode: u32, flags: u64): i32 {
  const skb = skbAt(ctx);
  const shrink = diff < 0;
  const len: u32 = shrink ? -diff : diff;
  if (flags & ~F_ALL) return -EINVAL;
  if (len > 0xfff) return -EFAULT;
  let least = baseLen(skb.protocol);
  if (least == u32.MAX_VALUE) return -ENOTSUPP;
  let off = netAt(skb) - macAt(skb);
  if (mode == ADJ_ROOM_NET) off += least;
  else if (mode != ADJ_ROOM_MAC) return -ENOTSUPP;
  if (flags & F_DECAP_L3) {
    if (!shrink) return -EINVAL;
    switch (<u32>(flags & F_DECAP_L3)) {
      case <u32>F_DECAP_L3_IPV4: least = IPV4_HLEN; break;
      case <u32>F_DECAP_L3_IPV6: least = IPV6_HLEN; break;
      default: return -EINVAL;
    }
  }
  const held = <u32>(<i32>skb.len - netOffset(skb));
  if (shrink ? len >= held || held - len < least : skb.len + len > MAX_LEN) return -ENOTSUPP;
  return shrink ? shrinkRoom(skb, off, len, flags) : growRoom(skb, off, len, flags);
}

function growRoom(skb: SkBuff, off: u32, len: u32, flags: u64): i32 {
  const innerMac = <u32>(flags >> F_ENCAP_L2_SHIFT);
  const encap = (flags & F_ENCAP_L3) != 0;
  if (encap) {
    if ((flags & F_ENCAP_L3) == F_ENCAP_L3) return -EINVAL;
    if ((flags & (F_ENCAP_L4_GRE | F_ENCAP_L4_UDP)) == (F_ENCAP_L4_GRE | F_ENCAP_L4_UDP)) return -EINVAL;
    if (flags & F_ENCAP_L2_ETH && innerMac < 14) return -EINVAL;
    if (skb.state & <u32>SkbState.ENCAPSULATED) return -EALREADY;
    if (innerMac > len) return -EINVAL;
  }
  const err = push(skb, off, len);
  if (err) return err;
  if (encap) {
    skb.state |= <u32>SkbState.ENCAPSULATED;
    skb.protocol = flags & F_ENCAP_L3_IPV6 ? ETH_P_IPV6 : ETH_P_IP;
  }
  return 0;
}

function shrinkRoom(skb: SkBuff, off: u32, len: u32, flags: u64): i32 {
  if (flags & ~(F_FIXED_GSO | F_DECAP_L3 | F_NO_CSUM_RESET)) return -EINVAL;
  const err = pop(skb, off, len);
  if (err) return err;
  if (flags & F_DECAP_L3) skb.protocol = flags & F_DECAP_L3_IPV6 ? ETH_P_IPV6 : ETH_P_IP;
  return 0;
}

export function skb_change_tail(ctx: usize, len: u32, flags: u64): i32 {
  const skb = skbAt(ctx);
  const least = max<i32>(netOffset(skb), 0);
  if (flags || len > MAX_LEN || len < <u32>least) return -EINVAL;
  if (skb.state & <u32>SkbState.ENCAPSULATED) return -ENOTSUPP;
  const end = skb.data + len;
  if (len > skb.len) {
    if (end > skb.frameEnd) return -ENOMEM;
    memory.fill(skb.dataEnd, 0, end - skb.dataEnd);
  }
  skb.dataEnd = end;
  skb.len = len;
  return 0;
}

export function skb_change_head(ctx: usize, room: u32, flags: u64): i32 {
  const skb = skbAt(ctx);
  if (flags || <i32>room < 0 || <u64>skb.len + room > MAX_LEN) return -EINVAL;
  if (<i64>skb.data - room < <i64>skb.hardStart) return -ENOMEM;
  skb.netAt = netAt(skb); // stays with its header while the link header moves
  skb.data -= room;
  skb.len += room;
  skb.dataMeta = skb.data;
  memory.fill(skb.data, 0, room);
  skb.macAt = 0;
  return 0;
}
