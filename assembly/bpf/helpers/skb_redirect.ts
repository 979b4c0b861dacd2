// Redirects of tc programs that need the packet: a copy sent at once, and what the loop has to do to a packet
// before it leaves by TC_ACT_REDIRECT (net/core/filter.c, __bpf_redirect_neigh; net/core/dev.c).
import { DropReason, FRAME_SIZE, LaneState, OPT_QUEUE_SHIFT, Port, RING_SIZE, SkBuff, NO_FRAME } from "../../layout.gen";
import { FibRoute } from "../../layout.gen";
import { countDrop, counters } from "../../core/counters";
import { lane, packetAt, self } from "../../core/lane";
import { flags as redirectFlags, target } from "../../core/redirect";
import { allocFrame, freeFrame } from "../../mem/frames";
import { ringAt } from "../../mem/ring";
import { portUp, stage, transmit } from "../../nic/tx";
import { EINVAL, ENODEV, ENOMEM } from "./errno";
import { AF_INET, AF_INET6, copyMac, neighbourMac, portOf, routeTo } from "./fib";
import { BPF_F_INGRESS, BPF_F_NEIGH, BPF_F_NEXTHOP } from "./redirect";
import { netAt, skbAt } from "./skb";
import { ETH_P_IP, ETH_P_IPV6 } from "./skb_shape";
import { skb_insert_tag, TAG_AT as VLAN_TAG_AT } from "./skb_vlan";
import { ETH_SIZE as ETH_HLEN } from "../../wire/layout.gen";

const RTN_UNICAST: u32 = 1;

/** Hands a frame to the receive side of a port: through this lane's link to itself, so that nothing recurses. */
function receiveOn(port: Port, addr: u32, len: u32): bool {
  return stage(ringAt(self().outboundAt + lane * RING_SIZE), addr, len, port.ifindex | (0 << OPT_QUEUE_SHIFT));
}

export function clone_redirect(ctx: usize, ifindex: u32, flags: u64): i32 {
  if (flags & ~BPF_F_INGRESS) return -EINVAL;
  const skb = skbAt(ctx);
  if (changetype<usize>(portOf(ifindex)) == 0) return -EINVAL;
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) return -ENODEV;
  const clone = allocFrame();
  if (clone == NO_FRAME) {
    countDrop(DropReason.NO_FRAME);
    return -ENOMEM;
  }
  // An out-of-band tag goes into the copy only; the original keeps it.
  const tag: u32 = skb.vlanPresent ? 4 : 0;
  const headroom = skb.data - skb.hardStart;
  // A runt has no place for a tag, as in skb_insert_tag.
  if (headroom < tag || (tag && skb.len < VLAN_TAG_AT)) {
    freeFrame(clone);
    countDrop(DropReason.NO_HEADROOM);
    return -ENOMEM;
  }
  const offset = headroom - tag;
  const to = <u32>packetAt + clone + offset;
  if (tag) {
    memory.copy(to, skb.data, VLAN_TAG_AT);
    store<u16>(to, <u16>skb.vlanProto, VLAN_TAG_AT);
    store<u16>(to, bswap<u16>(<u16>skb.vlanTci), VLAN_TAG_AT + 2);
    memory.copy(to + VLAN_TAG_AT + tag, skb.data + VLAN_TAG_AT, skb.len - VLAN_TAG_AT);
  } else {
    memory.copy(to, skb.data, skb.len);
  }
  const addr = clone + offset;
  const len = skb.len + tag;
  if (flags & BPF_F_INGRESS ? receiveOn(port, addr, len) : transmit(port, addr, len)) {
    counters().clones++;
    return 0;
  }
  freeFrame(clone);
  countDrop(flags & BPF_F_INGRESS ? DropReason.LANE_FULL : DropReason.TX_FULL);
  return -ENOMEM;
}

/** What skb_depart returns beside a DropReason: the packet is ready, redirect it. */
export const DEPART_GO: u32 = 0xffffffff;
/** It was queued at the receive side of the target: nothing more to do. */
export const DEPART_GONE: u32 = 0xfffffffe;

/** Fills in both hardware addresses from routes and neighbours. DEPART_GO, or why the packet is to be dropped. */
function resolve(skb: SkBuff, port: Port): u32 {
  let family: u32;
  let hop: usize;
  const ip: usize = netAt(skb);
  // A runt has no link header to write over.
  if (ip > <usize>skb.dataEnd) return DropReason.REDIRECT_NO_NEIGHBOUR;
  if (redirectFlags & BPF_F_NEXTHOP) {
    const nh = changetype<usize>(self()) + offsetof<LaneState>("nextHop0");
    family = load<u32>(nh);
    hop = nh + 4;
  } else {
    const v6 = skb.protocol == ETH_P_IPV6;
    if (!v6 && skb.protocol != ETH_P_IP) return DropReason.REDIRECT_NO_NEIGHBOUR;
    if (ip + (v6 ? 40 : 20) > <usize>skb.dataEnd) return DropReason.REDIRECT_NO_NEIGHBOUR;
    family = v6 ? AF_INET6 : AF_INET;
    hop = ip + (v6 ? 24 : 16);
    const r = routeTo(family, 0, hop, port.ifindex);
    if (changetype<usize>(r) == 0 || r.type != RTN_UNICAST) return DropReason.REDIRECT_NO_NEIGHBOUR;
    if (r.gatewayFamily) {
      family = r.gatewayFamily;
      hop = changetype<usize>(r) + offsetof<FibRoute>("gateway0");
    }
  }
  const mac = neighbourMac(port.ifindex, family, hop);
  if (!mac) return DropReason.REDIRECT_NO_NEIGHBOUR;
  // The link header is written anew right before the network header (neigh_output).
  const eth = ip - ETH_HLEN;
  if (eth < <usize>skb.hardStart) return DropReason.NO_HEADROOM;
  copyMac(eth, mac);
  copyMac(eth + 6, changetype<usize>(port) + offsetof<Port>("mac0"));
  store<u16>(eth, <u16>skb.protocol, 12);
  skb.data = <u32>eth;
  skb.len = skb.dataEnd - skb.data;
  return DEPART_GO;
}

/** For the loop, before it follows a TC_ACT_REDIRECT: addresses, the VLAN tag, and the way into a port. */
export function skb_depart(ctx: usize): u32 {
  const skb = skbAt(ctx);
  const port = portUp(target);
  const up = changetype<usize>(port) != 0;
  if (redirectFlags & BPF_F_NEIGH) {
    const how = up ? resolve(skb, port) : <u32>DropReason.REDIRECT_NO_PORT;
    if (how != DEPART_GO) return how;
  }
  if (skb_insert_tag(ctx)) return DropReason.NO_HEADROOM;
  if (!(redirectFlags & BPF_F_INGRESS)) return DEPART_GO;
  if (!up) return DropReason.REDIRECT_NO_PORT;
  return receiveOn(port, skb.data - <u32>packetAt, skb.len) ? DEPART_GONE : <u32>DropReason.LANE_FULL;
}
