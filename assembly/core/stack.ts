// What happens above XDP: tc ingress, the socket filter, the responder, then up to the host. Called by the loop for packets that pass.
// Promises that the frame ends in exactly one place: pass ring, a port, or the pool, counted.
import {
  DropReason, FRAME_SIZE, Hook, LaneFlag, OPT_META_SHIFT, OPT_QUEUE_SHIFT, Port, Responder, SK_BUFF_SIZE, SkBuff, TcAction,
  XdpContext,
} from "../layout.gen";
import { nowNs } from "./clock";
import { countDrop, counters } from "./counters";
import { runProgram, slotAt } from "./hooks";
import { header, lane, packetAt, self } from "./lane";
import { dropFrame, forward } from "./forward";
import { clearRedirect, kind, RedirectKind } from "./redirect";
import { answer } from "../responder/answer";
import { responderOf } from "../responder/own";
import { DEPART_GO, DEPART_GONE, skb_depart } from "../bpf/helpers/skb_redirect";
import { skb_insert_tag } from "../bpf/helpers/skb_vlan";
import { frameOf, freeFrame } from "../mem/frames";
import { ringAt } from "../mem/ring";
import { stage } from "../nic/tx";
import { ETH_SIZE as ETH_HLEN, VLAN_SIZE as VLAN_HLEN } from "../wire/layout.gen";

const PACKET_HOST: u32 = 0;
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
const PACKET_OTHERHOST: u32 = 3;

/** Slots of the programs above XDP at the port in hand. Set once per burst, as the XDP slot is. */
let tcSlot: u32 = 0;
let filterSlot: u32 = 0;
/** What the port in hand answers by itself, null for nothing. */
let responder: Responder = changetype<Responder>(0);

/** Looks up the programs for the packets that `receive` is given next, all of `port`. */
export function openStack(port: Port): void {
  tcSlot = slotAt(port, Hook.TC_INGRESS);
  filterSlot = slotAt(port, Hook.SOCKET_FILTER);
  responder = responderOf(port);
}

/** Gives a packet to the responder, else to the host: its pass ring, or nowhere when the lane only measures. */
// @ts-ignore: decorator
@inline function passUp(port: Port, queue: u32, addr: u32, len: u32, meta: u32): void {
  if (changetype<usize>(responder) != 0 && answer(responder, port, addr, len)) return;
  const ls = self();
  if (ls.flags & LaneFlag.PASS_SINK) {
    counters().pass++;
    freeFrame(addr);
    return;
  }
  const options = port.ifindex | (queue << OPT_QUEUE_SHIFT) | (meta << OPT_META_SHIFT);
  if (stage(ringAt(ls.passAt), addr, len, options)) counters().pass++;
  else dropFrame(addr, DropReason.PASS_FULL);
}

/** eth_type_trans: to whom the frame is addressed, seen from the port that received it. */
function packetType(port: Port, data: usize): u32 {
  const low = load<u32>(data);
  const high = load<u16>(data, 4);
  const mac = changetype<usize>(port) + offsetof<Port>("mac0");
  if (low == load<u32>(mac) && high == load<u16>(mac, 4)) return PACKET_HOST;
  if ((low & 1) == 0) return PACKET_OTHERHOST;
  return low == 0xffffffff && high == 0xffff ? PACKET_BROADCAST : PACKET_MULTICAST;
}

/** Fills the lane's SkBuff. What is not named here is zero, as in a fresh sk_buff. */
function build(port: Port, queue: u32, addr: u32, len: u32, meta: u32): SkBuff {
  const at = self().skbAt as usize;
  for (let i: usize = 0; i < (SK_BUFF_SIZE as usize); i += 16) v128.store(at + i, i64x2.splat(0));
  const skb = changetype<SkBuff>(at);
  const data = packetAt + addr;
  skb.len = len;
  skb.wireLen = len;
  skb.queueMapping = queue + 1;
  skb.ingressIfindex = port.ifindex;
  skb.ifindex = port.ifindex;
  skb.data = <u32>data;
  skb.dataEnd = <u32>(data + len);
  skb.dataMeta = <u32>(data - meta);
  skb.napiId = lane;
  skb.tstamp = nowNs;
  skb.gsoSegs = 0;
  skb.hardStart = <u32>(packetAt + frameOf(addr));
  skb.frameEnd = skb.hardStart + FRAME_SIZE;
  if (len >= ETH_HLEN) {
    skb.pktType = packetType(port, data);
    skb.protocol = load<u16>(data, 12);
  }
  return skb;
}

/** TC_ACT_REDIRECT: neighbour, tag and direction are the helpers' business (skb_depart), the rest is as for XDP. */
function redirected(port: Port, queue: u32, skb: SkBuff): void {
  const frame = skb.data - <u32>packetAt;
  if (kind == RedirectKind.PORT) {
    const how = skb_depart(changetype<usize>(skb));
    if (how != DEPART_GO) {
      if (how == DEPART_GONE) counters().redirect++;
      else dropFrame(frame, how);
      return;
    }
  }
  const x = changetype<XdpContext>(self().xdpAt as usize);
  x.data = skb.data;
  x.dataEnd = skb.dataEnd;
  x.dataMeta = skb.data;
  x.ingressIfindex = port.ifindex;
  forward(port, queue, x, frame);
  clearRedirect();
}

/**
 * Takes a packet that XDP let pass. `addr` and `len` are what the program left, `meta` the bytes of metadata before it.
 * openStack was called for its port. tc sees it first, then the socket filter (0 = drop, n = keep n bytes), then the host.
 */
export function receive(port: Port, queue: u32, addr: u32, len: u32, meta: u32): void {
  const tc = tcSlot;
  const filter = filterSlot;
  if ((tc | filter) == 0) {
    passUp(port, queue, addr, len, meta);
    return;
  }
  const skb = build(port, queue, addr, len, meta);
  if (tc != 0) {
    clearRedirect();
    const act = <i32>runProgram(tc, changetype<usize>(skb));
    if (act == TcAction.REDIRECT) {
      redirected(port, queue, skb);
      return;
    }
    addr = skb.data - <u32>packetAt;
    len = skb.dataEnd - skb.data;
    meta = skb.dataMeta <= skb.data ? skb.data - skb.dataMeta : 0;
    // SHOT drops; STOLEN, QUEUED and TRAP mean that somebody else took the packet: here nobody can.
    if (act == TcAction.SHOT || act == TcAction.STOLEN || act == TcAction.QUEUED || act == TcAction.TRAP) {
      dropFrame(addr, DropReason.TC_SHOT);
      return;
    }
  }
  if (filter != 0) {
    const keep = runProgram(filter, changetype<usize>(skb));
    if (keep == 0) {
      dropFrame(addr, DropReason.SOCKET_FILTER);
      return;
    }
    if (keep < len) len = keep;
  }
  // The host sees frames as they are on a wire: a tag that tc pushed goes back into the packet.
  if (skb.vlanPresent != 0) {
    if (skb_insert_tag(changetype<usize>(skb)) != 0) {
      dropFrame(addr, DropReason.NO_HEADROOM);
      return;
    }
    addr = skb.data - <u32>packetAt;
    len += VLAN_HLEN;
  }
  passUp(port, queue, addr, len, meta);
}
