// VLAN helpers (net/core/skbuff.c). As in the kernel the outermost tag is kept out of band, in
// vlan_present, vlan_proto and vlan_tci; tags below it stand in the packet.
import { SkBuff } from "../../layout.gen";
import { ENOMEM } from "./errno";
import { pop, push } from "./skb_shape";
import { skbAt } from "./skb";
import { VLAN_SIZE as VLAN_HLEN } from "../../wire/layout.gen";

export const ETH_P_8021Q: u32 = 0x0081; // network order
export const ETH_P_8021AD: u32 = 0xa888;
const ETH_P_802_3: u32 = 0x0100;
const ETH_P_802_2: u32 = 0x0400;
const VLAN_ETH_HLEN: u32 = 18;
/** Both addresses of the link header. */
export const TAG_AT: u32 = 12;

// @ts-ignore: decorator
@inline function isVlan(protocol: u32): bool {
  return protocol == ETH_P_8021Q || protocol == ETH_P_8021AD;
}

function setTag(skb: SkBuff, proto: u32, tci: u32): void {
  skb.vlanPresent = 1;
  skb.vlanProto = proto;
  skb.vlanTci = tci;
}

function clearTag(skb: SkBuff): void {
  skb.vlanPresent = 0;
  skb.vlanProto = 0;
  skb.vlanTci = 0;
}

/** Writes the out-of-band tag into the packet: for whoever puts the frame on a wire. -ENOMEM without headroom. */
export function skb_insert_tag(ctx: usize): i32 {
  const skb = skbAt(ctx);
  if (!skb.vlanPresent) return 0;
  const err = push(skb, TAG_AT, VLAN_HLEN);
  if (err) return err;
  store<u16>(skb.data, <u16>skb.vlanProto, TAG_AT);
  store<u16>(skb.data, bswap<u16>(<u16>skb.vlanTci), TAG_AT + 2);
  skb.protocol = skb.vlanProto;
  clearTag(skb);
  return 0;
}

export function skb_vlan_push(ctx: usize, proto: u32, tci: u32): i32 {
  const skb = skbAt(ctx);
  let tag = proto & 0xffff;
  if (!isVlan(tag)) tag = ETH_P_8021Q;
  const err = skb_insert_tag(ctx);
  if (err) return err;
  setTag(skb, tag, tci & 0xffff);
  return 0;
}

/** Takes the first tag out of the packet; its TCI, or a negative error. */
function takeTag(skb: SkBuff): i32 {
  if (skb.len < VLAN_ETH_HLEN) return -ENOMEM;
  const tci: u32 = bswap<u16>(load<u16>(skb.data, TAG_AT + 2));
  const inner = load<u16>(skb.data, TAG_AT + 4);
  // Below 1536 the field is a length: 802.3 frames, Novell's when they begin with ffff.
  if (bswap<u16>(inner) >= 1536) skb.protocol = inner;
  else skb.protocol = skb.len >= 20 && load<u16>(skb.data, VLAN_ETH_HLEN) == 0xffff ? ETH_P_802_3 : ETH_P_802_2;
  pop(skb, TAG_AT, VLAN_HLEN);
  return tci;
}

export function skb_vlan_pop(ctx: usize): i32 {
  const skb = skbAt(ctx);
  if (skb.vlanPresent) {
    clearTag(skb);
  } else {
    if (!isVlan(skb.protocol)) return 0;
    const tci = takeTag(skb);
    if (tci < 0) return tci;
  }
  if (!isVlan(skb.protocol)) return 0;
  const proto = skb.protocol;
  const tci = takeTag(skb);
  if (tci < 0) return tci;
  setTag(skb, proto, tci);
  return 0;
}
