// BPF_MAP_TYPE_CPUMAP: key = lane, entries are {queue size, table slot of the program run there}; size 0 is none.
import { BPF_EXIST, BPF_NOEXIST, Errno, fail, head } from "./map";
import { entryAt, putEntry } from "./slots";

const QSIZE_MAX: u32 = 16384;

export function cpumap_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  const qsize = load<u32>(value);
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const at = entryAt(map, key);
  if (!at) return fail(Errno.E2BIG);
  if (flags == BPF_NOEXIST) return fail(Errno.EEXIST);
  if (qsize > QSIZE_MAX) return fail(Errno.EOVERFLOW);
  // The last copy is the host's, which is no lane to send packets to.
  if (load<u32>(key) >= head(map).lanes - 1) return fail(Errno.ENODEV);
  putEntry(at, qsize, qsize ? load<u32>(value, 4) : 0);
  return 0;
}

export {
  devmap_delete_elem as cpumap_delete_elem, devmap_lookup_elem as cpumap_lookup_elem,
} from "./devmap";
export { array_get_next_key as cpumap_get_next_key } from "./array";
