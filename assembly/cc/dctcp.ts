// DCTCP: RFC 8257 by window, and eTran's rate-based form of it (TAS). Both follow the share of marked bytes, a round at a time.
import { Cc, CcEvent, CcEventFlag, CcKind, CcMarks } from "../layout.gen";
import { countBytes, firstRate, FLOOR, follow, otherThanAck, roundOver, STEP, windowFor } from "./rated";
import { avoid, timeout } from "./reno";
import { cwndOf, pace, remember, restart, settle, slowStart, toRate, toU32, undo, windowOf } from "./window";

/** CcMarks.alpha of everything marked. */
const ALL: u32 = 1 << 20;
/** g = 1/16 (§4.2): the weight of a new round. */
const G_SHIFT: u32 = 4;

// @ts-ignore: decorator
@inline function own(cc: Cc): CcMarks { return changetype<CcMarks>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

// @ts-ignore: decorator
@inline function alphaOf(s: CcMarks): f64 { return <f64>min<u32>(s.alpha, ALL) / <f64>ALL; }

/** §3.3 at the end of a round: alpha = (1 - g) alpha + g M. */
function learn(s: CcMarks): void {
  const alpha = min<u32>(s.alpha, ALL);
  if (s.ackedBytes == 0) return;
  const share = min<u32>(toU32(<f64>s.markedBytes / <f64>s.ackedBytes * <f64>ALL), ALL);
  // So that it comes down to 0, as Linux does.
  const less = max<u32>(alpha >> G_SHIFT, min<u32>(alpha, 1));
  s.alpha = alpha - less + (share >> G_SHIFT);
}

/** Counts an ACK. True at the end of a round. */
function count(cc: Cc, s: CcMarks, e: CcEvent): bool {
  countBytes(cc, e);
  s.markedBytes = min<u32>(s.markedBytes + min<u32>(e.marked, e.acked), s.ackedBytes);
  return roundOver(cc, e);
}

function beginRound(s: CcMarks): void {
  s.ackedBytes = 0;
  s.markedBytes = 0;
  s.lostBytes = 0;
}

export function dctcpInit(cc: Cc): void {
  const s = own(cc);
  s.alpha = ALL;
  s.slow = 1;
}

export function dctcp(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  switch (e.kind) {
    case CcKind.ACK: {
      if (count(cc, s, e)) {
        learn(s);
        beginRound(s);
      }
      if ((e.flags & CcEventFlag.RECOVERY) != 0 || (e.flags & CcEventFlag.CWND_LIMITED) == 0) break;
      const rest = slowStart(cc, e.acked);
      if (rest != 0) avoid(cc, changetype<usize>(s) + offsetof<CcMarks>("acked"), rest);
      break;
    }
    case CcKind.ENTER: {
      remember(cc, 0);
      // §3.4 and §3.5: a mark takes alpha / 2, a loss one half. Down to one segment, as eTran has it.
      const kept: f64 = (e.flags & CcEventFlag.ECE) != 0 ? 1 - alphaOf(s) / 2 : 0.5;
      cc.ssthresh = windowOf(cc, toU32(<f64>cwndOf(cc) * kept));
      break;
    }
    case CcKind.LEAVE: {
      settle(cc);
      s.acked = 0;
      break;
    }
    case CcKind.RTO: {
      timeout(cc, e, 0.5, 0);
      s.acked = 0;
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

/** eTran's dctcp_rate: once a round the rate doubles, grows by a step, or shrinks with alpha or by a half. */
function adjust(cc: Cc, s: CcMarks, lost: bool): void {
  const rate = <f64>cc.rate;
  let next: f64;
  if (lost) next = rate / 2;
  else if (s.markedBytes != 0) next = rate * (1 - alphaOf(s) / 2);
  else if (s.slow != 0) next = rate * 2;
  else next = rate + STEP;
  if (lost || s.markedBytes != 0) s.slow = 0;
  cc.rate = toRate(max<f64>(next, FLOOR));
}

export function dctcpRate(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  if (cc.rate == 0) cc.rate = firstRate(cc, e);
  if (e.kind != CcKind.ACK) {
    otherThanAck(cc, e);
    return;
  }
  if (count(cc, s, e)) {
    learn(s);
    const us = <u32>(e.nowNs / 1000);
    adjust(cc, s, s.lostBytes != 0);
    follow(cc, s.ackedBytes, us - s.roundUs);
    s.roundUs = us;
    beginRound(s);
  }
  cc.cwnd = windowFor(cc, e);
}
