// What rate-based algorithms have in common (eTran, TAS): rounds, a first rate, a window that only keeps a dead path
// from being filled.
import { Cc, CcEvent, CcEventFlag, CcKind } from "../layout.gen";
import { initialWindow, MOST_CWND, mssOf, perSecond, remember, toRate, toU32, undo, windowOf } from "./window";

const MBIT: f64 = 125_000;
/** Additive increase: 10 Mbit/s. */
export const STEP: f64 = 10 * MBIT;
/** Least rate that marks and losses lead to: 500 Mbit/s in eTran, for links of 25 Gbit/s; here a step, for every link. */
export const FLOOR: f64 = STEP;
/** Round trip before the first sample, µs. */
const FIRST_RTT_US: u32 = 50;
/** Fewer bytes say nothing of what a rate achieves. */
const TELLING_BYTES: u32 = 64_800;
/** A rate is at most so much more than what was delivered. */
const AHEAD: f64 = 1.2;

/** The initial window in a round trip. */
export function firstRate(cc: Cc, e: CcEvent): u64 {
  return toRate(max<f64>(FLOOR, perSecond(<f64>initialWindow(cc), e.srttUs == 0 ? FIRST_RTT_US : e.srttUs)));
}

/** Whether an ACK ends the round whose end stands at `at`, followed by whether there is one. The next begins then. */
export function roundOver(at: usize, e: CcEvent): bool {
  const begun = load<u32>(at, 4) != 0;
  if (begun && <i32>(e.una - load<u32>(at)) < 0) return false;
  store<u32>(at, e.nxt);
  store<u32>(at, 1, 4);
  return begun;
}

/** A rate that is not used does not grow. `acked` bytes came back in `us`. */
export function follow(cc: Cc, acked: u32, us: u32): void {
  if (acked < TELLING_BYTES) return;
  const most = max<f64>(FLOOR, perSecond(<f64>acked, us) * AHEAD);
  if (<f64>cc.rate > most) cc.rate = toRate(most);
}

/** Two round trips of the rate, and no less than the initial window. */
export function windowFor(cc: Cc, e: CcEvent): u32 {
  const us = e.srttUs == 0 ? FIRST_RTT_US : e.srttUs;
  const bytes = <f64>cc.rate * <f64>us / 1e6 * 2;
  return max<u32>(windowOf(cc, min<u32>(toU32(bytes), MOST_CWND)), 10 * mssOf(cc));
}

/** What is no ACK; `slowAt` is where slow start is noted, which a timeout ends. */
export function otherThanAck(cc: Cc, e: CcEvent, slowAt: usize): void {
  if (e.kind == CcKind.RTO) {
    if ((e.flags & CcEventFlag.AGAIN) == 0) remember(cc, 0);
    store<u32>(slowAt, 0);
    cc.rate = toRate(max<f64>(<f64>cc.rate / 2, FLOOR));
    cc.cwnd = mssOf(cc);
    return;
  }
  if (e.kind == CcKind.ENTER) remember(cc, 0);
  else if (e.kind == CcKind.UNDO) undo(cc);
  cc.cwnd = windowFor(cc, e);
}
