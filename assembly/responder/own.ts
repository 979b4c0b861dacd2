// The port's own addresses, and what a responder counts. Called by every file of this folder; promises plain loads only:
// a Responder never changes once it is published, but for the states of its addresses.
import {
  AddressState, OWN_ADDRESS_SIZE, OwnAddress, Port, PORT_RESPONDER_AT, Responder, RESPONDER_LANE_SIZE, ResponderCount,
  ResponderLane,
} from "../layout.gen";
import { lane } from "../core/lane";

export const AF_INET: u32 = 2;
export const AF_INET6: u32 = 10;
/** ff02::1, all nodes of the link, as two words in memory. */
export const ALL_NODES_LOW: u64 = 0x00000000_000002ff;
export const ALL_NODES_HIGH: u64 = 0x01000000_00000000;
/** ff02::1:ff00:0/104, first word and the upper half of the second. */
const SOLICITED_HIGH: u32 = 0x01000000;

/** What the port answers, null when it answers nothing. */
// @ts-ignore: decorator
@inline export function responderOf(port: Port): Responder {
  return changetype<Responder>(atomic.load<u32>(changetype<usize>(port), PORT_RESPONDER_AT) as usize);
}

// @ts-ignore: decorator
@inline export function lanePart(r: Responder): ResponderLane {
  return changetype<ResponderLane>((r.lanesAt + lane * RESPONDER_LANE_SIZE) as usize);
}

/** Adds to a counter of this lane. */
// @ts-ignore: decorator
@inline export function tally(r: Responder, what: ResponderCount): void {
  const at = changetype<usize>(lanePart(r)) + ((<u32>what) << 3);
  store<u64>(at, load<u64>(at) + 1);
}

// @ts-ignore: decorator
@inline export function ownAt(r: Responder, i: u32): OwnAddress {
  return changetype<OwnAddress>((r.addressesAt + i * OWN_ADDRESS_SIZE) as usize);
}

/** Its bytes. */
// @ts-ignore: decorator
@inline export function bytesOf(own: OwnAddress): usize { return changetype<usize>(own) + offsetof<OwnAddress>("address0"); }

// @ts-ignore: decorator
@inline export function stateOf(own: OwnAddress): u32 {
  return atomic.load<u32>(changetype<usize>(own), offsetof<OwnAddress>("state"));
}

// @ts-ignore: decorator
@inline export function preferred(own: OwnAddress): bool {
  return changetype<usize>(own) != 0 && stateOf(own) == AddressState.PREFERRED;
}

/** The own address that equals `ip` in this VLAN, whatever its state; null when there is none. */
export function own4(r: Responder, vlan: u32, ip: u32): OwnAddress {
  for (let i: u32 = 0; i < r.count; i++) {
    const own = ownAt(r, i);
    if (own.address0 == ip && own.family == AF_INET && own.vlan == vlan) return own;
  }
  return changetype<OwnAddress>(0);
}

/** The same for the 16 bytes at `ip`. */
export function own6(r: Responder, vlan: u32, ip: usize): OwnAddress {
  const low = load<u64>(ip);
  const high = load<u64>(ip, 8);
  for (let i: u32 = 0; i < r.count; i++) {
    const own = ownAt(r, i);
    if (own.family != AF_INET6 || own.vlan != vlan) continue;
    if (load<u64>(bytesOf(own)) == low && load<u64>(bytesOf(own), 8) == high) return own;
  }
  return changetype<OwnAddress>(0);
}

/** Whether `ip` is the directed broadcast of a network that the port is in. */
export function isBroadcast4(r: Responder, vlan: u32, ip: u32): bool {
  if (ip == 0xffffffff) return true;
  for (let i: u32 = 0; i < r.count; i++) {
    const own = ownAt(r, i);
    if (own.family == AF_INET && own.vlan == vlan && own.broadcast != 0 && own.broadcast == ip) return true;
  }
  return false;
}

/** Whether the 16 bytes at `ip` are a multicast address that every node with the port's addresses listens to. */
export function joined6(r: Responder, vlan: u32, ip: usize): bool {
  const low = load<u64>(ip);
  if (low != ALL_NODES_LOW) return false;
  if (load<u64>(ip, 8) == ALL_NODES_HIGH) return true;
  // Solicited-node: ff02::1:ff and the last three bytes of an address (RFC 4291 §2.7.1).
  if (load<u32>(ip, 8) != SOLICITED_HIGH || load<u8>(ip, 12) != 0xff) return false;
  const tail = load<u32>(ip, 12) >> 8;
  for (let i: u32 = 0; i < r.count; i++) {
    const own = ownAt(r, i);
    if (own.family == AF_INET6 && own.vlan == vlan && own.address3 >> 8 == tail) return true;
  }
  return false;
}

// @ts-ignore: decorator
@inline export function multicast6(ip: usize): bool { return load<u8>(ip) == 0xff; }
// @ts-ignore: decorator
@inline export function unspecified6(ip: usize): bool { return (load<u64>(ip) | load<u64>(ip, 8)) == 0; }
// @ts-ignore: decorator
@inline function linkLocal6(ip: usize): bool { return load<u8>(ip) == 0xfe && (load<u8>(ip, 1) & 0xc0) == 0x80; }

/** Whether two addresses begin with the same `bits` bits. */
function sameNetwork(a: usize, b: usize, bits: u32): bool {
  const whole = bits >> 3;
  for (let i: u32 = 0; i < whole; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  const rest = bits & 7;
  return rest == 0 || ((load<u8>(a + whole) ^ load<u8>(b + whole)) >> (8 - rest)) == 0;
}

/**
 * The own address to speak to `to` from: in its network, else of its scope (IPv6), else the first. Null when the port has
 * none that may be used.
 */
export function sourceFor(r: Responder, family: u32, vlan: u32, to: usize): OwnAddress {
  let found = changetype<OwnAddress>(0);
  let best: u32 = 0;
  for (let i: u32 = 0; i < r.count; i++) {
    const own = ownAt(r, i);
    if (own.family != family || own.vlan != vlan || stateOf(own) != AddressState.PREFERRED) continue;
    let fit: u32 = 1;
    if (sameNetwork(bytesOf(own), to, own.bits)) fit = 3;
    else if (family == AF_INET6 && linkLocal6(bytesOf(own)) == linkLocal6(to)) fit = 2;
    if (fit > best) {
      best = fit;
      found = own;
    }
  }
  return found;
}
