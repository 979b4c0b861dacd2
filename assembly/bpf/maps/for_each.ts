// bpf_for_each_map_elem: calls a function of the lane's table for every element.
// The callback is a u32 table slot of a function (map, key, value, ctx, 0) → i64; 0 goes on, anything else stops.
import { lane } from "../../core/lane";
import { MapType } from "../../layout.gen";
import { Errno, fail, head } from "./map";
import { elemKey, elemValue, laneValues, nextOf } from "./hash_table";
import { laneValue } from "./percpu_array";

/** Iterations in progress in this lane: a callback may iterate in turn, and each needs an index of its own. */
let depth: u32 = 0;
/** Room for indices: one cache line a lane at aux0 of an array. The verifier allows 8 frames. */
const DEPTH_MAX: u32 = 16;

// @ts-ignore: decorator
@inline function call(slot: u32, map: usize, key: usize, value: usize, ctx: u64): u64 {
  return call_indirect<u64>(slot, <u64>map, <u64>key, <u64>value, ctx, <u64>0);
}

function eachIndex(map: usize, slot: u32, ctx: u64, perLane: bool): i64 {
  const h = head(map);
  if (depth >= DEPTH_MAX) return fail(Errno.EBUSY);
  const key: usize = h.aux0 + (lane << 6) + (depth << 2);
  depth++;
  let n: u32 = 0;
  while (n < h.maxEntries) {
    store<u32>(key, n);
    const value = perLane ? laneValue(map, n, lane) : <usize>(h.dataAt + n * h.stride);
    n++;
    if (call(slot, map, key, value, ctx)) break;
  }
  depth--;
  return n;
}

function eachElement(map: usize, slot: u32, ctx: u64, perLane: bool): i64 {
  const h = head(map);
  let n: i64 = 0;
  for (let b: u32 = 0; b <= h.aux1; b++) {
    let e: usize = atomic.load<u32>(h.aux0 + (b << 3));
    // The callback may delete what it is shown and insert it elsewhere: then the walk ends at another bucket's
    // marker, and the limit keeps it finite whatever happens.
    for (let left = h.maxEntries + h.lanes; !(e & 1) && left; left--) {
      const value = perLane ? laneValues(e) + lane * h.laneStride : elemValue(map, e);
      n++;
      if (call(slot, map, elemKey(e), value, ctx)) return n;
      e = nextOf(e);
    }
  }
  return n;
}

/** Number of calls made; -EINVAL for flags or for a type without iteration. */
export function for_each_map_elem(map: usize, slot: u32, ctx: u64, flags: u64): i32 {
  if (flags) return -Errno.EINVAL;
  switch (head(map).type) {
    case MapType.ARRAY: return <i32>eachIndex(map, slot, ctx, false);
    case MapType.PERCPU_ARRAY: return <i32>eachIndex(map, slot, ctx, true);
    case MapType.HASH:
    case MapType.LRU_HASH: return <i32>eachElement(map, slot, ctx, false);
    case MapType.PERCPU_HASH:
    case MapType.LRU_PERCPU_HASH: return <i32>eachElement(map, slot, ctx, true);
    default: return -Errno.EINVAL;
  }
}
