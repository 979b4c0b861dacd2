// BPF_MAP_TYPE_QUEUE, and the ring of values under stack too: maxEntries + 1 places, one always empty.
//   state0 = head, next place to fill        state1 = tail, oldest value
// The kernel locks the map for each operation, and so do we.
import { lockMap, unlockMap } from "./lock";
import { BPF_EXIST, BPF_NOEXIST, Errno, copyBytes, fail, head, zeroBytes } from "./map";

// @ts-ignore: decorator
@inline function after(map: usize, i: u32): u32 { return i == head(map).maxEntries ? 0 : i + 1; }

// @ts-ignore: decorator
@inline function place(map: usize, i: u32): usize { return head(map).dataAt + i * head(map).stride; }

/** Appends a value. BPF_EXIST drops the oldest when full; -E2BIG without it. */
export function queue_push_elem(map: usize, value: usize, flags: u64): i64 {
  if (flags & BPF_NOEXIST || flags > BPF_EXIST) return fail(Errno.EINVAL);
  const h = head(map);
  lockMap(map);
  const next = after(map, h.state0);
  if (next == h.state1) {
    if (!(flags & BPF_EXIST)) {
      unlockMap(map);
      return fail(Errno.E2BIG);
    }
    h.state1 = after(map, h.state1);
  } else h.count++;
  copyBytes(place(map, h.state0), value, h.valueSize);
  h.state0 = next;
  unlockMap(map);
  return 0;
}

/** Copies the value at the tail (queue) or under the head (stack); -ENOENT and zeros when there is none. */
// @ts-ignore: decorator
@inline export function readValue(map: usize, out: usize, remove: bool, newest: bool): i64 {
  const h = head(map);
  lockMap(map);
  if (h.state0 == h.state1) {
    unlockMap(map);
    zeroBytes(out, h.valueSize);
    return fail(Errno.ENOENT);
  }
  const i = newest ? (h.state0 ? h.state0 - 1 : h.maxEntries) : h.state1;
  copyBytes(out, place(map, i), h.valueSize);
  if (remove) {
    if (newest) h.state0 = i;
    else h.state1 = after(map, i);
    h.count--;
  }
  unlockMap(map);
  return 0;
}

export function queue_pop_elem(map: usize, value: usize): i64 {
  return readValue(map, value, true, false);
}

export function queue_peek_elem(map: usize, value: usize): i64 {
  return readValue(map, value, false, false);
}

/** Queues have no keys. */
export function queue_lookup_elem(map: usize, key: usize): usize {
  return 0;
}

export function queue_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  return fail(Errno.EINVAL);
}

export function queue_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EINVAL);
}
