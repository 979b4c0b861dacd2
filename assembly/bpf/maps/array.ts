// BPF_MAP_TYPE_ARRAY: values side by side, each rounded up to 8 bytes.
//   dataAt ─▶ │ value 0 │ value 1 │ …      stride = roundUp8(valueSize)
// The JIT inlines the lookup. Values never move and are updated in place, as in the kernel;
// an update frees the element's timer.
import { copyValue, copyValueLocked } from "./lock";
import { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, Errno, fail, head } from "./map";
import { freeMembersIn } from "./members";

export function array_lookup_elem(map: usize, key: usize): usize {
  const h = head(map);
  const i = load<u32>(key);
  return i < h.maxEntries ? <usize>(h.dataAt + i * h.stride) : 0;
}

export function array_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  const h = head(map);
  if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return fail(Errno.EINVAL);
  const i = load<u32>(key);
  if (i >= h.maxEntries) return fail(Errno.E2BIG);
  if (flags & BPF_NOEXIST) return fail(Errno.EEXIST);
  const at: usize = h.dataAt + i * h.stride;
  if (flags & BPF_F_LOCK) {
    if (!h.valueLock) return fail(Errno.EINVAL);
    copyValueLocked(map, at, value, at);
  } else copyValue(map, at, value);
  freeMembersIn(map, at);
  return 0;
}

/** Elements of an array cannot be deleted. */
export function array_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EINVAL);
}

/** Next index after *key (or the first when key is 0 or out of range) into *next. */
export function array_get_next_key(map: usize, key: usize, next: usize): i64 {
  const max = head(map).maxEntries;
  const i = key ? load<u32>(key) : max;
  if (i >= max) {
    store<u32>(next, 0);
    return 0;
  }
  if (i == max - 1) return fail(Errno.ENOENT);
  store<u32>(next, i + 1);
  return 0;
}
