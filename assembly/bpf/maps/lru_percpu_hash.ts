// BPF_MAP_TYPE_LRU_PERCPU_HASH: percpu_hash's elements with lru_hash's clock.
import { lane } from "../../core/lane";
import { lockBucket, unlockBucket } from "./lock";
import { BPF_EXIST, Errno, begin, checkFlags, copyBytes, done, fail, head } from "./map";
import {
  bucketOf, elemKey, find, giveFree, hashOf, laneValues, linkAndUnlock, refOf, setRef, unreserve, walk,
} from "./hash_table";
import { fillLanes } from "./percpu_hash";
import { makeRoom } from "./lru_hash";

// @ts-ignore: decorator
@inline function touched(map: usize, key: usize): usize {
  const e = find(map, key);
  if (e && !refOf(e)) setRef(e, 1);
  return e;
}

export function lru_percpu_hash_lookup_elem(map: usize, key: usize): usize {
  const e = touched(map, key);
  return e ? laneValues(e) + lane * head(map).laneStride : 0;
}

export function lru_percpu_hash_lookup_percpu_elem(map: usize, key: usize, ofLane: u32): usize {
  if (ofLane >= head(map).lanes) return 0;
  const e = touched(map, key);
  return e ? laneValues(e) + ofLane * head(map).laneStride : 0;
}

/** Updates `old`, found in a locked bucket, in place. */
// @ts-ignore: decorator
@inline function updateInPlace(map: usize, at: usize, first: u32, old: usize, value: usize, all: bool): i64 {
  fillLanes(map, old, value, false, all);
  setRef(old, 1);
  unlockBucket(at, first);
  return 0;
}

function update(map: usize, key: usize, value: usize, flags: u64, all: bool): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const hash = hashOf(map, key);
  const at = bucketOf(map, hash);
  let first = lockBucket(at);
  let old = walk(map, at, first, hash, key);
  let no = checkFlags(old != 0, flags);
  if (no) {
    unlockBucket(at, first);
    return no;
  }
  if (old) return updateInPlace(map, at, first, old, value, all);
  unlockBucket(at, first);
  const e = makeRoom(map);
  if (!e) return fail(Errno.ENOMEM);
  copyBytes(elemKey(e), key, head(map).keySize);
  fillLanes(map, e, value, true, all);
  setRef(e, 0);
  first = lockBucket(at);
  old = walk(map, at, first, hash, key);
  no = checkFlags(old != 0, flags);
  if (!no && !old) {
    linkAndUnlock(at, first, e, hash);
    return 0;
  }
  if (no) unlockBucket(at, first);
  else updateInPlace(map, at, first, old, value, all);
  giveFree(map, e);
  unreserve(map);
  return no;
}

export function lru_percpu_hash_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, value, flags, false));
}

export function lru_percpu_hash_update_all(map: usize, key: usize, values: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, values, flags, true));
}

export {
  hash_delete_elem as lru_percpu_hash_delete_elem, hash_get_next_key as lru_percpu_hash_get_next_key,
} from "./hash";
export {
  percpu_hash_lookup_and_delete_elem as lru_percpu_hash_lookup_and_delete_elem,
} from "./percpu_hash";
