// Echo: RFC 792 and RFC 1122 §3.2.2.6, RFC 4443 §4.2. Called for requests to an address of ours whose checksums are right.
// The request becomes the answer where it stands, payload untouched; IP options and extension headers are left out.
import { OwnAddress, Port, Responder, ResponderCount } from "../layout.gen";
import { csum_replace2 } from "../mem/checksum";
import * as eth from "../wire/eth";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import {
  ICMP_CHECKSUM, ICMP_TYPE, IcmpType, Icmpv6Type, IPV4_SIZE, IPV6_EXT_LENGTH, IPV6_SIZE, IpProto,
} from "../wire/layout.gen";
import { martian4 } from "./arp";
import { Outcome, reply } from "./outcome";
import { AF_INET6, bytesOf, isBroadcast4, multicast6, own4, own6, sourceFor, tally, unspecified6 } from "./own";
import { macOf, scratch } from "./solicit";

const HOPS: u32 = 64;
/** Option types 131 and 137: the answer would have to go back the same way. */
const LOOSE_ROUTE: u32 = 131;
const STRICT_ROUTE: u32 = 137;

/** Takes `shift` bytes out between link header and payload, and sends the frame back to where it came from. */
function turn(port: Port, p: usize, at: u32, shift: u32): usize {
  if (shift != 0) memory.copy(p + shift, p, at);
  const q = p + shift;
  eth.copy_mac(eth.dst(q), eth.src(q));
  eth.copy_mac(eth.src(q), macOf(port));
  return q;
}

/** Whether the options name a way to be taken back, or cannot be read. */
function sourceRouted(ip: usize): bool {
  const end = ipv4.header_bytes(ip);
  for (let i = IPV4_SIZE; i < end; ) {
    const kind = load<u8>(ip + i);
    if (kind == 0) return false;
    if (kind == LOOSE_ROUTE || kind == STRICT_ROUTE) return true;
    if (kind == 1) {
      i++;
      continue;
    }
    if (i + 1 >= end) return true;
    const bytes: u32 = load<u8>(ip + i, 1);
    if (bytes < 2) return true;
    i += bytes;
  }
  return false;
}

/** The sum of a message whose type changed: RFC 1624, so that payload that was damaged on its way stays so. */
function retype(l4: usize, to: u32): void {
  const old: u32 = load<u16>(l4, ICMP_TYPE);
  store<u8>(l4, <u8>to, ICMP_TYPE);
  const sum = csum_replace2(icmp.checksum(l4), old, load<u16>(l4, ICMP_TYPE));
  // Of a message that is all zeros now only 0xffff is right; of any other that sums to 0 both are (RFC 1624 §3).
  store<u16>(l4, <u16>(sum == 0 ? 0xffff : sum), ICMP_CHECKSUM);
}

export function echo4(r: Responder, port: Port, p: usize, at: u32, vlan: u32): Outcome {
  const ip = p + at;
  const head = ipv4.header_bytes(ip);
  const l4 = ip + head;
  if (icmp.type(l4) != IcmpType.ECHO_REQUEST || icmp.code(l4) != 0) return Outcome.PASS;
  const from = ipv4.src(ip);
  if (martian4(from) || isBroadcast4(r, vlan, from) || changetype<usize>(own4(r, vlan, from)) != 0) return Outcome.BAD;
  if (head != IPV4_SIZE && sourceRouted(ip)) return Outcome.PASS;
  const shift = head - IPV4_SIZE;
  const to = ipv4.dst(ip);
  const service = ipv4.tos(ip);
  const total = ipv4.total_length(ip) - shift;
  const q = turn(port, p, at, shift);
  ipv4.emit(q + at, service, total, 0, ipv4.DONT_FRAGMENT, HOPS, IpProto.ICMP, to, from);
  retype(l4, IcmpType.ECHO_REPLY);
  tally(r, ResponderCount.ECHO_ANSWERED);
  return reply(q, at + total);
}

/** Whether what stands before the message asks for nothing: no extension headers but options. */
function plain(ip: usize): bool {
  let next = ipv6.next_header(ip);
  for (let i = IPV6_SIZE; i < ipv6.upperAt; ) {
    if (next != IpProto.HOPOPTS && next != IpProto.DSTOPTS) return false;
    next = load<u8>(ip + i);
    i += (<u32>load<u8>(ip + i, IPV6_EXT_LENGTH) + 1) << 3;
  }
  return true;
}

export function echo6(r: Responder, port: Port, p: usize, at: u32, vlan: u32): Outcome {
  const ip = p + at;
  const l4 = ip + ipv6.upperAt;
  if (icmpv6.code(l4) != 0 || !plain(ip)) return Outcome.PASS;
  const from = ipv6.src(ip);
  if (multicast6(from) || unspecified6(from) || changetype<usize>(own6(r, vlan, from)) != 0) return Outcome.BAD;
  const s = scratch();
  const many = multicast6(ipv6.dst(ip));
  // RFC 4443 §4.2: a question to many is answered from an address of one.
  const own = many ? sourceFor(r, AF_INET6, vlan, from) : changetype<OwnAddress>(0);
  if (many && changetype<usize>(own) == 0) return Outcome.TAKEN;
  v128.store(s, v128.load(many ? bytesOf(own) : ipv6.dst(ip)));
  v128.store(s + 16, v128.load(from));
  const shift = ipv6.upperAt - IPV6_SIZE;
  const length = ipv6.payload_length(ip) - shift;
  const service = ipv6.traffic_class(ip);
  const q = turn(port, p, at, shift);
  const answer = q + at;
  ipv6.emit(answer, service, 0, length, IpProto.ICMPV6, HOPS, s, s + 16);
  // Addresses only changed places: the pseudo header's sum is the same, unless the question went to many.
  if (many) {
    store<u8>(l4, Icmpv6Type.ECHO_REPLY);
    icmpv6.fill_checksum(l4, length, ipv6.pseudo(answer, IpProto.ICMPV6, length));
  } else retype(l4, Icmpv6Type.ECHO_REPLY);
  tally(r, ResponderCount.ECHO_ANSWERED);
  return reply(q, at + IPV6_SIZE + length);
}
