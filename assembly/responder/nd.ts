// Neighbour discovery, RFC 4861 §7, and the receiving side of duplicate address detection, RFC 4862 §5.4. Called for
// solicitations and advertisements whose checksum is right; takes those about our addresses and those we learn from.
import { AddressState, OwnAddress, Port, Responder, ResponderCount, ResponderFlag } from "../layout.gen";
import * as eth from "../wire/eth";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv6 from "../wire/ipv6";
import { Icmpv6Type, IPV6_SIZE, IpProto, ND_FLAGS, NdOption, WireStatus } from "../wire/layout.gen";
import { conflict, sameMac } from "./arp";
import { LEARN_CONFIRMED, LEARN_CREATE, LEARN_HOST, LEARN_NO_ADDRESS, LEARN_OVERRIDE, LEARN_ROUTER, learn } from "./neighbours";
import { Outcome, reply } from "./outcome";
import { AF_INET6, multicast6, own6, stateOf, tally, unspecified6 } from "./own";
import { allNodes, macOf, NA_OVERRIDE, NA_ROUTER, NA_SOLICITED, scratch } from "./solicit";

const HOPS: u32 = 255;
/** Neighbour message with one link-address option. */
const ADVERTISEMENT: u32 = 32;

export function answerNd(r: Responder, port: Port, p: usize, at: u32, vlan: u32): Outcome {
  const ip = p + at;
  const l4 = ip + ipv6.upperAt;
  const length = ipv6.payload_length(ip) + IPV6_SIZE - ipv6.upperAt;
  // RFC 4861 §7.1: a packet that a router forwarded has fewer hops left.
  if (ipv6.hop_limit(ip) != HOPS || icmpv6.code(l4) != 0) return Outcome.BAD;
  if (icmpv6.check_nd(l4, length) != WireStatus.OK || multicast6(icmpv6.target(l4))) return Outcome.BAD;
  if (sameMac(eth.src(p), macOf(port))) return Outcome.TAKEN;
  return icmpv6.type(l4) == Icmpv6Type.NEIGHBOR_SOLICITATION
    ? solicitation(r, port, p, at, l4, length, vlan)
    : advertisement(r, port, ip, l4, length, vlan);
}

function solicitation(r: Responder, port: Port, p: usize, at: u32, l4: usize, length: u32, vlan: u32): Outcome {
  const ip = p + at;
  const from = ipv6.src(ip);
  const probing = unspecified6(from);
  const option = icmpv6.link_address(l4, length, NdOption.SOURCE_LINK);
  if (multicast6(from)) return Outcome.BAD;
  // A probe goes to the solicited-node address and names no hardware address.
  if (probing && (!multicast6(ipv6.dst(ip)) || option != 0)) return Outcome.BAD;
  const own = own6(r, vlan, icmpv6.target(l4));
  if (changetype<usize>(own) == 0) return Outcome.TAKEN;
  const state = stateOf(own);
  if (state == AddressState.TENTATIVE && probing) conflict(r, own);
  if (state != AddressState.PREFERRED) return Outcome.TAKEN;
  if (!probing && option != 0 && vlan == 0)
    learn(r, port.ifindex, AF_INET6, from, option, LEARN_CREATE | LEARN_OVERRIDE);

  // The answer is written over the question: what it needs of that is put aside first.
  const s = scratch();
  v128.store(s, v128.load(icmpv6.target(l4)));
  let flags = NA_OVERRIDE | (r.flags & ResponderFlag.ROUTER ? NA_ROUTER : 0);
  if (probing) allNodes(s + 16, eth.dst(p));
  else {
    v128.store(s + 16, v128.load(from));
    flags |= NA_SOLICITED;
    eth.copy_mac(eth.dst(p), option != 0 ? option : eth.src(p));
  }
  eth.copy_mac(eth.src(p), macOf(port));
  ipv6.emit(ip, 0, 0, ADVERTISEMENT, IpProto.ICMPV6, HOPS, s, s + 16);
  icmpv6.emit_nd(ip + IPV6_SIZE, Icmpv6Type.NEIGHBOR_ADVERTISEMENT, flags, s, macOf(port), ipv6.pseudo(ip, IpProto.ICMPV6, ADVERTISEMENT));
  tally(r, ResponderCount.ND_ANSWERED);
  return reply(p, at + IPV6_SIZE + ADVERTISEMENT);
}

function advertisement(r: Responder, port: Port, ip: usize, l4: usize, length: u32, vlan: u32): Outcome {
  const flags = bswap(load<u32>(l4, ND_FLAGS));
  if (multicast6(ipv6.dst(ip)) && flags & NA_SOLICITED) return Outcome.BAD;
  const own = own6(r, vlan, icmpv6.target(l4));
  if (changetype<usize>(own) != 0) {
    conflict(r, own);
    return Outcome.TAKEN;
  }
  if (vlan != 0) return Outcome.TAKEN;
  const option = icmpv6.link_address(l4, length, NdOption.TARGET_LINK);
  let how = flags & NA_ROUTER ? LEARN_ROUTER : LEARN_HOST;
  if (flags & NA_SOLICITED) how |= LEARN_CONFIRMED;
  if (flags & NA_OVERRIDE) how |= LEARN_OVERRIDE;
  if (option == 0) how |= LEARN_NO_ADDRESS;
  learn(r, port.ifindex, AF_INET6, icmpv6.target(l4), option, how);
  return Outcome.TAKEN;
}
