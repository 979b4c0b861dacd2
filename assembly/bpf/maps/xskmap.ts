// BPF_MAP_TYPE_XSKMAP: key = receive queue, entries are {1, number of the application socket}.
// A lookup gives the entry: programs ask only whether it is there.
import { BPF_EXIST, BPF_NOEXIST, Errno, fail } from "./map";
import { entryAt, putEntry } from "./slots";

export function xskmap_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const at = entryAt(map, key);
  if (!at) return fail(Errno.E2BIG);
  const there = load<u32>(at) != 0;
  if (there && flags == BPF_NOEXIST) return fail(Errno.EEXIST);
  if (!there && flags == BPF_EXIST) return fail(Errno.ENOENT);
  putEntry(at, 1, load<u32>(value));
  return 0;
}

export { devmap_delete_elem as xskmap_delete_elem, devmap_lookup_elem as xskmap_lookup_elem } from "./devmap";
export { array_get_next_key as xskmap_get_next_key } from "./array";
