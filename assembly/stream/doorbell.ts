// Doorbells of applications. One ring for each lane and application, and a bit in the lane's `rung` for each that has some.
//
//   application: or requests, RUNG ─▶ doorbell ring, bit in `rung` ─▶ lane: and ~RUNG, ready list
//
// Called by the loop at the start of a round: a load for 32 applications when nobody rang. Promises: a stream is attended to only for the
// application that owns it, in the life that the doorbell means; every other doorbell is counted and ignored.
import { header, lane, self } from "../core/lane";
import { Stream, StreamFlag, StreamLane, StreamRequest } from "../layout.gen";
import { descAddr, descOptions, entry, peek, release, ringAt } from "../mem/ring";
import { aheadOfDoorbells } from "./ahead";
import { appLives, appWords, endOf, wordOf } from "./event";
import { attend } from "./life";
import { mine, recordAt } from "./record";

/** Whether some application rang. */
export function isRung(): bool {
  const at = changetype<usize>(mine());
  const words = appWords();
  for (let word: u32 = 0; word < words; word++)
    if (atomic.load<u32>(at + (word << 2), offsetof<StreamLane>("rung0")) != 0) return true;
  return false;
}

/** Takes the doorbells of every application. Returns how many. */
export function takeDoorbells(): u32 {
  const sl = changetype<usize>(mine());
  let taken: u32 = 0;
  const words = appWords();
  for (let word: u32 = 0; word < words; word++) {
    const at = sl + (word << 2);
    if (atomic.load<u32>(at, offsetof<StreamLane>("rung0")) == 0) continue;
    let bits = atomic.xchg<u32>(at, 0, offsetof<StreamLane>("rung0"));
    for (; bits != 0; bits &= bits - 1) taken += drain((word << 5) + ctz<u32>(bits) + 1);
  }
  return taken;
}

function drain(app: u32): u32 {
  if (!appLives(app)) return 0;
  const sl = mine();
  const r = ringAt(endOf(app).doorConsumer);
  const burst = self().burst;
  const n = peek(r, burst);
  aheadOfDoorbells(r, n);
  for (let k: u32 = 0; k < n; k++) {
    const d = entry(r, k);
    answer(sl, app, descAddr(d), descOptions(d));
  }
  release(r, n);
  // What is left comes with the next round.
  if (n == burst) atomic.or<u32>(wordOf(sl, app), 1 << ((app - 1) & 31), offsetof<StreamLane>("rung0"));
  return n;
}

/** One doorbell of application `app`: the stream must be its own, of this lane, and in the life that it means. */
function answer(sl: StreamLane, app: u32, id: u32, generation: u32): void {
  if (id == 0 || id >= header().streamCount) {
    sl.foreign++;
    return;
  }
  const s = recordAt(id);
  if (s.generation != generation || (s.flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) == 0) {
    sl.stale++;
    return;
  }
  if (s.app != app || s.lane != lane) {
    sl.foreign++;
    return;
  }
  // One of this thread's own application stands there without a bit, mostly (StreamApp.doorHere): a load will do.
  let asked = atomic.load<u32>(changetype<usize>(s), offsetof<Stream>("requests"));
  if ((asked & StreamRequest.RUNG) != 0)
    asked = atomic.and<u32>(changetype<usize>(s), ~<u32>StreamRequest.RUNG, offsetof<Stream>("requests"));
  attend(s, id, asked);
}
