// From packets that came to the streams that they are for, by the transport's own connection tables, ahead of its programs:
// a whole burst is led there step by step, so that memory answers all its packets together (stream/ahead.ts).
//
//   packet ─ hash of addresses and ports ─▶ bucket ─▶ element ─▶ lane << 24 | stream ─▶ record, parts, receive ring
//
// Called by the loop, before a burst is taken. Promises: nothing is changed but a lane's notes, and nothing read outside of
// the arena, whatever a packet, a table or what once was a table says. What is not found is only not fetched.
import {
  FLOW_TABLE_SIZE, FRAME_SIZE, FlowTable, Ring, STREAM_AHEAD_SIZE, StreamAhead, StreamLane,
} from "../../layout.gen";
import { header, lane, packetAt } from "../../core/lane";
import { descAddr, entry } from "../../mem/ring";
import { ahead, fetchRing, fetchStream, partsOf } from "../../stream/ahead";
import { mine, recordAt } from "../../stream/record";
import { ETH_SIZE, ETH_TYPE, IPV4_PROTOCOL, IPV4_SRC, IPV6_NEXT_HEADER, IPV6_SRC } from "../../wire/layout.gen";
import { hashKey, sameKey } from "./hash_key";
import { ELEM_KEY } from "./hash_table";

/** Packets that are looked at together: places in StreamLane.ahead. */
const CHUNK: u32 = 64;
/** Bytes of a packet that are read: up to the ports of TCP over IPv6, rounded up. */
const HEADERS: u32 = 64;
const IPV4_WORD: u32 = 0x0008;
const IPV6_WORD: u32 = 0xdd86;
const KEY4: u32 = 12;
const KEY6: u32 = 36;
/** Bytes of an element: head, key and value (elementStride in host/bpf/maps/storage.ts). */
const ELEMENT: u32 = 64;
/** Elements of a chain that are looked at. */
const CHAIN: u32 = 4;
const ID_BITS: u32 = 24;
const ID_MASK: u32 = (1 << ID_BITS) - 1;

/** IP header of a packet of the protocol of the tables; 0 for any other. Sets `family`. */
// @ts-ignore: decorator
@inline function ipOf(a: StreamAhead, addr: u32): usize {
  if (addr >= header().packetBytes || (addr & (FRAME_SIZE - 1)) > FRAME_SIZE - HEADERS) return 0;
  const eth = packetAt + addr;
  const type: u32 = load<u16>(eth, ETH_TYPE);
  const ip = eth + ETH_SIZE;
  if (type == IPV4_WORD) {
    family = 0;
    return load<u8>(ip, IPV4_PROTOCOL) == a.protocol ? ip : 0;
  }
  family = 1;
  return type == IPV6_WORD && load<u8>(ip, IPV6_NEXT_HEADER) == a.protocol ? ip : 0;
}
/** Which table. Of the last packet that was looked at. */
let family: u32 = 0;

// @ts-ignore: decorator
@inline function tableOf(a: StreamAhead): FlowTable {
  return changetype<FlowTable>(changetype<usize>(a) + STREAM_AHEAD_SIZE + family * FLOW_TABLE_SIZE);
}

/** Address of the bucket. */
function bucketFor(a: StreamAhead, addr: u32): u32 {
  const ip = ipOf(a, addr);
  if (ip == 0) return 0;
  const t = tableOf(a);
  const hash = family == 0 ? hashKey(t.seedsAt, ip + IPV4_SRC, KEY4) : hashKey(t.seedsAt, ip + IPV6_SRC, KEY6);
  return t.bucketsAt + ((hash & t.mask) << 3);
}

// @ts-ignore: decorator
@inline function isElement(t: FlowTable, e: u32): bool {
  return (e & 7) == 0 && e - t.elementsAt <= t.elementBytes - ELEMENT;
}

/** The stream of the packet, in a chain that begins with `e`; 0 when it is none of this lane. */
function streamFor(a: StreamAhead, addr: u32, e: u32): u32 {
  const ip = ipOf(a, addr);
  const t = tableOf(a);
  for (let left = CHAIN; left != 0 && ip != 0 && isElement(t, e); left--) {
    const key = <usize>e + ELEM_KEY;
    if (family == 0 ? sameKey(key, ip + IPV4_SRC, KEY4) : sameKey(key, ip + IPV6_SRC, KEY6)) {
      const value = load<u32>(<usize>e + t.valueAt);
      return value >> ID_BITS == lane && (value & ID_MASK) < header().streamCount ? value & ID_MASK : 0;
    }
    e = load<u32>(e);
  }
  return 0;
}

/** Ahead of the first `n` entries of receive ring `r`. */
export function aheadOfPackets(r: Ring, n: u32): void {
  const a = ahead();
  if (atomic.load<u32>(changetype<usize>(a), offsetof<StreamAhead>("tables")) == 0) return;
  for (let from: u32 = 0; from < n; from += CHUNK) aheadOfSome(a, r, from, min<u32>(n - from, CHUNK));
}

function aheadOfSome(a: StreamAhead, r: Ring, from: u32, n: u32): void {
  const parts = partsOf(a);
  const notes = changetype<usize>(mine()) + offsetof<StreamLane>("ahead0");
  let bits: u32 = 0;
  for (let k: u32 = 0; k < n; k++) {
    const bucket = bucketFor(a, descAddr(entry(r, from + k)));
    store<u32>(notes + (k << 2), bucket);
    bits |= load<u32>(bucket);
  }
  for (let k: u32 = 0; k < n; k++) {
    const bucket = load<u32>(notes + (k << 2));
    if (bucket == 0) continue;
    ipOf(a, descAddr(entry(r, from + k)));
    const first = load<u32>(bucket);
    const e = isElement(tableOf(a), first) ? first : 0;
    store<u32>(notes + (k << 2), e);
    bits |= load<u32>(e);
  }
  for (let k: u32 = 0; k < n; k++) {
    const e = load<u32>(notes + (k << 2));
    const id = e == 0 ? 0 : streamFor(a, descAddr(entry(r, from + k)), e);
    store<u32>(notes + (k << 2), id);
    if (id != 0) bits |= fetchStream(a, parts, id);
  }
  for (let k: u32 = 0; k < n; k++) {
    const id = load<u32>(notes + (k << 2));
    if (id == 0) continue;
    const s = recordAt(id);
    bits |= fetchRing(s.rcvAt, s.rcvBytes, s.rcvEnd);
  }
  mine().fetched = bits;
}
