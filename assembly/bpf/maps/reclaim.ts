// What a lane that died had in hand of a map: elements in no list, records reserved and not committed, a count that is
// not the number of keys. Called by the host for the map that LaneState.handMap names, and for every ring of records,
// while no lane runs: then what is neither linked nor free belongs to nobody.
import { MapType, RECORD_RING_SIZE } from "../../layout.gen";
import {
  ELEM_KEY, bucketOf, elemHash, giveFree, nextOf, nextFree, refOf, setRef, walk,
} from "./hash_table";
import { lockBucket, unlockBucket } from "./lock";
import { rebuildTrie } from "./lpm_trie";
import { head } from "./map";
import { mendQueue } from "./pkt_queue";
import { discardBusy } from "./records";
import { freeMembersIn } from "./members";

/** Bit of an element's ref word: it was found in the free list or in a bucket. */
const FOUND: u32 = 0x8000_0000;

// @ts-ignore: decorator
@inline function find(e: usize): void { setRef(e, refOf(e) | FOUND); }

/**
 * Marks the elements of a bucket and returns how many. A replacement that was cut off leaves the old element behind the
 * new one, where it would come to light when the key is deleted: it is taken out.
 */
function findBucket(map: usize, at: usize): u32 {
  let first = lockBucket(at);
  let n: u32 = 0;
  let before: usize = 0;
  for (let e: usize = first; !(e & 1); ) {
    const next = nextOf(e);
    if (walk(map, at, first, elemHash(e), e + ELEM_KEY) == e) {
      find(e);
      n++;
      before = e;
    } else atomic.store<u32>(before, <u32>next);
    e = next;
  }
  unlockBucket(at, first);
  return n;
}

function reclaimTable(map: usize): u32 {
  const h = head(map);
  const total = h.maxEntries + h.lanes;
  for (let e: usize = h.free; e; e = nextFree(e)) find(e);
  let linked: u32 = 0;
  for (let b: u32 = 0; b <= h.aux1; b++) linked += findBucket(map, bucketOf(map, b));
  let lost: u32 = 0;
  for (let i: u32 = 0; i < total; i++) {
    const e: usize = h.dataAt + i * h.stride;
    if (refOf(e) & FOUND) {
      setRef(e, refOf(e) & ~FOUND);
      continue;
    }
    setRef(e, 0);
    freeMembersIn(map, e + h.aux3);
    giveFree(map, e);
    lost++;
  }
  h.count = linked;
  return lost;
}

/** Returns elements and records that are of use again. */
export function map_reclaim(map: usize): u32 {
  const h = head(map);
  switch (h.type) {
    case MapType.HASH:
    case MapType.PERCPU_HASH:
    case MapType.LRU_HASH:
    case MapType.LRU_PERCPU_HASH: return reclaimTable(map);
    case MapType.LPM_TRIE: return rebuildTrie(map);
    case MapType.RINGBUF: return discardBusy(h.aux0);
    case MapType.PERF_EVENT_ARRAY: {
      let n: u32 = 0;
      for (let l: u32 = 0; l < h.lanes; l++) n += discardBusy(h.aux0 + l * RECORD_RING_SIZE);
      return n;
    }
    case MapType.PKT_QUEUE: return mendQueue(map);
    default: return 0;
  }
}
