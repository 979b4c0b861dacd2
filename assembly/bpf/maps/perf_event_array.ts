// BPF_MAP_TYPE_PERF_EVENT_ARRAY: one ring of records per lane, so that lanes share nothing.
//   aux0 ─▶ RecordRing[lanes + 1], the last of the host instance
// A kernel user opens one perf event per CPU and puts it into the map; here every lane's ring is open from the
// start, and what nobody reads is counted as lost once the ring is full.
import { lane } from "../../core/lane";
import { RECORD_RING_SIZE } from "../../layout.gen";
import { Errno, copyBytes, fail, head } from "./map";
import { recordCommit, recordReserve } from "./records";

const INDEX_MASK: u64 = 0xffff_ffff;
const CURRENT_CPU: u64 = 0xffff_ffff;
const CTXLEN_MASK: u64 = 0xf_ffff << 32;

/**
 * bpf_perf_event_output: `size` bytes of data, then `extraLen` bytes of packet (the flags' upper half says how many;
 * the helper finds them). One record each. -E2BIG past the map's end, -ENOENT for an index without ring,
 * -EOPNOTSUPP for another lane's, -ENOSPC when the ring is full.
 */
export function perf_event_array_output(
  map: usize, flags: u64, data: usize, size: u64, extra: usize, extraLen: u32,
): i64 {
  if (flags & ~(INDEX_MASK | CTXLEN_MASK)) return fail(Errno.EINVAL);
  const asked = flags & INDEX_MASK;
  const index = asked == CURRENT_CPU ? lane : <u32>asked;
  const h = head(map);
  if (index >= h.maxEntries) return fail(Errno.E2BIG);
  if (index >= h.lanes) return fail(Errno.ENOENT);
  if (index != lane) return fail(Errno.EOPNOTSUPP);
  const record = recordReserve(h.aux0 + index * RECORD_RING_SIZE, size + extraLen);
  if (!record) return fail(Errno.ENOSPC);
  copyBytes(record, data, <u32>size);
  if (extraLen) copyBytes(record + <u32>size, extra, extraLen);
  recordCommit(record, 0, false);
  return 0;
}

export function perf_event_array_lookup_elem(map: usize, key: usize): usize {
  return 0;
}

export function perf_event_array_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  return fail(Errno.EOPNOTSUPP);
}

export function perf_event_array_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EOPNOTSUPP);
}
