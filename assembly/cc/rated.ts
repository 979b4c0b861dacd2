// What rate-based algorithms have in common (eTran, TAS): rounds, a first rate, a window that only keeps a dead path
// from being filled.
import { Cc, CcEvent, CcEventFlag, CcKind, CcRated } from "../layout.gen";
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

// @ts-ignore: decorator
@inline function own(cc: Cc): CcRated { return changetype<CcRated>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

/** The initial window in a round trip. */
export function firstRate(cc: Cc, e: CcEvent): u64 {
  return toRate(max<f64>(FLOOR, perSecond(<f64>initialWindow(cc), e.srttUs == 0 ? FIRST_RTT_US : e.srttUs)));
}

/** Whether an ACK ends the round, if one was begun. The next begins then. */
export function roundOver(cc: Cc, e: CcEvent): bool {
  const s = own(cc);
  const begun = s.begun != 0;
  if (begun && <i32>(e.una - s.roundEnd) < 0) return false;
  s.roundEnd = e.nxt;
  s.begun = 1;
  return begun;
}

/** What an ACK delivers and finds lost, added to the round's. */
export function countBytes(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  s.ackedBytes = s.ackedBytes + e.acked < s.ackedBytes ? u32.MAX_VALUE : s.ackedBytes + e.acked;
  s.lostBytes = s.lostBytes + e.lost < s.lostBytes ? u32.MAX_VALUE : s.lostBytes + e.lost;
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

/** Keeps what UNDO brings back: the rate, and whether it was in slow start. */
function rememberRate(cc: Cc): void {
  const s = own(cc);
  remember(cc, s.slow);
  s.undoRate = cc.rate;
}

/** What was taken for lost was not: the rate is what it was, and the round has lost nothing. */
function restoreRate(cc: Cc): void {
  const s = own(cc);
  if (cc.undoCwnd == 0) return;
  s.slow = cc.undoPriv != 0 ? 1 : 0;
  s.lostBytes = 0;
  cc.rate = toRate(<f64>max<u64>(cc.rate, s.undoRate));
  undo(cc);
}

/** What is no ACK. */
export function otherThanAck(cc: Cc, e: CcEvent): void {
  if (e.kind == CcKind.RTO) {
    if ((e.flags & CcEventFlag.AGAIN) == 0) rememberRate(cc);
    own(cc).slow = 0;
    cc.rate = toRate(max<f64>(<f64>cc.rate / 2, FLOOR));
    cc.cwnd = mssOf(cc);
    return;
  }
  if (e.kind == CcKind.ENTER) rememberRate(cc);
  else if (e.kind == CcKind.UNDO) restoreRate(cc);
  cc.cwnd = windowFor(cc, e);
}
