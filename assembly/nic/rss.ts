// Receive side scaling: which queue a frame goes to. Symmetric Toeplitz, so that both directions of a flow meet.
// Called by every NIC that fills receive rings (engine, pcap, model) and by get_hash_recalc.
// Promises: never reads outside the frame; A→B and B→A hash alike; what is not IP hashes to 0.
//
// Toeplitz: result = ⊕ over the set bits i of the input of key[i … i+32). With the key 6d5a 6d5a … (Woo and Park,
// KAIST 2012) key[i …] depends on i mod 16 only, therefore
//
//   addresses and ports as 16-bit words   w0 ⊕ w1 ⊕ … = w     one word is all that is left of the input
//   h16 = ⊕ over the set bits j of w of rotl16(6d5a, j)       16 masks, two vectors
//   hash = h16 in both halves                                  a window 16 bits on is the same window
//
// 6d5a has an odd number of ones: the map w → h16 loses nothing (x¹⁶+1 = (x+1)¹⁶ over GF(2)).
import {
  ETH_SIZE, ETH_TYPE, EtherType, IPV4_DST, IPV4_PROTOCOL, IPV4_SIZE, IPV4_SRC, IPV4_TOTAL_LENGTH, IPV6_DST, IPV6_SRC,
  IpProto, WireStatus,
} from "../wire/layout.gen";
import * as ipv4 from "../wire/ipv4";
import { fragment, l3At, l3Type, l4At, l4Bytes, l4Proto, locate } from "../wire/frame";
import { RSS_TABLE_MASK, RSS_TABLE_QUEUES } from "../layout.gen";

/** Source and destination port: the first four bytes of TCP and UDP alike. */
const PORTS_BYTES: u32 = 4;
/** EtherType 0800 and version 4 with IHL 5, as a little-endian load has them. */
const PLAIN_IPV4: u32 = 0x450008;
const PLAIN_BYTES: u32 = ETH_SIZE + IPV4_SIZE + PORTS_BYTES;

/**
 * Hash of the frame of `len` bytes at `data`: IP addresses, and ports when it is unfragmented TCP or UDP.
 * VLAN tags and IPv6 extension headers are skipped. 0 for what is not IP or is malformed.
 */
export function rss_hash(data: usize, len: u32): u32 {
  // Nearly all packets: no tag, no options, whole, TCP or UDP. Four loads decide; `locate` takes the rest.
  if (len >= PLAIN_BYTES && (load<u32>(data, ETH_TYPE) & 0xffffff) == PLAIN_IPV4) {
    const ip = data + ETH_SIZE;
    const total = <u32>bswap(load<u16>(ip, IPV4_TOTAL_LENGTH));
    const proto = <u32>load<u8>(ip, IPV4_PROTOCOL);
    if (
      total >= IPV4_SIZE + PORTS_BYTES && total <= len - ETH_SIZE && !ipv4.is_fragment(ip) &&
      (proto == IpProto.TCP || proto == IpProto.UDP)
    ) {
      const word = load<u32>(ip, IPV4_SRC) ^ load<u32>(ip, IPV4_DST) ^ load<u32>(ip, IPV4_SIZE);
      return symmetric(bswap(<u16>(word ^ (word >> 16))));
    }
  }
  return hash_located(data, len);
}

/** The same for any frame. */
function hash_located(data: usize, len: u32): u32 {
  if (locate(data, len) != WireStatus.OK) return 0;
  const ip = data + l3At;
  let word: u32;
  if (l3Type == EtherType.IPV4) {
    word = load<u32>(ip, IPV4_SRC) ^ load<u32>(ip, IPV4_DST);
  } else if (l3Type == EtherType.IPV6) {
    const both = v128.xor(v128.load(ip, IPV6_SRC), v128.load(ip, IPV6_DST));
    const half = i64x2.extract_lane(both, 0) ^ i64x2.extract_lane(both, 1);
    word = <u32>half ^ <u32>(half >> 32);
  } else return 0;
  // Either both directions of a flow have fragments with ports or neither: ports only when nothing is missing.
  if (!fragment && (l4Proto == IpProto.TCP || l4Proto == IpProto.UDP) && l4Bytes >= PORTS_BYTES)
    word ^= load<u32>(data + l4At);
  return symmetric(bswap(<u16>(word ^ (word >> 16))));
}

/** The sixteen windows against the bits of `word`, bit 0 of the input being its highest. */
function symmetric(word: u16): u32 {
  const bits = i16x8.splat(word);
  const first = i16x8(<i16>0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0400, 0x0200, 0x0100);
  const last = i16x8(0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01);
  const lanes = v128.xor(
    v128.and(
      i16x8.eq(v128.and(bits, first), first),
      i16x8(0x6d5a, <i16>0xdab4, <i16>0xb569, 0x6ad3, <i16>0xd5a6, <i16>0xab4d, 0x569b, <i16>0xad36),
    ),
    v128.and(
      i16x8.eq(v128.and(bits, last), last),
      i16x8(0x5a6d, <i16>0xb4da, 0x69b5, <i16>0xd36a, <i16>0xa6d5, 0x4dab, <i16>0x9b56, 0x36ad),
    ),
  );
  const half = i64x2.extract_lane(lanes, 0) ^ i64x2.extract_lane(lanes, 1);
  const quarter = <u32>half ^ <u32>(half >> 32);
  return ((quarter ^ (quarter >> 16)) & 0xffff) * 0x10001;
}

/** Queue for a hash: the entry of the indirection table at `table` (RssTable). */
// @ts-ignore: decorator
@inline export function rss_queue(table: usize, hash: u32): u32 {
  return load<u16>(table + ((hash & load<u32>(table, RSS_TABLE_MASK)) << 1), RSS_TABLE_QUEUES);
}

/**
 * Toeplitz with any key, bit by bit: what the specification says, for the verification vectors and for comparison.
 * `key` has at least `bytes` + 4 bytes.
 */
export function rss_toeplitz(key: usize, input: usize, bytes: u32): u32 {
  let hash: u32 = 0;
  let window = bswap(load<u32>(key));
  for (let i: u32 = 0; i < bytes; i++) {
    const word = <u32>load<u8>(input + i);
    const next = <u32>load<u8>(key + i, 4);
    for (let bit: i32 = 7; bit >= 0; bit--) {
      if ((word >> bit) & 1) hash ^= window;
      window = (window << 1) | ((next >> bit) & 1);
    }
  }
  return hash;
}
