// BPF_MAP_TYPE_LRU_HASH: a hash that makes room by throwing out what was not used lately.
// Approximate, like the kernel's, but without its lists: a second-chance clock. A lookup by a program sets the
// element's ref word if it is not set; a hand (state1) goes round the element array, clears ref words, and takes
// the first element it finds unset, or after 128 the next. So a hot key costs no list operation, and lanes share one word, the hand.
//   dataAt ─▶ │ e0 ref 1 │ e1 ref 0 │ e2 ref 1 │ …
//                          ▲ hand: e1 goes next
import { MapHeader, MapType } from "../../layout.gen";
import { initValue, lockBucket, unlockBucket } from "./lock";
import { BPF_EXIST, Errno, begin, checkFlags, copyBytes, done, fail, head } from "./map";
import {
  bucketOf, elemHash, elemKey, elemValue, find, giveFree, hashOf, linkAndUnlock, refOf, replaceAndUnlock, reserve,
  setRef, takeFree, unlinkAndUnlock, unreserve, walk, walkTo,
} from "./hash_table";
import { freeMembersIn } from "./members";

export function lru_hash_lookup_elem(map: usize, key: usize): usize {
  const e = find(map, key);
  if (!e) return 0;
  if (!refOf(e)) setRef(e, 1);
  return elemValue(map, e);
}

/** Elements that the hand gives a second chance before it takes the next one, used or not (LOCAL_NR_SCANS). */
const SECOND_CHANCES: u32 = 128;

/**
 * Takes one element out of the map: the next that has no ref, or when everything was just used the one after
 * SECOND_CHANCES of them, so that a packet never pays for the whole map. 0 when two rounds found none to be had.
 */
export function evict(map: usize): usize {
  const h = head(map);
  const total = h.maxEntries + h.lanes;
  let chances = SECOND_CHANCES;
  for (let left = total * 2; left; left--) {
    const e: usize = h.dataAt + (atomic.add<u32>(map + offsetof<MapHeader>("state1"), 1) % total) * h.stride;
    if (refOf(e) && chances) {
      chances--;
      setRef(e, 0);
      continue;
    }
    // A free element's hash word is a link: then some bucket is searched in vain.
    const at = bucketOf(map, elemHash(e));
    const first = lockBucket(at);
    if (walkTo(at, first, e)) {
      unlinkAndUnlock(at, first, e);
      if (h.type == MapType.LRU_HASH) freeMembersIn(map, elemValue(map, e));
      atomic.add<u32>(map + offsetof<MapHeader>("state2"), 1);
      return e;
    }
    unlockBucket(at, first);
  }
  return 0;
}

/** Rounds of makeRoom: other lanes may empty the map while this one looks for a victim, or fill it again. */
const ROUNDS: u32 = 8;

/** An element for a new key, counted; evicts when the map is full. 0 when there is none to be had. */
export function makeRoom(map: usize): usize {
  for (let i: u32 = 0; i < ROUNDS; i++) {
    if (reserve(map)) {
      const e = takeFree(map);
      if (e) return e;
      // Other lanes have them in their hands: what is linked serves on.
      unreserve(map);
    }
    const e = evict(map);
    if (e) return e;
  }
  return 0;
}

export function lru_hash_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, value, flags));
}

function update(map: usize, key: usize, value: usize, flags: u64): i64 {
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
  let e: usize;
  if (old) {
    e = takeFree(map);
    if (!e) {
      unlockBucket(at, first);
      return fail(Errno.ENOMEM);
    }
  } else {
    // No bucket may be locked while another is searched for a victim.
    unlockBucket(at, first);
    e = makeRoom(map);
    if (!e) return fail(Errno.ENOMEM);
  }
  const counted = !old;
  copyBytes(elemKey(e), key, head(map).keySize);
  initValue(map, elemValue(map, e), value);
  setRef(e, counted ? 0 : 1);
  if (counted) {
    first = lockBucket(at);
    old = walk(map, at, first, hash, key);
    no = checkFlags(old != 0, flags);
    if (no) {
      unlockBucket(at, first);
      giveFree(map, e);
      unreserve(map);
      return no;
    }
  }
  if (!old) {
    linkAndUnlock(at, first, e, hash);
    return 0;
  }
  replaceAndUnlock(at, first, e, old, hash);
  freeMembersIn(map, elemValue(map, old));
  giveFree(map, old);
  if (counted) unreserve(map);
  return 0;
}

export {
  hash_delete_elem as lru_hash_delete_elem, hash_get_next_key as lru_hash_get_next_key,
  hash_lookup_and_delete_elem as lru_hash_lookup_and_delete_elem,
} from "./hash";
