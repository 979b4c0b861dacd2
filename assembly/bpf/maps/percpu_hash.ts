// BPF_MAP_TYPE_PERCPU_HASH: elements hold the address of lane 0's value; lane n's stands n * laneStride further.
//   valuesAt ─▶ │ lane 0: value of element 0 │ 1 │ … │ lane 1: … │
// An existing key is updated in place, by the lane that owns the copy, as in the kernel.
import { lane } from "../../core/lane";
import { lockBucket, unlockBucket } from "./lock";
import { BPF_EXIST, Errno, begin, checkFlags, copyBytes, done, fail, head, roundUp8, zeroBytes } from "./map";
import {
  bucketOf, elemKey, find, giveFree, hashOf, laneValues, linkAndUnlock, reserve, takeFree, takeOut,
  unreserve, walk,
} from "./hash_table";


export function percpu_hash_lookup_elem(map: usize, key: usize): usize {
  const e = find(map, key);
  return e ? laneValues(e) + lane * head(map).laneStride : 0;
}

export function percpu_hash_lookup_percpu_elem(map: usize, key: usize, ofLane: u32): usize {
  if (ofLane >= head(map).lanes) return 0;
  const e = find(map, key);
  return e ? laneValues(e) + ofLane * head(map).laneStride : 0;
}

/** Writes the lane's value, or every lane's; a new key's other copies become zero. */
export function fillLanes(map: usize, e: usize, value: usize, fresh: bool, all: bool): void {
  const h = head(map);
  const bytes = roundUp8(h.valueSize);
  let to = laneValues(e);
  for (let l: u32 = 0; l < h.lanes; l++, to += h.laneStride) {
    if (all) copyBytes(to, value + l * bytes, h.valueSize);
    else if (l == lane) copyBytes(to, value, h.valueSize);
    else if (fresh) zeroBytes(to, bytes);
  }
}

// @ts-ignore: decorator
@inline function update(map: usize, key: usize, value: usize, flags: u64, all: bool): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const hash = hashOf(map, key);
  const at = bucketOf(map, hash);
  const first = lockBucket(at);
  const old = walk(map, at, first, hash, key);
  const no = checkFlags(old != 0, flags);
  if (no) {
    unlockBucket(at, first);
    return no;
  }
  if (old) {
    fillLanes(map, old, value, false, all);
    unlockBucket(at, first);
    return 0;
  }
  if (!reserve(map)) {
    unlockBucket(at, first);
    return fail(Errno.E2BIG);
  }
  const e = takeFree(map);
  if (!e) {
    unreserve(map);
    unlockBucket(at, first);
    return fail(Errno.ENOMEM);
  }
  copyBytes(elemKey(e), key, head(map).keySize);
  fillLanes(map, e, value, true, all);
  linkAndUnlock(at, first, e, hash);
  return 0;
}

export function percpu_hash_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, value, flags, false));
}

export function percpu_hash_update_all(map: usize, key: usize, values: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, values, flags, true));
}

/** Address of lane 0's value for a lookup by the host, which reads all of them. */
export function percpu_hash_lookup_all(map: usize, key: usize): usize {
  const e = find(map, key);
  return e ? laneValues(e) : 0;
}

export function percpu_hash_lookup_and_delete_elem(map: usize, key: usize, out: usize): i64 {
  begin(map);
  return done(takeAway(map, key, out));
}

function takeAway(map: usize, key: usize, out: usize): i64 {
  const e = takeOut(map, key);
  if (!e) return fail(Errno.ENOENT);
  const h = head(map);
  const bytes = roundUp8(h.valueSize);
  for (let l: u32 = 0; l < h.lanes; l++) copyBytes(out + l * bytes, laneValues(e) + l * h.laneStride, h.valueSize);
  giveFree(map, e);
  unreserve(map);
  return 0;
}

export { hash_delete_elem as percpu_hash_delete_elem, hash_get_next_key as percpu_hash_get_next_key } from "./hash";
