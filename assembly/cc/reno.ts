// NewReno's window: RFC 5681 §3.1, with bytes counted (RFC 3465). Recovery itself is the transport's (RFC 6582, 6675, 6937).
import { Cc, CcEvent, CcEventFlag, CcKind, CcReno } from "../layout.gen";
import { cwndOf, MOST_CWND, mssOf, pace, reduced, remember, restart, settle, slowStart, undo, windowOf } from "./window";

// @ts-ignore: decorator
@inline function own(cc: Cc): CcReno { return changetype<CcReno>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

/** Congestion avoidance: one segment for every window of bytes. `at` counts them. */
export function avoid(cc: Cc, at: usize, acked: u32): void {
  const mss = mssOf(cc);
  let sum: u64 = <u64>min<u32>(load<u32>(at), MOST_CWND) + acked;
  let cwnd = cwndOf(cc);
  while (sum >= cwnd && cwnd < MOST_CWND) {
    sum -= cwnd;
    cwnd = windowOf(cc, cwnd + mss);
  }
  store<u32>(at, <u32>min<u64>(sum, MOST_CWND));
  cc.cwnd = cwnd;
}

function onAck(cc: Cc, e: CcEvent): void {
  if ((e.flags & CcEventFlag.RECOVERY) != 0 || (e.flags & CcEventFlag.CWND_LIMITED) == 0) return;
  const rest = slowStart(cc, e.acked);
  if (rest != 0) avoid(cc, changetype<usize>(own(cc)) + offsetof<CcReno>("acked"), rest);
}

export function reno(cc: Cc, e: CcEvent): void {
  switch (e.kind) {
    case CcKind.ACK: {
      onAck(cc, e);
      break;
    }
    case CcKind.ENTER: {
      remember(cc, 0);
      cc.ssthresh = reduced(cc, e.inFlight, 0.5);
      break;
    }
    case CcKind.LEAVE: {
      settle(cc);
      own(cc).acked = 0;
      break;
    }
    case CcKind.RTO: {
      timeout(cc, e, 0.5, 0);
      own(cc).acked = 0;
      break;
    }
    case CcKind.UNDO: {
      undo(cc);
      break;
    }
    case CcKind.IDLE: {
      restart(cc);
      break;
    }
  }
  pace(cc, e);
}

/** One segment; ssthresh falls with the first timeout of an episode only (RFC 5681 §3.1). */
export function timeout(cc: Cc, e: CcEvent, share: f64, priv: u32): void {
  if ((e.flags & CcEventFlag.AGAIN) == 0) {
    remember(cc, priv);
    cc.ssthresh = reduced(cc, e.inFlight, share);
  }
  cc.cwnd = mssOf(cc);
}
