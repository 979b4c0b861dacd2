// map_* helpers for a map whose type is known only at run time, and iteration for for_each_map_elem.
// The JIT calls the typed export when it knows the map; the interpreter, inner maps and the host come here.
import { lane } from "../../core/lane";
import { BUCKET_LOCK } from "./lock";
import { MapType } from "../../layout.gen";
import { Errno, fail, head } from "./map";
import { array_delete_elem, array_get_next_key, array_lookup_elem, array_update_elem } from "./array";
import {
  laneValue, percpu_array_lookup_elem, percpu_array_lookup_percpu_elem, percpu_array_update_all,
  percpu_array_update_elem,
} from "./percpu_array";
import { hash_delete_elem, hash_get_next_key, hash_init, hash_lookup_and_delete_elem, hash_lookup_elem, hash_update_elem } from "./hash";
import { elemKey, elemValue, laneValues, nextOf } from "./hash_table";
import {
  percpu_hash_lookup_all, percpu_hash_lookup_and_delete_elem, percpu_hash_lookup_elem,
  percpu_hash_lookup_percpu_elem, percpu_hash_update_all, percpu_hash_update_elem,
} from "./percpu_hash";

/** Lays out the storage of a new map whose header is filled. Called once by the host. */
export function map_init(map: usize): void {
  switch (head(map).type) {
    case MapType.HASH:
    case MapType.PERCPU_HASH:
      hash_init(map);
      break;
    default:
  }
}

export function map_lookup_elem(map: usize, key: usize): usize {
  switch (head(map).type) {
    case MapType.ARRAY: return array_lookup_elem(map, key);
    case MapType.HASH: return hash_lookup_elem(map, key);
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_elem(map, key);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_elem(map, key);
    default: return 0;
  }
}

export function map_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  switch (head(map).type) {
    case MapType.ARRAY: return array_update_elem(map, key, value, flags);
    case MapType.HASH: return hash_update_elem(map, key, value, flags);
    case MapType.PERCPU_ARRAY: return percpu_array_update_elem(map, key, value, flags);
    case MapType.PERCPU_HASH: return percpu_hash_update_elem(map, key, value, flags);
    default: return fail(Errno.EINVAL);
  }
}

export function map_delete_elem(map: usize, key: usize): i64 {
  switch (head(map).type) {
    case MapType.HASH:
    case MapType.PERCPU_HASH: return hash_delete_elem(map, key);
    default: return fail(Errno.EINVAL);
  }
}

/** Host: writes every lane's copy. `values` holds them side by side, roundUp8(valueSize) bytes each. */
export function map_update_all(map: usize, key: usize, values: usize, flags: u64): i64 {
  switch (head(map).type) {
    case MapType.PERCPU_ARRAY: return percpu_array_update_all(map, key, values, flags);
    case MapType.PERCPU_HASH: return percpu_hash_update_all(map, key, values, flags);
    default: return fail(Errno.EINVAL);
  }
}

/** Host: address of lane 0's copy. */
export function map_lookup_all(map: usize, key: usize): usize {
  switch (head(map).type) {
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_percpu_elem(map, key, 0);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_all(map, key);
    default: return 0;
  }
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM; per-CPU maps give every lane's copy. */
export function map_lookup_and_delete_elem(map: usize, key: usize, out: usize): i64 {
  switch (head(map).type) {
    case MapType.HASH: return hash_lookup_and_delete_elem(map, key, out);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_and_delete_elem(map, key, out);
    default: return fail(Errno.EOPNOTSUPP);
  }
}

/** bpf_map_lookup_percpu_elem. */
export function map_lookup_percpu_elem(map: usize, key: usize, ofLane: u32): usize {
  switch (head(map).type) {
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_percpu_elem(map, key, ofLane);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_percpu_elem(map, key, ofLane);
    default: return 0;
  }
}

/** BPF_MAP_GET_NEXT_KEY; key 0 asks for the first. */
export function map_get_next_key(map: usize, key: usize, next: usize): i64 {
  switch (head(map).type) {
    case MapType.ARRAY:
    case MapType.PERCPU_ARRAY: return array_get_next_key(map, key, next);
    case MapType.HASH:
    case MapType.PERCPU_HASH: return hash_get_next_key(map, key, next);
    default: return fail(Errno.EINVAL);
  }
}

// ── for_each_map_elem ────────────────────────────────────────────────────────────────────────────────────────

/** Iterations in progress in this lane: a callback may iterate in turn, each needs an index of its own. */
let depth: u32 = 0;
/** Room for indices: one cache line a lane at aux0 of an array. */
const DEPTH_MAX: u32 = 16;

// @ts-ignore: decorator
@inline function call(slot: u32, map: usize, key: usize, value: usize, ctx: u64): u64 {
  return call_indirect<u64>(slot, <u64>map, <u64>key, <u64>value, ctx, <u64>0);
}

function eachIndex(map: usize, slot: u32, ctx: u64): i64 {
  const h = head(map);
  if (depth >= DEPTH_MAX) return fail(Errno.EBUSY);
  const key: usize = h.aux0 + (lane << 6) + (depth << 2);
  const perLane = h.type == MapType.PERCPU_ARRAY;
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
    let e: usize = atomic.load<u32>(h.aux0 + (b << 2)) & ~BUCKET_LOCK;
    // The callback may delete what it is shown and insert it elsewhere: then the walk ends at another
    // bucket's marker, and a limit keeps it finite.
    for (let left = h.maxEntries + h.lanes; !(e & 1) && left; left--) {
      const value = perLane ? laneValues(e) + lane * h.laneStride : elemValue(map, e);
      n++;
      if (call(slot, map, elemKey(e), value, ctx)) return n;
      e = nextOf(e);
    }
  }
  return n;
}

/**
 * Calls table slot `slot` as (map, key, value, ctx, 0) for every element until it returns other than 0.
 * Returns the number of calls, -EINVAL for flags or for a type without iteration.
 */
export function for_each_map_elem(map: usize, slot: u32, ctx: u64, flags: u64): i64 {
  if (flags) return fail(Errno.EINVAL);
  switch (head(map).type) {
    case MapType.ARRAY:
    case MapType.PERCPU_ARRAY: return eachIndex(map, slot, ctx);
    case MapType.HASH:
    case MapType.LRU_HASH: return eachElement(map, slot, ctx, false);
    case MapType.PERCPU_HASH:
    case MapType.LRU_PERCPU_HASH: return eachElement(map, slot, ctx, true);
    default: return fail(Errno.EINVAL);
  }
}
