// BPF_MAP_TYPE_DEVMAP: entries are {ifindex, table slot of the egress program}; ifindex 0 is none.
// A lookup gives the entry, read-only for programs: struct bpf_devmap_val with a slot where the kernel has a
// program id. redirect_map reads both words.
import { BPF_EXIST, BPF_NOEXIST, Errno, fail } from "./map";
import { entryAt, putEntry } from "./slots";

export function devmap_lookup_elem(map: usize, key: usize): usize {
  const at = entryAt(map, key);
  return at && load<u32>(at) ? at : 0;
}

/** Host: `value` holds both words whatever the map's value size. */
export function devmap_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const at = entryAt(map, key);
  if (!at) return fail(Errno.E2BIG);
  if (flags == BPF_NOEXIST) return fail(Errno.EEXIST);
  if (!load<u32>(value) && load<u32>(value, 4)) return fail(Errno.EINVAL);
  putEntry(at, load<u32>(value), load<u32>(value, 4));
  return 0;
}

export function devmap_delete_elem(map: usize, key: usize): i64 {
  const at = entryAt(map, key);
  if (!at) return fail(Errno.EINVAL);
  putEntry(at, 0, 0);
  return 0;
}

export { array_get_next_key as devmap_get_next_key } from "./array";
