// BPF_MAP_TYPE_HASH. The value stands in the element, 8-byte aligned, and keeps its address until its key is
// updated or deleted (BPF_F_LOCK updates it in place). See hash_table.ts for the table.
import { copyValueLocked, initValue, lockBucket, unlockBucket } from "./lock";
import { BPF_EXIST, BPF_F_LOCK, Errno, begin, checkFlags, copyBytes, done, fail, head } from "./map";
import {
  bucketOf, elemKey, elemValue, find, following, giveFree, hashOf, linkAndUnlock, replaceAndUnlock,
  reserve, takeFree, takeOut, unreserve, walk,
} from "./hash_table";
import { freeMembersIn } from "./members";

export function hash_lookup_elem(map: usize, key: usize): usize {
  const e = find(map, key);
  return e ? elemValue(map, e) : 0;
}

// @ts-ignore: decorator
@inline function fill(map: usize, e: usize, key: usize, value: usize): void {
  copyBytes(elemKey(e), key, head(map).keySize);
  initValue(map, elemValue(map, e), value);
}

export function hash_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, value, flags));
}

function update(map: usize, key: usize, value: usize, flags: u64): i64 {
  if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return fail(Errno.EINVAL);
  const locked = (flags & BPF_F_LOCK) != 0;
  if (locked) {
    if (!head(map).valueLock) return fail(Errno.EINVAL);
    const e = find(map, key);
    const no = checkFlags(e != 0, flags);
    if (no) return no;
    if (e) {
      copyValueLocked(map, elemValue(map, e), value, elemValue(map, e));
      return 0;
    }
  }
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
    if (locked) {
      copyValueLocked(map, elemValue(map, old), value, elemValue(map, old));
      unlockBucket(at, first);
      return 0;
    }
    const e = takeFree(map);
    if (!e) {
      unlockBucket(at, first);
      return fail(Errno.ENOMEM);
    }
    fill(map, e, key, value);
    replaceAndUnlock(at, first, e, old, hash);
    freeMembersIn(map, elemValue(map, old));
    giveFree(map, old);
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
  fill(map, e, key, value);
  linkAndUnlock(at, first, e, hash);
  return 0;
}

export function hash_delete_elem(map: usize, key: usize): i64 {
  begin(map);
  return done(remove(map, key));
}

function remove(map: usize, key: usize): i64 {
  const e = takeOut(map, key);
  if (!e) return fail(Errno.ENOENT);
  freeMembersIn(map, elemValue(map, e));
  giveFree(map, e);
  unreserve(map);
  return 0;
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM: the value into `out`, and the key gone. */
export function hash_lookup_and_delete_elem(map: usize, key: usize, out: usize): i64 {
  begin(map);
  return done(takeAway(map, key, out));
}

function takeAway(map: usize, key: usize, out: usize): i64 {
  const e = takeOut(map, key);
  if (!e) return fail(Errno.ENOENT);
  initValue(map, out, elemValue(map, e));
  freeMembersIn(map, elemValue(map, e));
  giveFree(map, e);
  unreserve(map);
  return 0;
}

export function hash_get_next_key(map: usize, key: usize, next: usize): i64 {
  const e = following(map, key);
  if (!e) return fail(Errno.ENOENT);
  copyBytes(next, elemKey(e), head(map).keySize);
  return 0;
}
