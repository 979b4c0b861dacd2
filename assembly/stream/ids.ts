// Free numbers of streams: batches linked through the records, a lane's own and a depot of the others'.
//
//      lane (StreamLane)              depot (StreamPool.ids)
//   free  ─▶ 9 ─▶ 4 ─▶ 0            ─▶ 65 ─nextBatch─▶ 129 ─nextBatch─▶ 0       lock-free, one exchange per batch
//   spare ─▶ a full batch               └─nextFree─▶ 66 ─▶ 67 …
//
// Called by opening and closing. Promises: no lock, each number in one place; recovery (recover.ts) makes all anew.
import { Stream, StreamPool } from "../layout.gen";
import { mine, pool, recordAt } from "./record";

// @ts-ignore: decorator
@inline function depotHead(): usize { return changetype<usize>(pool()) + offsetof<StreamPool>("ids"); }

// @ts-ignore: decorator
@inline function recordOf(id: u32): usize { return changetype<usize>(recordAt(id)); }

function depotPop(): u32 {
  const head = depotHead();
  let id: u32;
  do {
    const old = atomic.load<u64>(head);
    id = <u32>old;
    if (id == 0) break;
    // `nextBatch` may be stale when another lane takes the batch meanwhile: then the tag has moved and the exchange fails.
    const next = atomic.load<u32>(recordOf(id), offsetof<Stream>("nextBatch"));
    if (atomic.cmpxchg<u64>(head, old, (((old >> 32) + 1) << 32) | (next as u64)) == old) break;
  } while (true);
  return id;
}

/** Gives a batch to the depot. */
export function depotPush(id: u32): void {
  const head = depotHead();
  for (;;) {
    const old = atomic.load<u64>(head);
    atomic.store<u32>(recordOf(id), <u32>old, offsetof<Stream>("nextBatch"));
    if (atomic.cmpxchg<u64>(head, old, (((old >> 32) + 1) << 32) | (id as u64)) == old) return;
  }
}

function countOf(batch: u32): u32 {
  let n: u32 = 0;
  for (let id = batch; id != 0; id = recordAt(id).nextFree) n++;
  return n;
}

/** Takes a free number; 0 when neither this lane nor the depot has one. */
export function takeId(): u32 {
  const sl = mine();
  let id = sl.freeHead;
  if (id == 0) {
    id = sl.spareHead;
    sl.spareHead = 0;
    if (id == 0) id = depotPop();
    if (id == 0) return 0;
    sl.freeCount = countOf(id);
  }
  sl.freeHead = recordAt(id).nextFree;
  sl.freeCount--;
  return id;
}

/** Gives a number back, whose record says that it is free. */
export function giveId(id: u32): void {
  const sl = mine();
  if (sl.freeCount >= pool().batch) {
    if (sl.spareHead != 0) depotPush(sl.spareHead);
    sl.spareHead = sl.freeHead;
    sl.freeHead = 0;
    sl.freeCount = 0;
  }
  recordAt(id).nextFree = sl.freeHead;
  sl.freeHead = id;
  sl.freeCount++;
}
