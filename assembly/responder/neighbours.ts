// Neighbours that were learned: one table for all ports, filled from ARP and neighbour discovery, read by bpf_fib_lookup
// and bpf_redirect_neigh. Ageing follows RFC 4861 §7.3.2 for both families; the host's tick makes every step of it that
// no packet makes.
//
//   nobody ─miss─▶ INCOMPLETE ─answer─▶ REACHABLE ─reachableNs─▶ STALE ─used─▶ DELAY ─delayNs─▶ PROBE ─answer─▶ REACHABLE
//                     └ no answer ▶ FAILED ▶ forgotten             └ unused for staleNs ▶ forgotten   └ none ▶ forgotten
//
// Readers take no lock: an entry counts if its sequence word did not move while it was read. A writer that finds the word
// odd goes away: the next packet says the same again. Recovery of a crashed lane frees the entry that it left odd.
// Readers load by atomics alone: arm64 may do a plain load after the second look at the word. On x86-64 they cost nothing.
import {
  ARENA_HEADER_AT, ARENA_HEADER_LEARNED_AT, Learned, LEARNED_SIZE, LearnedTable, NeighbourState, Port, PortFlag,
  Responder, ResponderCount,
} from "../layout.gen";
import { nowNs } from "../core/clock";
import { flush, portUp } from "../nic/tx";
import { copy_mac } from "../wire/eth";
import { AF_INET6, responderOf, sourceFor, tally } from "./own";
import { scratch, solicit } from "./solicit";

const WINDOW: u32 = 8;
/** Looks at an entry that moves under the reader before it counts as a miss. */
const READ_TRIES: u32 = 4;
/** How exact `usedNs` is: a store for each packet would take the line from the other lanes. */
const USE_STEP_NS: u64 = 100_000_000;
const NEVER: u64 = u64.MAX_VALUE;

// @ts-ignore: decorator
@inline function table(): LearnedTable {
  return changetype<LearnedTable>(<usize>atomic.load<u32>(ARENA_HEADER_AT, ARENA_HEADER_LEARNED_AT));
}

/** Mixes what a neighbour is found by; host/engine/routes.ts does the same for the table of the Fib. */
export function neighbourHash(ifindex: u32, a: u32, b: u32, c: u32, d: u32): u32 {
  let h = (ifindex ^ a) * 0x9e3779b1;
  h = (rotl<u32>(h, 13) ^ b) * 0x85ebca77;
  h = (rotl<u32>(h, 13) ^ c) * 0xc2b2ae3d;
  h = (rotl<u32>(h, 13) ^ d) * 0x27d4eb2f;
  return h ^ (h >> 15);
}

function hashOf(ifindex: u32, family: u32, addr: usize): u32 {
  const a = load<u32>(addr);
  return family == AF_INET6
    ? neighbourHash(ifindex, a, load<u32>(addr, 4), load<u32>(addr, 8), load<u32>(addr, 12))
    : neighbourHash(ifindex, a, 0, 0, 0);
}

// @ts-ignore: decorator
@inline function slot(t: LearnedTable, i: u32): Learned {
  return changetype<Learned>((t.entriesAt + (i & t.mask) * LEARNED_SIZE) as usize);
}

// @ts-ignore: decorator
@inline function addressOf(e: Learned): usize { return changetype<usize>(e) + offsetof<Learned>("address0"); }
// @ts-ignore: decorator
@inline function macAt(e: Learned): usize { return changetype<usize>(e) + offsetof<Learned>("mac0"); }

/** Family, state, asked and router: one word. */
// @ts-ignore: decorator
@inline function kind(e: Learned): u32 { return atomic.load<u32>(changetype<usize>(e), offsetof<Learned>("family")); }

function matches(e: Learned, ifindex: u32, family: u32, addr: usize): bool {
  const at = addressOf(e);
  if (atomic.load<u32>(changetype<usize>(e), offsetof<Learned>("ifindex")) != ifindex) return false;
  if ((kind(e) & 0xff) != family || atomic.load<u32>(at) != load<u32>(addr)) return false;
  return family != AF_INET6 ||
    (atomic.load<u64>(at) == load<u64>(addr) && atomic.load<u64>(at, 8) == load<u64>(addr, 8));
}

// @ts-ignore: decorator
@inline function sequence(e: Learned): u32 { return atomic.load<u32>(changetype<usize>(e), offsetof<Learned>("sequence")); }

/** Takes the entry for writing; false when somebody else has it. */
function take(e: Learned): bool {
  const at = sequence(e);
  if (at & 1 || atomic.cmpxchg<u32>(changetype<usize>(e), at, at + 1, offsetof<Learned>("sequence")) != at) return false;
  // On arm64 a plain store may be seen before the exchange that stands before it, but for an atomic load between them.
  return sequence(e) == at + 1;
}

// @ts-ignore: decorator
@inline function give(e: Learned): void { atomic.add<u32>(changetype<usize>(e), 1, offsetof<Learned>("sequence")); }

