// The responder: what a port answers by itself of the packets that pass. Called by the stack between the socket filter
// and the host, so that programs see everything first. Promises: the frame ends in one place, nothing outside it is read
// or written, and a packet that is not wholly understood goes on to the host.
//
//   frame to us ─▶ ARP ─────────── request → reply, everything learned                              (arp.ts)
//                  IPv6 ─ ICMPv6 ─ solicitation → advertisement, advertisement learned              (nd.ts)
//                       └───────── echo                                                             (echo.ts)
//                  IPv4 ─ ICMP ─── echo                                                             (echo.ts)
//                  to a port nobody has: unreachable, when asked for                                (unreachable.ts)
//                  anything else: the host
import {
  DropReason, OwnAddress, Port, Responder, ResponderCount, ResponderFlag,
} from "../layout.gen";
import { countDrop, counters } from "../core/counters";
import { packetAt } from "../core/lane";
import { freeFrame } from "../mem/frames";
import { transmit } from "../nic/tx";
import * as eth from "../wire/eth";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import { ETH_SIZE, EtherType, Icmpv6Type, IpProto, VLAN_SIZE, WireStatus } from "../wire/layout.gen";
import { answerArp } from "./arp";
import { echo4, echo6 } from "./echo";
import { answerNd } from "./nd";
import { Outcome, replyAt, replyLen } from "./outcome";
import { joined6, multicast6, own4, own6, preferred, tally } from "./own";
import { macOf } from "./solicit";
import { unreachable4, unreachable6 } from "./unreachable";

const VLAN_ID: u32 = 0x0fff;

/** To the port's own hardware address? */
// @ts-ignore: decorator
@inline function toUs(port: Port, p: usize): bool {
  const mac = macOf(port);
  return load<u32>(p) == load<u32>(mac) && load<u16>(p, 4) == load<u16>(mac, 4);
}

function packet4(r: Responder, port: Port, p: usize, at: u32, len: u32, vlan: u32): Outcome {
  const ip = p + at;
  if (ipv4.check(ip, len - at) != WireStatus.OK) return Outcome.PASS;
  if (!preferred(own4(r, vlan, ipv4.dst(ip)))) return Outcome.PASS;
  // RFC 1122 §3.3.6: to one host, but by a link-layer broadcast.
  if (!toUs(port, p)) return Outcome.PASS;
  if (!ipv4.checksum_ok(ip)) return Outcome.BAD;
  if (ipv4.is_fragment(ip)) return Outcome.PASS;
  const head = ipv4.header_bytes(ip);
  const length = ipv4.total_length(ip) - head;
  if (ipv4.protocol(ip) == IpProto.ICMP) {
    const l4 = ip + head;
    if (icmp.check(l4, length) != WireStatus.OK || !icmp.checksum_ok(l4, length)) return Outcome.BAD;
    return r.flags & ResponderFlag.ECHO ? echo4(r, port, p, at, vlan) : Outcome.PASS;
  }
  return r.flags & ResponderFlag.UNREACHABLE ? unreachable4(r, port, p, at, vlan) : Outcome.PASS;
}

function packet6(r: Responder, port: Port, p: usize, at: u32, len: u32, vlan: u32): Outcome {
  const ip = p + at;
  if (ipv6.check(ip, len - at) != WireStatus.OK || ipv6.walk(ip) != WireStatus.OK) return Outcome.PASS;
  const to = ipv6.dst(ip);
  const many = multicast6(to);
  const own = many ? changetype<OwnAddress>(0) : own6(r, vlan, to);
  if (many ? !joined6(r, vlan, to) : changetype<usize>(own) == 0) return Outcome.PASS;
  if (!many && !toUs(port, p)) return Outcome.PASS;
  if (ipv6.fragmentAt != 0) return Outcome.PASS;
  if (ipv6.upper == IpProto.ICMPV6) {
    const l4 = ip + ipv6.upperAt;
    const length = ipv6.payload_length(ip) + 40 - ipv6.upperAt;
    if (icmpv6.check(l4, length) != WireStatus.OK) return Outcome.BAD;
    // RFC 8200 §8.1: the pseudo header names the final destination; here the packet has arrived.
    if (!icmpv6.checksum_ok(l4, length, ipv6.pseudo(ip, IpProto.ICMPV6, length))) return Outcome.BAD;
    const kind = icmpv6.type(l4);
    if (kind == Icmpv6Type.NEIGHBOR_SOLICITATION || kind == Icmpv6Type.NEIGHBOR_ADVERTISEMENT)
      return r.flags & ResponderFlag.ND ? answerNd(r, port, p, at, vlan) : Outcome.PASS;
    if (!many && !preferred(own)) return Outcome.PASS;
    if (kind == Icmpv6Type.ECHO_REQUEST && r.flags & ResponderFlag.ECHO) return echo6(r, port, p, at, vlan);
    return Outcome.PASS;
  }
  if (many || !preferred(own)) return Outcome.PASS;
  return r.flags & ResponderFlag.UNREACHABLE ? unreachable6(r, port, p, at, vlan) : Outcome.PASS;
}

function look(r: Responder, port: Port, p: usize, len: u32): Outcome {
  if (len < ETH_SIZE || ((load<u8>(p) & 1) == 0 && !toUs(port, p))) return Outcome.PASS;
  let at = ETH_SIZE;
  let vlan: u32 = 0;
  let type = eth.type(p);
  if (type == EtherType.VLAN) {
    if (len < ETH_SIZE + VLAN_SIZE) return Outcome.PASS;
    // A priority tag (VLAN 0) makes no other network: IEEE 802.1Q §6.9.
    vlan = eth.tci(p) & VLAN_ID;
    at += VLAN_SIZE;
    type = eth.type_before(p, at);
  }
  if (type == EtherType.ARP) return r.flags & ResponderFlag.ARP ? answerArp(r, port, p, at, len, vlan) : Outcome.PASS;
  if (type == EtherType.IPV4) return packet4(r, port, p, at, len, vlan);
  if (type == EtherType.IPV6) return packet6(r, port, p, at, len, vlan);
  return Outcome.PASS;
}

/** Looks at a packet that passed. False: it is the host's, as it was. */
export function answer(r: Responder, port: Port, addr: u32, len: u32): bool {
  const what = look(r, port, packetAt + addr, len);
  if (what == Outcome.PASS) return false;
  if (what == Outcome.BAD) {
    tally(r, ResponderCount.REFUSED);
    countDrop(DropReason.BAD_PACKET);
    freeFrame(addr);
    return true;
  }
  if (what == Outcome.TAKEN) {
    counters().answered++;
    freeFrame(addr);
    return true;
  }
  if (transmit(port, <u32>(replyAt - packetAt), replyLen)) counters().answered++;
  else {
    countDrop(DropReason.TX_FULL);
    freeFrame(addr);
  }
  return true;
}
