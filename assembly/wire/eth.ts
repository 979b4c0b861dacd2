// Ethernet II frames and their 802.1Q / 802.1ad tags. IEEE 802.3-2022 §3.1.1, IEEE 802.1Q-2022 §9.
// Called by every parser of frames. Promises: after `check` says OK, every getter stays inside the frame.
//
//   0             6             12      14                      with one tag:
//  ┌─────────────┬─────────────┬───────┬──────────┈              12      14      16      18
//  │ destination │ source      │ type  │ payload                ┌───────┬───────┬───────┬──────┈
//  └─────────────┴─────────────┴───────┴──────────┈             │ 8100  │ tci   │ type  │ payload
//                                                               └───────┴───────┴───────┴──────┈
//                                                tci: priority 3 │ drop eligible 1 │ VLAN id 12
import { ETH_DST, ETH_SIZE, ETH_SRC, ETH_TYPE, EtherType, MAX_TAGS, VLAN_SIZE, VLAN_TCI, VLAN_TYPE, WireStatus } from "./layout.gen";

/** Checks the frame of `len` bytes at `p`: header and tags complete, tags not too many. */
export function check(p: usize, len: u32): i32 {
  if (len < ETH_SIZE) return WireStatus.TRUNCATED;
  let at: u32 = ETH_SIZE;
  let kind: u32 = type(p);
  for (let tags: u32 = 0; is_tag(kind); tags++) {
    if (tags == MAX_TAGS) return WireStatus.TOO_MANY_HEADERS;
    if (len < at + VLAN_SIZE) return WireStatus.TRUNCATED;
    kind = bswap(load<u16>(p + at, VLAN_TYPE));
    at += VLAN_SIZE;
  }
  return WireStatus.OK;
}

/** Is this EtherType a tag protocol identifier? */
// @ts-ignore: decorator
@inline export function is_tag(kind: u32): bool { return kind == EtherType.VLAN || kind == EtherType.QINQ; }

/** EtherType that follows the addresses: a tag's, when there is one. */
// @ts-ignore: decorator
@inline export function type(p: usize): u32 { return bswap(load<u16>(p, ETH_TYPE)); }
// @ts-ignore: decorator
@inline export function set_type(p: usize, kind: u32): void { store<u16>(p, bswap(<u16>kind), ETH_TYPE); }

/** Offset of the payload, after all tags. Only after `check`. */
export function payload(p: usize): u32 {
  let at: u32 = ETH_SIZE;
  for (let kind: u32 = type(p); is_tag(kind); at += VLAN_SIZE) kind = bswap(load<u16>(p + at, VLAN_TYPE));
  return at;
}

/** EtherType of the payload that begins at offset `at`: the two bytes before it, tagged or not. */
// @ts-ignore: decorator
@inline export function type_before(p: usize, at: u32): u32 { return bswap(load<u16>(p + at - 2)); }

/** Tag control information of the outer tag. Only when `is_tag(type(p))`. */
// @ts-ignore: decorator
@inline export function tci(p: usize): u32 { return bswap(load<u16>(p + ETH_SIZE, VLAN_TCI)); }
// @ts-ignore: decorator
@inline export function set_tci(p: usize, v: u32): void { store<u16>(p + ETH_SIZE, bswap(<u16>v), VLAN_TCI); }

// @ts-ignore: decorator
@inline export function dst(p: usize): usize { return p + ETH_DST; }
// @ts-ignore: decorator
@inline export function src(p: usize): usize { return p + ETH_SRC; }

/** Copies a hardware address: 4 + 2 bytes. */
// @ts-ignore: decorator
@inline export function copy_mac(to: usize, from: usize): void {
  store<u32>(to, load<u32>(from));
  store<u16>(to, load<u16>(from, 4), 4);
}

/** Exchanges the two addresses: what a reflector does. */
export function swap_addresses(p: usize): void {
  const d4 = load<u32>(p, ETH_DST);
  const d2 = load<u16>(p, ETH_DST + 4);
  copy_mac(p + ETH_DST, p + ETH_SRC);
  store<u32>(p, d4, ETH_SRC);
  store<u16>(p, d2, ETH_SRC + 4);
}

/** Writes an untagged header; `to` and `from` point at hardware addresses. Returns its length. */
export function emit(p: usize, to: usize, from: usize, kind: u32): u32 {
  copy_mac(p + ETH_DST, to);
  copy_mac(p + ETH_SRC, from);
  set_type(p, kind);
  return ETH_SIZE;
}

/** Writes a header with one tag of type `tpid`. Returns its length. */
export function emit_tagged(p: usize, to: usize, from: usize, tpid: u32, info: u32, kind: u32): u32 {
  emit(p, to, from, tpid);
  set_tci(p, info);
  store<u16>(p + ETH_SIZE, bswap(<u16>kind), VLAN_TYPE);
  return ETH_SIZE + VLAN_SIZE;
}
