// BPF_MAP_TYPE_RINGBUF: one ring of records for all lanes. aux0 ─▶ RecordRing. See records.ts.
import { Errno, copyBytes, fail, head } from "./map";
import {
  FORCE_WAKEUP, NO_WAKEUP, consumerOf, producerOf, recordCommit, recordReserve, ringAt,
} from "./records";

/** bpf_ringbuf_output: -EAGAIN when there is no room. */
export function ringbuf_output(map: usize, data: usize, size: u64, flags: u64): i64 {
  if (flags & ~(NO_WAKEUP | FORCE_WAKEUP)) return fail(Errno.EINVAL);
  const record = recordReserve(head(map).aux0, size);
  if (!record) return fail(Errno.EAGAIN);
  copyBytes(record, data, <u32>size);
  recordCommit(record, flags, false);
  return 0;
}

export function ringbuf_reserve(map: usize, size: u64, flags: u64): usize {
  return flags ? 0 : recordReserve(head(map).aux0, size);
}

export function ringbuf_submit(data: usize, flags: u64): void {
  recordCommit(data, flags, false);
}

export function ringbuf_discard(data: usize, flags: u64): void {
  recordCommit(data, flags, true);
}

/** bpf_ringbuf_query: 0 unread bytes, 1 capacity, 2 consumer's position, 3 producer's. */
export function ringbuf_query(map: usize, what: u64): u64 {
  const ring: usize = head(map).aux0;
  if (what == 0) return producerOf(ring) - consumerOf(ring);
  if (what == 1) return ringAt(ring).bytes;
  if (what == 2) return consumerOf(ring);
  if (what == 3) return producerOf(ring);
  return 0;
}

export function ringbuf_lookup_elem(map: usize, key: usize): usize {
  return 0;
}

export function ringbuf_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  return fail(Errno.EOPNOTSUPP);
}

export function ringbuf_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EOPNOTSUPP);
}
