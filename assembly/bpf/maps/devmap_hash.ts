// BPF_MAP_TYPE_DEVMAP_HASH: devmap with any u32 as key. Elements hold {ifindex, egress slot} as in devmap; a free
// element's ifindex is 0, so that a broadcast can go through the element array.
import { lockBucket, unlockBucket } from "./lock";
import { BPF_EXIST, BPF_NOEXIST, Errno, copyBytes, fail, head } from "./map";
import {
  bucketOf, elemKey, elemValue, giveFree, hashOf, linkAndUnlock, reserve, takeFree, takeOut, unreserve, walk,
} from "./hash_table";
import { putEntry } from "./slots";

export function devmap_hash_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  if (flags > BPF_EXIST || !load<u32>(value)) return fail(Errno.EINVAL);
  const hash = hashOf(map, key);
  const at = bucketOf(map, hash);
  const first = lockBucket(at);
  let e = walk(map, at, first, hash, key);
  // The kernel refuses a known key under BPF_NOEXIST, but inserts a new one under BPF_EXIST.
  let no: i64 = 0;
  if (e) {
    if (flags == BPF_NOEXIST) no = fail(Errno.EEXIST);
    else putEntry(elemValue(map, e), load<u32>(value), load<u32>(value, 4));
    unlockBucket(at, first);
    return no;
  }
  if (!reserve(map)) {
    unlockBucket(at, first);
    return fail(Errno.E2BIG);
  }
  e = takeFree(map);
  if (!e) {
    unreserve(map);
    unlockBucket(at, first);
    return fail(Errno.ENOMEM);
  }
  copyBytes(elemKey(e), key, head(map).keySize);
  putEntry(elemValue(map, e), load<u32>(value), load<u32>(value, 4));
  linkAndUnlock(at, first, e, hash);
  return 0;
}

export function devmap_hash_delete_elem(map: usize, key: usize): i64 {
  const e = takeOut(map, key);
  if (!e) return fail(Errno.ENOENT);
  putEntry(elemValue(map, e), 0, 0);
  giveFree(map, e);
  unreserve(map);
  return 0;
}

export { hash_get_next_key as devmap_hash_get_next_key, hash_lookup_elem as devmap_hash_lookup_elem } from "./hash";
