// From the first byte of a frame to its transport header, in one pass. Called by RSS, helpers and the fuzz test.
// Promises: never reads outside `len` bytes; what it found stands in the lane's globals until the next call.
//
//   frame ──▶ eth (tags skipped) ──▶ ipv4 │ ipv6 (extensions skipped) ──▶ tcp │ udp │ icmp │ …
//             l3At, l3Type                 l3End, fragment, l4Proto        l4At, l4Bytes
import * as arp from "./arp";
import * as eth from "./eth";
import * as icmp from "./icmp";
import * as icmpv6 from "./icmpv6";
import * as ipv4 from "./ipv4";
import * as ipv6 from "./ipv6";
import { ETH_SIZE, EtherType, Icmpv6Type, IpProto, IPV6_SIZE, WireStatus } from "./layout.gen";
import * as tcp from "./tcp";
import * as udp from "./udp";

/** Offset of the network header, 0 when the link header is bad. */
export let l3At: u32 = 0;
/** EtherType after all tags. */
export let l3Type: u32 = 0;
/** Offset of the end of the IP packet by its own length: Ethernet padding lies behind. */
export let l3End: u32 = 0;
/** Part of a larger packet (first and last parts too). */
export let fragment: bool = false;
/** IpProto of what lies at `l4At`; 0 when not IP. */
export let l4Proto: u32 = 0;
/** Offset of the transport header; 0 for what is not IP and for fragments after the first. */
export let l4At: u32 = 0;
/** Bytes from `l4At` to the end of the packet. */
export let l4Bytes: u32 = 0;

/** Finds the headers of the frame of `len` bytes at `p`. Transport headers are found, not checked: `check_frame`. */
export function locate(p: usize, len: u32): i32 {
  l3At = 0;
  l3Type = 0;
  l4At = 0;
  l4Proto = 0;
  l4Bytes = 0;
  fragment = false;
  const link = eth.check(p, len);
  if (link != WireStatus.OK) return link;
  const at = eth.payload(p);
  l3At = at;
  l3End = len;
  l3Type = eth.type_before(p, at);
  if (l3Type == EtherType.IPV4) return locate4(p + at, len - at);
  if (l3Type == EtherType.IPV6) return locate6(p + at, len - at);
  return WireStatus.OK;
}

function locate4(ip: usize, len: u32): i32 {
  const status = ipv4.check(ip, len);
  if (status != WireStatus.OK) return status;
  const total = ipv4.total_length(ip);
  l3End = l3At + total;
  l4Proto = ipv4.protocol(ip);
  fragment = ipv4.is_fragment(ip);
  if (fragment && ipv4.fragment_offset(ip) != 0) return WireStatus.OK;
  const header = ipv4.header_bytes(ip);
  l4At = l3At + header;
  l4Bytes = total - header;
  return WireStatus.OK;
}

function locate6(ip: usize, len: u32): i32 {
  let status = ipv6.check(ip, len);
  if (status != WireStatus.OK) return status;
  l3End = l3At + IPV6_SIZE + ipv6.payload_length(ip);
  status = ipv6.walk(ip);
  if (status != WireStatus.OK) return status;
  l4Proto = ipv6.upper;
  fragment = ipv6.fragmentAt != 0;
  if (fragment && ipv6.fragment_offset(ip) != 0) return WireStatus.OK;
  l4At = l3At + ipv6.upperAt;
  l4Bytes = l3End - l4At;
  return WireStatus.OK;
}

/** `locate`, then the checks of ARP or the transport header too. First bad header's WireStatus. */
export function check_frame(p: usize, len: u32): i32 {
  const status = locate(p, len);
  if (status != WireStatus.OK) return status;
  if (l3Type == EtherType.ARP) return arp.check(p + l3At, len - l3At);
  if (l4At == 0) return WireStatus.OK;
  const l4 = p + l4At;
  // A first fragment holds only part of what its transport header announces.
  if (l4Proto == IpProto.UDP) return fragment ? WireStatus.OK : udp.check(l4, l4Bytes);
  if (l4Proto == IpProto.TCP) {
    const s = tcp.check(l4, l4Bytes);
    return s != WireStatus.OK ? s : tcp.check_options(l4);
  }
  if (l4Proto == IpProto.ICMP) return icmp.check(l4, l4Bytes);
  if (l4Proto == IpProto.ICMPV6) {
    const kind = l4Bytes ? icmpv6.type(l4) : 0;
    return kind == Icmpv6Type.NEIGHBOR_SOLICITATION || kind == Icmpv6Type.NEIGHBOR_ADVERTISEMENT ? icmpv6.check_nd(l4, l4Bytes) : icmpv6.check(l4, l4Bytes);
  }
  return WireStatus.OK;
}

/** Are all checksums of a frame right that `check_frame` called OK? Fragments: the IP header's only. */
export function checksums_ok(p: usize): bool {
  const ip = p + l3At;
  const v4 = l3Type == EtherType.IPV4;
  if (v4 && !ipv4.checksum_ok(ip)) return false;
  if (l4At == 0 || fragment) return true;
  const l4 = p + l4At;
  if (l4Proto == IpProto.ICMP) return icmp.checksum_ok(l4, l4Bytes);
  const length = l4Proto == IpProto.UDP ? udp.length(l4) : l4Bytes;
  const pseudo = v4 ? ipv4.pseudo(ip, l4Proto, length) : ipv6.pseudo(ip, l4Proto, length);
  if (l4Proto == IpProto.UDP) return udp.checksum_ok(l4, pseudo);
  if (l4Proto == IpProto.TCP) return tcp.checksum_ok(l4, l4Bytes, pseudo);
  if (l4Proto == IpProto.ICMPV6) return icmpv6.checksum_ok(l4, l4Bytes, pseudo);
  return true;
}

/** Class 0 … 7 of the frame: 802.1p of its outer tag, else the class selector of its DSCP (RFC 2474 §4.2.2); 0 for all others. */
export function class_of(p: usize, len: u32): u32 {
  if (eth.check(p, len) != WireStatus.OK) return 0;
  const kind = eth.type(p);
  if (eth.is_tag(kind)) return eth.tci(p) >> 13;
  const ip = p + ETH_SIZE;
  if (kind == EtherType.IPV4) return ipv4.check(ip, len - ETH_SIZE) == WireStatus.OK ? ipv4.tos(ip) >> 5 : 0;
  if (kind == EtherType.IPV6) return ipv6.check(ip, len - ETH_SIZE) == WireStatus.OK ? ipv6.traffic_class(ip) >> 5 : 0;
  return 0;
}

/** Marks the IP packet in the frame of `len` bytes at `p` as having met congestion. False when it cannot carry a mark. */
export function mark_ce(p: usize, len: u32): bool {
  if (eth.check(p, len) != WireStatus.OK) return false;
  const at = eth.payload(p);
  const kind = eth.type_before(p, at);
  const ip = p + at;
  if (kind == EtherType.IPV4) return ipv4.check(ip, len - at) == WireStatus.OK && ipv4.mark_ce(ip);
  if (kind == EtherType.IPV6) return ipv6.check(ip, len - at) == WireStatus.OK && ipv6.mark_ce(ip);
  return false;
}

export function l3_at(): u32 { return l3At; }
export function l3_type(): u32 { return l3Type; }
export function l3_end(): u32 { return l3End; }
export function is_fragment(): bool { return fragment; }
export function l4_proto(): u32 { return l4Proto; }
export function l4_at(): u32 { return l4At; }
export function l4_bytes(): u32 { return l4Bytes; }
