// A ring of variable-length records: the ring buffer, and one per lane in a perf_event_array.
//
//   dataAt ─▶ │ len flags, ring │ data … │ len flags, ring │ data … │        header 8 B, records 8-byte aligned
//              ▲ consumer                  ▲ producer                         len: bit 31 BUSY, bit 30 DISCARD
//
// Positions only grow; position & (bytes - 1) is the place. The kernel maps its pages twice so that a record may
// run past the end; here the storage is twice as long, and such a record simply goes on behind the end. Its
// place at the start stays unused until the positions have passed it: capacity is the kernel's to the byte.
// Reserving takes a lock, committing does not. One reader, on the host: host/bpf/maps/records.ts.
import { RecordRing } from "../../layout.gen";
import { spinLock, spinUnlock } from "./lock";

const BUSY: u32 = 0x8000_0000;
const DISCARD: u32 = 0x4000_0000;
const HEADER: u32 = 8;
/** RINGBUF_MAX_RECORD_SZ */
const RECORD_MAX: u64 = 0x3fff_ffff;

export const NO_WAKEUP: u64 = 1;
export const FORCE_WAKEUP: u64 = 2;

// @ts-ignore: decorator
@inline export function ringAt(at: usize): RecordRing { return changetype<RecordRing>(at); }

// @ts-ignore: decorator
@inline export function consumerOf(ring: usize): u64 {
  return atomic.load<u64>(ring + offsetof<RecordRing>("consumer"));
}

// @ts-ignore: decorator
@inline export function producerOf(ring: usize): u64 {
  return atomic.load<u64>(ring + offsetof<RecordRing>("producer"));
}

function drop(ring: usize): usize {
  atomic.add<u64>(ring + offsetof<RecordRing>("dropped"), 1);
  return 0;
}

/** Room for `size` bytes, busy until committed; 0 (and one more dropped) when there is none. */
export function recordReserve(ring: usize, size: u64): usize {
  const r = ringAt(ring);
  if (size > RECORD_MAX) return drop(ring);
  const length = (<u32>size + HEADER + 7) & ~7;
  if (length > r.bytes) return drop(ring);
  const lock = ring + offsetof<RecordRing>("lock");
  spinLock(lock);
  const at = producerOf(ring);
  if (at + length - consumerOf(ring) > <u64>(r.bytes - 1)) {
    spinUnlock(lock);
    return drop(ring);
  }
  const record: usize = r.dataAt + (<u32>at & (r.bytes - 1));
  store<u32>(record, <u32>ring, 4);
  atomic.store<u32>(record, <u32>size | BUSY);
  atomic.store<u64>(ring + offsetof<RecordRing>("producer"), at + length);
  spinUnlock(lock);
  return record + HEADER;
}

/** Lets the reader have a record (or skip it), and wakes it as `flags` say: by default when it has caught up. */
export function recordCommit(data: usize, flags: u64, discard: bool): void {
  const record = data - HEADER;
  const ring: usize = load<u32>(record, 4);
  const r = ringAt(ring);
  const length = load<u32>(record) & ~BUSY;
  atomic.store<u32>(record, discard ? length | DISCARD : length);
  if (flags & FORCE_WAKEUP) return wake(ring);
  if (flags & NO_WAKEUP) return;
  if ((<u32>consumerOf(ring) & (r.bytes - 1)) == <u32>record - r.dataAt) wake(ring);
}

/**
 * Discards what was reserved and never committed: a lane died, and the reader would wait there for ever. Called by the
 * host while no lane runs, when nobody has a record in hand. Returns records.
 */
export function discardBusy(ring: usize): u32 {
  const r = ringAt(ring);
  const to = producerOf(ring);
  let n: u32 = 0;
  for (let at = consumerOf(ring); at < to; ) {
    const record: usize = r.dataAt + (<u32>at & (r.bytes - 1));
    const header = atomic.load<u32>(record);
    const length = header & ~(BUSY | DISCARD);
    if (header & BUSY) {
      atomic.store<u32>(record, length | DISCARD);
      n++;
    }
    at += (length + HEADER + 7) & ~7;
  }
  if (n != 0) wake(ring);
  return n;
}

/** Notifies a sleeping reader; with none asleep it costs one load. */
function wake(ring: usize): void {
  const waker: usize = ringAt(ring).wakerAt;
  if (!atomic.load<u32>(waker + offsetof<RecordRing>("waiting"))) return;
  const word = waker + offsetof<RecordRing>("wakes");
  atomic.add<u32>(word, 1);
  atomic.notify(word, 1);
}
