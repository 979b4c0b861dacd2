// ICMP errors for packets to us that nobody takes: port or protocol unreachable (RFC 1122 §3.2.2.1, RFC 4443 §3.1 and
// §3.4). Only for ports without an application behind the host, so it must be asked for. Promises the rules of RFC 1122
// §3.2.2 and RFC 4443 §2.4: never about an error, a fragment, a broadcast or a packet from nowhere, and not too many.
// TCP is the host's: a refused connection is a matter of resets.
import { FRAME_SIZE, Port, Responder, ResponderCount } from "../layout.gen";
import { nowNs } from "../core/clock";
import { packetAt } from "../core/lane";
import { frameOf } from "../mem/frames";
import * as eth from "../wire/eth";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import { ICMP_SIZE, IcmpType, Icmpv6Type, IPV4_SIZE, IPV6_SIZE, IpProto } from "../wire/layout.gen";
import { martian4 } from "./arp";
import { Outcome, reply } from "./outcome";
import { isBroadcast4, lanePart, multicast6, own4, own6, tally, unspecified6 } from "./own";
import { macOf, scratch } from "./solicit";

const HOPS: u32 = 64;
/** RFC 1812 §4.3.2.3: an error quotes as much as fits 576 bytes; RFC 4443 §3.1: the smallest MTU, 1280. */
const LARGEST4: u32 = 576;
const LARGEST6: u32 = 1280;
const CODE_PROTOCOL: u32 = 2;
const CODE_PORT: u32 = 3;
const CODE_PORT6: u32 = 4;
const CODE_NEXT_HEADER: u32 = 1;
/** RFC 1812 §4.3.2.5: errors have the precedence of internetwork control. */
const SERVICE: u32 = 0xc0;

/** Whether one more error may be sent now: a token bucket kept as the time up to which errors are paid for. */
function allowed(r: Responder): bool {
  const mine = lanePart(r);
  let spent = mine.spentNs;
  if (nowNs > r.burstNs && spent < nowNs - r.burstNs) spent = nowNs - r.burstNs;
  if (spent + r.errorNs > nowNs) {
    tally(r, ResponderCount.RATE_LIMITED);
    return false;
  }
  mine.spentNs = spent + r.errorNs;
  return true;
}

/** Makes room of `bytes` before the IP packet at `p` + `at` and sends the frame back. 0 when the frame has no room. */
function push(port: Port, p: usize, at: u32, bytes: u32): usize {
  const start = packetAt + frameOf(<u32>(p - packetAt));
  if (p - bytes < start) return 0;
  const q = p - bytes;
  memory.copy(q, p, at);
  eth.copy_mac(eth.dst(q), eth.src(q));
  eth.copy_mac(eth.src(q), macOf(port));
  return q;
}

export function unreachable4(r: Responder, port: Port, p: usize, at: u32, vlan: u32): Outcome {
  const ip = p + at;
  const proto = ipv4.protocol(ip);
  if (proto == IpProto.TCP) return Outcome.PASS;
  const from = ipv4.src(ip);
  if (martian4(from) || isBroadcast4(r, vlan, from) || changetype<usize>(own4(r, vlan, from)) != 0) return Outcome.BAD;
  if (!allowed(r)) return Outcome.TAKEN;
  const to = ipv4.dst(ip);
  const service = (ipv4.tos(ip) & 0x1e) | SERVICE;
  const head = IPV4_SIZE + ICMP_SIZE;
  const quoted = min(ipv4.total_length(ip), LARGEST4 - head);
  const q = push(port, p, at, head);
  if (q == 0) return Outcome.TAKEN;
  ipv4.emit(q + at, service, head + quoted, 0, ipv4.DONT_FRAGMENT, HOPS, IpProto.ICMP, to, from);
  icmp.emit(q + at + IPV4_SIZE, IcmpType.UNREACHABLE, proto == IpProto.UDP ? CODE_PORT : CODE_PROTOCOL, 0, 0, ICMP_SIZE + quoted);
  tally(r, ResponderCount.UNREACHABLE_SENT);
  return reply(q, at + head + quoted);
}

export function unreachable6(r: Responder, port: Port, p: usize, at: u32, vlan: u32): Outcome {
  const ip = p + at;
  const proto = ipv6.upper;
  if (proto == IpProto.TCP || proto == IpProto.NONE) return Outcome.PASS;
  const from = ipv6.src(ip);
  if (multicast6(from) || unspecified6(from) || changetype<usize>(own6(r, vlan, from)) != 0) return Outcome.BAD;
  if (!allowed(r)) return Outcome.TAKEN;
  const s = scratch();
  v128.store(s, v128.load(ipv6.dst(ip)));
  v128.store(s + 16, v128.load(from));
  // Parameter problem points at the octet that names the header nobody knows (RFC 4443 §3.4).
  const pointer = nextHeaderAt(ip);
  const head = IPV6_SIZE + ICMP_SIZE;
  const quoted = min(IPV6_SIZE + ipv6.payload_length(ip), LARGEST6 - head);
  const q = push(port, p, at, head);
  if (q == 0) return Outcome.TAKEN;
  const answer = q + at;
  ipv6.emit(answer, 0, 0, ICMP_SIZE + quoted, IpProto.ICMPV6, HOPS, s, s + 16);
  const l4 = answer + IPV6_SIZE;
  const udp = proto == IpProto.UDP;
  const pseudo = ipv6.pseudo(answer, IpProto.ICMPV6, ICMP_SIZE + quoted);
  icmpv6.emit(
    l4,
    udp ? Icmpv6Type.UNREACHABLE : Icmpv6Type.PARAMETER_PROBLEM,
    udp ? CODE_PORT6 : CODE_NEXT_HEADER,
    0,
    udp ? 0 : pointer,
    ICMP_SIZE + quoted,
    pseudo,
  );
  tally(r, ResponderCount.UNREACHABLE_SENT);
  return reply(q, at + head + quoted);
}

/** Offset of the octet that names the upper-layer protocol. */
function nextHeaderAt(ip: usize): u32 {
  let named: u32 = 6;
  let next = ipv6.next_header(ip);
  for (let i = IPV6_SIZE; i < ipv6.upperAt; ) {
    named = i;
    const kind = next;
    next = load<u8>(ip + i);
    i += kind == IpProto.AH ? (<u32>load<u8>(ip + i, 1) + 2) << 2 : (<u32>load<u8>(ip + i, 1) + 1) << 3;
  }
  return named;
}