function setState(e: Learned, state: NeighbourState): void {
  e.state = <u8>state;
  e.sinceNs = nowNs;
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Hardware address of the neighbour at `addr` (4 or 16 bytes) on a port: where a copy of it stands until the next call,
 * or 0. One that nobody knows is asked for, if the port has an address to ask from.
 */
export function learnedMac(ifindex: u32, family: u32, addr: usize): usize {
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) return 0;
  if (port.flags & PortFlag.NOARP) return changetype<usize>(port) + offsetof<Port>("peer0");
  const t = table();
  if (changetype<usize>(t) == 0) return 0;
  const hash = hashOf(ifindex, family, addr);
  for (let k: u32 = 0; k < WINDOW; k++) {
    const e = slot(t, hash + k);
    for (let tries: u32 = 0; tries < READ_TRIES; tries++) {
      const before = sequence(e);
      if (before & 1) continue;
      if (!matches(e, ifindex, family, addr)) break;
      const state = (kind(e) >> 8) & 0xff;
      const mac = scratch() + 48;
      const bytes = atomic.load<u64>(macAt(e));
      store<u32>(mac, <u32>bytes);
      store<u16>(mac, <u16>(bytes >> 32), 4);
      if (sequence(e) != before) continue;
      if (state < <u32>NeighbourState.REACHABLE || state > <u32>NeighbourState.PROBE) return 0;
      const used = atomic.load<u64>(changetype<usize>(e), offsetof<Learned>("usedNs"));
      if (nowNs - used > USE_STEP_NS) atomic.store<u64>(changetype<usize>(e), nowNs, offsetof<Learned>("usedNs"));
      return mac;
    }
  }
  want(t, hash, port, family, addr);
  return 0;
}

/** Multicast and broadcast are no neighbours. */
function group(family: u32, addr: usize): bool {
  return family == AF_INET6 ? load<u8>(addr) == 0xff : load<u8>(addr) >= 224;
}

/** Asks for a neighbour that nobody knows. */
function want(t: LearnedTable, hash: u32, port: Port, family: u32, addr: usize): void {
  const r = responderOf(port);
  if (changetype<usize>(r) == 0 || group(family, addr)) return;
  const from = sourceFor(r, family, 0, addr);
  if (changetype<usize>(from) == 0) return;
  const e = claim(t, hash, port.ifindex, family, addr);
  if (changetype<usize>(e) == 0) return;
  setState(e, NeighbourState.INCOMPLETE);
  e.asked = 1;
  e.askedNs = nowNs;
  give(e);
  solicit(r, port, family, from, addr, 0);
}

// ── learning ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A slot for a new key, taken for writing: a free one, else that which nobody used longest. Null when all are busy. */
function claim(t: LearnedTable, hash: u32, ifindex: u32, family: u32, addr: usize): Learned {
  let oldest = changetype<Learned>(0);
  let found = changetype<Learned>(0);
  for (let k: u32 = 0; k < WINDOW; k++) {
    const e = slot(t, hash + k);
    if (sequence(e) & 1) continue;
    if (e.ifindex == 0) {
      found = e;
      break;
    }
    if (changetype<usize>(oldest) == 0 || lastNs(e) < lastNs(oldest)) oldest = e;
  }
  if (changetype<usize>(found) == 0) found = oldest;
  if (changetype<usize>(found) == 0 || !take(found)) return changetype<Learned>(0);
  found.ifindex = ifindex;
  found.family = <u8>family;
  found.router = 0;
  const v6 = family == AF_INET6;
  store<u64>(addressOf(found), v6 ? load<u64>(addr) : (load<u32>(addr) as u64));
  store<u64>(addressOf(found), v6 ? load<u64>(addr, 8) : 0, 8);
  store<u64>(macAt(found), 0);
  found.usedNs = 0;
  return found;
}

// @ts-ignore: decorator
@inline function lastNs(e: Learned): u64 { return max(e.usedNs, e.sinceNs); }

/** What `learn` is told about where its knowledge comes from. */
export const LEARN_CREATE: u32 = 1;
/** An answer to a question of ours: the neighbour is reachable. */
export const LEARN_CONFIRMED: u32 = 2;
/** Another hardware address replaces the one that is known. */
export const LEARN_OVERRIDE: u32 = 4;
/** From an advertisement, whose Router flag is set … */
export const LEARN_ROUTER: u32 = 8;
/** … or is not. */
export const LEARN_HOST: u32 = 16;
/** The message names no hardware address. */
export const LEARN_NO_ADDRESS: u32 = 32;

/**
 * Takes in what a packet says of a neighbour: address at `addr`, hardware address at `mac`. RFC 826's merge and
 * RFC 4861 §7.2.5 are one table here. Without LEARN_CREATE only what is known is changed.
 */
