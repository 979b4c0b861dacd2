// Arrays of references under prog_array, array_of_maps, devmap, cpumap and xskmap: two words an entry.
//   dataAt ─▶ │ word, second │ word, second │ …    stride 8; word 0 = empty
// An entry changes by one 8-byte store, so a lane reads either the old pair or the new one.
import { Errno, fail, head } from "./map";

/** Address of entry *key; 0 past the end. */
// @ts-ignore: decorator
@inline export function entryAt(map: usize, key: usize): usize {
  const i = load<u32>(key);
  return i < head(map).maxEntries ? <usize>(head(map).dataAt + (i << 3)) : 0;
}

// @ts-ignore: decorator
@inline export function putEntry(at: usize, word: u32, second: u32): void {
  atomic.store<u64>(at, (<u64>second << 32) | word);
}

/** fd_array_map_delete_elem: empties an entry. */
export function fd_array_delete(map: usize, key: usize): i64 {
  const at = entryAt(map, key);
  if (!at) return fail(Errno.E2BIG);
  return atomic.xchg<u64>(at, 0) ? 0 : fail(Errno.ENOENT);
}

/** bpf_fd_array_map_update_elem: sets an entry to the u32 at `value`. */
export function fd_array_update(map: usize, key: usize, value: usize, flags: u64): i64 {
  if (flags) return fail(Errno.EINVAL);
  const at = entryAt(map, key);
  if (!at) return fail(Errno.E2BIG);
  putEntry(at, load<u32>(value), 0);
  return 0;
}
