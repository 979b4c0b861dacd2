// Flow hash of a packet whose port gave none: addresses, protocol, ports, the same in both directions
// (the kernel sorts them too, __flow_hash_consistentify). The kernel's own is keyed at random at boot, so
// programs cannot rely on its values; this one is the same on every machine.
const ETH_P_IP: u32 = 0x0008;
const ETH_P_IPV6: u32 = 0xdd86;
const TCP: u32 = 6;
const UDP: u32 = 17;
const SCTP: u32 = 132;
const FRAGMENT: u32 = 0x3fff; // more fragments, or an offset

// @ts-ignore: decorator
@inline function mix(h: u32, word: u32): u32 {
  // MurmurHash3's round (Appleby).
  return rotl<u32>(h ^ (rotl<u32>(word * 0xcc9e2d51, 15) * 0x1b873593), 13) * 5 + 0xe6546b64;
}

// @ts-ignore: decorator
@inline function finish(h: u32): u32 {
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  h ^= h >> 16;
  return h ? h : 1; // 0 says "no hash"
}

function fold16(p: usize): u32 {
  return mix(mix(mix(mix(0, load<u32>(p)), load<u32>(p, 4)), load<u32>(p, 8)), load<u32>(p, 12));
}

// @ts-ignore: decorator
@inline function sorted(a: u32, b: u32): u32 {
  return a < b ? mix(mix(0, a), b) : mix(mix(0, b), a);
}

/** Hash of the packet whose network header is at `ip`; never 0 for IP. `protocol` in network order. */
export function flowHash(ip: usize, end: usize, protocol: u32): u32 {
  let h: u32;
  let proto: u32;
  let l4: usize;
  if (protocol == ETH_P_IP) {
    if (ip + 20 > end) return 0;
    proto = load<u8>(ip, 9);
    h = sorted(load<u32>(ip, 12), load<u32>(ip, 16));
    l4 = <u32>bswap<u16>(load<u16>(ip, 6)) & FRAGMENT ? end : ip + ((<u32>load<u8>(ip) & 15) << 2);
  } else if (protocol == ETH_P_IPV6) {
    if (ip + 40 > end) return 0;
    proto = load<u8>(ip, 6);
    h = sorted(fold16(ip + 8), fold16(ip + 24));
    l4 = ip + 40;
  } else {
    return 0;
  }
  h = mix(h, proto);
  if ((proto == TCP || proto == UDP || proto == SCTP) && l4 + 4 <= end)
    h = mix(h, sorted(load<u16>(l4), load<u16>(l4, 2)));
  return finish(h);
}