export function learn(r: Responder, ifindex: u32, family: u32, addr: usize, mac: usize, how: u32): void {
  const t = table();
  if (changetype<usize>(t) == 0) return;
  const hash = hashOf(ifindex, family, addr);
  for (let k: u32 = 0; k < WINDOW; k++) {
    const e = slot(t, hash + k);
    if (!matches(e, ifindex, family, addr)) continue;
    if (!take(e)) return;
    // Until now it may have become somebody else's.
    if (matches(e, ifindex, family, addr)) update(r, e, mac, how);
    give(e);
    return;
  }
  if ((how & LEARN_CREATE) == 0 || how & LEARN_NO_ADDRESS) return;
  const e = claim(t, hash, ifindex, family, addr);
  if (changetype<usize>(e) == 0) return;
  copy_mac(macAt(e), mac);
  setState(e, how & LEARN_CONFIRMED ? NeighbourState.REACHABLE : NeighbourState.STALE);
  e.asked = 0;
  give(e);
  tally(r, ResponderCount.LEARNED);
}

function update(r: Responder, e: Learned, mac: usize, how: u32): void {
  const state: u32 = e.state;
  const unknown = state == NeighbourState.INCOMPLETE || state == NeighbourState.FAILED;
  const named = (how & LEARN_NO_ADDRESS) == 0;
  const confirmed = (how & LEARN_CONFIRMED) != 0;
  if (unknown) {
    if (!named) return;
    copy_mac(macAt(e), mac);
    setState(e, confirmed ? NeighbourState.REACHABLE : NeighbourState.STALE);
    e.asked = 0;
    tally(r, ResponderCount.LEARNED);
  } else {
    const differs = named && (load<u32>(macAt(e)) != load<u32>(mac) || load<u16>(macAt(e), 4) != load<u16>(mac, 4));
    if (differs && (how & LEARN_OVERRIDE) == 0) {
      if (state == NeighbourState.REACHABLE) setState(e, NeighbourState.STALE);
      return;
    }
    if (differs) copy_mac(macAt(e), mac);
    if (confirmed) setState(e, NeighbourState.REACHABLE);
    else if (differs) setState(e, NeighbourState.STALE);
    if (confirmed || differs) e.asked = 0;
  }
  if (how & (LEARN_ROUTER | LEARN_HOST)) e.router = how & LEARN_ROUTER ? 1 : 0;
}

// ── ageing ────────────────────────────────────────────────────────────────────────────────────────────────────────

function ask(t: LearnedTable, e: Learned): void {
  e.askedNs = nowNs;
  e.asked++;
  const port = portUp(e.ifindex);
  if (changetype<usize>(port) == 0) return;
  const r = responderOf(port);
  if (changetype<usize>(r) == 0) return;
  const from = sourceFor(r, e.family, 0, addressOf(e));
  if (changetype<usize>(from) == 0) return;
  solicit(r, port, e.family, from, addressOf(e), e.state == NeighbourState.PROBE ? macAt(e) : 0);
}

function forget(e: Learned): void {
  e.ifindex = 0;
  e.state = <u8>NeighbourState.NONE;
}

/** One step of one entry, which is taken. Returns when a request of it falls due. */
function age(t: LearnedTable, e: Learned): u64 {
  switch (<u32>e.state) {
    case NeighbourState.INCOMPLETE:
    case NeighbourState.PROBE: {
      if (nowNs < e.askedNs + t.retransNs) return e.askedNs + t.retransNs;
      if (e.asked < t.probes) {
        ask(t, e);
        return e.askedNs + t.retransNs;
      }
      if (e.state == NeighbourState.PROBE) forget(e);
      else setState(e, NeighbourState.FAILED);
      return NEVER;
    }
    case NeighbourState.REACHABLE: {
      if (nowNs >= e.sinceNs + t.reachableNs) setState(e, NeighbourState.STALE);
      return NEVER;
    }
    case NeighbourState.STALE: {
      if (e.usedNs > e.sinceNs) setState(e, NeighbourState.DELAY);
      else if (nowNs >= lastNs(e) + t.staleNs) forget(e);
      return NEVER;
    }
    case NeighbourState.DELAY: {
      if (nowNs < e.sinceNs + t.delayNs) return NEVER;
      setState(e, NeighbourState.PROBE);
      e.asked = 0;
      ask(t, e);
      return e.askedNs + t.retransNs;
    }
    default: {
      if (nowNs >= e.sinceNs + t.failedNs) forget(e);
      return NEVER;
    }
  }
}

/** Ages every entry, by the host at its leisure. Returns when the next request falls due, the largest u64 for none. */
export function neighbours_tick(): u64 {
  const t = table();
  if (changetype<usize>(t) == 0) return NEVER;
  let next = NEVER;
  for (let i: u32 = 0; i <= t.mask; i++) {
    const e = slot(t, i);
    if (e.ifindex == 0 || !take(e)) continue;
    if (e.ifindex != 0) {
      const due = age(t, e);
      if (due < next) next = due;
    }
    give(e);
  }
  flush();
  return next;
}

/** Forgets what was learned on a port. */
export function neighbours_forget(ifindex: u32): void {
  const t = table();
  if (changetype<usize>(t) == 0) return;
  for (let i: u32 = 0; i <= t.mask; i++) {
    const e = slot(t, i);
    if (e.ifindex != ifindex || !take(e)) continue;
    if (e.ifindex == ifindex) forget(e);
    give(e);
  }
}
