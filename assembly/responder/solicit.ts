// Packets that a port sends of itself: ARP requests and neighbour solicitations, probes of its own addresses, and
// announcements. Called by lanes that miss a neighbour and by the host's tick; staged like every packet, so the caller's
// round publishes them. They go out untagged, but for probes and announcements of addresses in a VLAN.
import { FRAME_HEADROOM, LaneState, NO_FRAME, OwnAddress, Port, Responder, ResponderCount } from "../layout.gen";
import { packetAt, self } from "../core/lane";
import { allocFrame, freeFrame } from "../mem/frames";
import { transmit } from "../nic/tx";
import * as arp from "../wire/arp";
import * as eth from "../wire/eth";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv6 from "../wire/ipv6";
import { ArpOper, EtherType, Icmpv6Type, IPV6_SIZE, IpProto, ND_SIZE } from "../wire/layout.gen";
import { AF_INET, ALL_NODES_HIGH, ALL_NODES_LOW, bytesOf, tally } from "./own";

const HOPS: u32 = 255;
export const NA_ROUTER: u32 = 0x80000000;
export const NA_SOLICITED: u32 = 0x40000000;
export const NA_OVERRIDE: u32 = 0x20000000;
const LINK_OPTION: u32 = 8;

/** Room for addresses in this lane's state: +0 sixteen bytes, +16 sixteen bytes, +32 a hardware address. */
// @ts-ignore: decorator
@inline export function scratch(): usize { return changetype<usize>(self()) + offsetof<LaneState>("scratch0"); }

// @ts-ignore: decorator
@inline export function macOf(port: Port): usize { return changetype<usize>(port) + offsetof<Port>("mac0"); }

/** Writes the link header of a packet for `to`, tagged in a VLAN. Returns its length. */
function link(p: usize, port: Port, vlan: u32, to: usize, kind: u32): u32 {
  return vlan != 0 ? eth.emit_tagged(p, to, macOf(port), EtherType.VLAN, vlan, kind) : eth.emit(p, to, macOf(port), kind);
}

function send(port: Port, frame: u32, len: u32): bool {
  if (transmit(port, frame + FRAME_HEADROOM, len)) return true;
  freeFrame(frame);
  return false;
}

/** An ARP request from `from` (0: a probe) for `about`, both as in memory; to everybody, or to the station at `mac`. */
function sendArp(port: Port, vlan: u32, from: u32, about: u32, mac: usize): bool {
  const frame = allocFrame();
  if (frame == NO_FRAME) return false;
  const p = packetAt + frame + FRAME_HEADROOM;
  const s = scratch();
  let to = mac;
  if (to == 0) {
    to = s + 32;
    store<u64>(to, u64.MAX_VALUE);
  }
  const head = link(p, port, vlan, to, EtherType.ARP);
  store<u64>(s + 32, 0); // the hardware address that is asked for
  return send(port, frame, head + arp.emit(p + head, ArpOper.REQUEST, macOf(port), from, s + 32, about));
}

/** Group and hardware address to which `about` listens: solicited-node (RFC 4291 §2.7.1), mapped as RFC 2464 §7 says. */
function solicitedNode(group: usize, mac: usize, about: usize): void {
  const tail = load<u32>(about, 12) >> 8;
  store<u64>(group, ALL_NODES_LOW);
  store<u64>(group, ((0xff | (tail << 8)) as u64) << 32 | 0x01000000, 8);
  store<u16>(mac, 0x3333);
  store<u32>(mac, 0xff | (tail << 8), 2);
}

/** A neighbour message about `about` from `from` to the address at `to`. */
function sendNd(port: Port, vlan: u32, kind: u32, flags: u32, about: usize, from: usize, to: usize, mac: usize, option: bool): bool {
  const frame = allocFrame();
  if (frame == NO_FRAME) return false;
  const p = packetAt + frame + FRAME_HEADROOM;
  const head = link(p, port, vlan, mac, EtherType.IPV6);
  const ip = p + head;
  const length = ND_SIZE + (option ? LINK_OPTION : 0);
  ipv6.emit(ip, 0, 0, length, IpProto.ICMPV6, HOPS, from, to);
  icmpv6.emit_nd(ip + IPV6_SIZE, kind, flags, about, option ? macOf(port) : 0, ipv6.pseudo(ip, IpProto.ICMPV6, length));
  return send(port, frame, head + IPV6_SIZE + length);
}

/** Asks for the neighbour at `about`: everybody, or with `mac` the station that it was last (a probe of RFC 4861 §7.3.3). */
export function solicit(r: Responder, port: Port, family: u32, from: OwnAddress, about: usize, mac: usize): void {
  tally(r, ResponderCount.SOLICITED);
  if (family == AF_INET) {
    sendArp(port, 0, from.address0, load<u32>(about), mac);
    return;
  }
  const s = scratch();
  if (mac != 0) {
    sendNd(port, 0, Icmpv6Type.NEIGHBOR_SOLICITATION, 0, about, bytesOf(from), about, mac, true);
    return;
  }
  solicitedNode(s, s + 32, about);
  sendNd(port, 0, Icmpv6Type.NEIGHBOR_SOLICITATION, 0, about, bytesOf(from), s, s + 32, true);
}

/** Asks whether somebody has this address already (RFC 5227 §2.1.1, RFC 4862 §5.4.2). */
export function probe(port: Port, own: OwnAddress): bool {
  if (own.family == AF_INET) return sendArp(port, own.vlan, 0, own.address0, 0);
  const s = scratch();
  solicitedNode(s, s + 32, bytesOf(own));
  store<u64>(s, 0, 16);
  store<u64>(s, 0, 24);
  return sendNd(port, own.vlan, Icmpv6Type.NEIGHBOR_SOLICITATION, 0, bytesOf(own), s + 16, s, s + 32, false);
}

/** Tells everybody that the address is here (RFC 5227 §2.3, RFC 4861 §7.2.6). */
export function announce(r: Responder, port: Port, own: OwnAddress, flags: u32): bool {
  if (own.family == AF_INET) return sendArp(port, own.vlan, own.address0, own.address0, 0);
  const s = scratch();
  allNodes(s, s + 32);
  return sendNd(port, own.vlan, Icmpv6Type.NEIGHBOR_ADVERTISEMENT, flags | NA_OVERRIDE, bytesOf(own), bytesOf(own), s, s + 32, true);
}

/** ff02::1 and its hardware address. */
export function allNodes(group: usize, mac: usize): void {
  store<u64>(group, ALL_NODES_LOW);
  store<u64>(group, ALL_NODES_HIGH, 8);
  store<u16>(mac, 0x3333);
  store<u32>(mac, 0x01000000, 2);
}
