// CUBIC (RFC 9438), its slow start with HyStart++ (RFC 9406). Windows are in bytes; the curve is reckoned in segments and
// seconds, as the RFC does.
import { Cc, CcCubic, CcEvent, CcEventFlag, CcKind } from "../layout.gen";
import { CSS, hystart, hystartReset, SLOW_START_OVER } from "./hystart";
import { timeout } from "./reno";
import { cwndOf, MOST_CWND, mssOf, pace, reduced, remember, restart, settle, slowStart, toU32, undo, windowOf } from "./window";

// §4.6, §4.1.2, §4.3
const BETA: f64 = 0.7;
const C: f64 = 0.4;
const ALPHA: f64 = 3 * (1 - BETA) / (1 + BETA);
const US: f64 = 1e6;

/** Bits of CcCubic.state. */
const EPOCH: u32 = 1;
const AFTER_TIMEOUT: u32 = 2;

// @ts-ignore: decorator
@inline function own(cc: Cc): CcCubic { return changetype<CcCubic>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

/** Cube root of x in 0 … 2^40, by Newton's steps from above: exact to some 1e-12. */
export function cubeRoot(x: f64): f64 {
  if (!(x > 0)) return 0;
  let y: f64 = x > 1 ? x : 1;
  for (let i = 0; i < 128; i++) {
    const next = (2 * y + x / (y * y)) / 3;
    if (next >= y) break;
    y = next;
  }
  return y;
}

/** §4.2: congestion avoidance begins. */
function beginEpoch(cc: Cc, s: CcCubic, nowUs: u32): void {
  const mss = <f64>mssOf(cc);
  const cwnd = cwndOf(cc);
  s.epochUs = nowUs;
  s.state |= EPOCH;
  if ((s.state & AFTER_TIMEOUT) != 0 || s.wMax <= cwnd) {
    // §4.8: after a timeout the curve begins at its middle; so it does where cwnd is above wMax (slow start ended there).
    s.kUs = 0;
    s.origin = cwnd;
    s.state &= ~AFTER_TIMEOUT;
  } else {
    const segments = <f64>(s.wMax - cwnd) / mss;
    s.kUs = toU32(cubeRoot(segments / C) * US);
    s.origin = s.wMax;
  }
  s.wEst = cwnd;
  s.estAcked = 0;
  s.acked = 0;
}

/** W_cubic(t), bytes. */
function curve(s: CcCubic, us: f64, mss: f64): f64 {
  const t = (us - <f64>s.kUs) / US;
  return C * t * t * t * mss + <f64>s.origin;
}

/** §4.3: Reno's window, had it been reduced as ours was. */
function estimate(s: CcCubic, cwnd: u32, acked: u32, mss: u32): f64 {
  const alpha: f64 = s.wEst >= s.prior ? 1 : ALPHA;
  const sum: f64 = <f64>s.estAcked + <f64>acked;
  const grown = alpha * sum * <f64>mss / <f64>cwnd;
  // What is less than a byte waits for the next ACK.
  if (grown < 1) s.estAcked = toU32(sum);
  else {
    s.wEst = min<u32>(s.wEst, MOST_CWND) + min<u32>(toU32(grown), MOST_CWND);
    s.estAcked = 0;
  }
  return <f64>s.wEst;
}

/** §4.2 … §4.5 for `acked` bytes. */
function avoid(cc: Cc, s: CcCubic, e: CcEvent, acked: u32): void {
  const nowUs = <u32>(e.nowNs / 1000);
  if ((s.state & EPOCH) == 0) beginEpoch(cc, s, nowUs);
  const mss = mssOf(cc);
  const cwnd = cwndOf(cc);
  const elapsed = <f64>(nowUs - s.epochUs);
  const est = estimate(s, cwnd, acked, mss);
  if (curve(s, elapsed, <f64>mss) < est) {
    cc.cwnd = windowOf(cc, max<u32>(cwnd, toU32(est)));
    return;
  }
  // Where the curve will be a round trip from now, at most half as much again.
  const ahead = curve(s, elapsed + <f64>e.srttUs, <f64>mss);
  const target = max<f64>(<f64>cwnd, min<f64>(ahead, 1.5 * <f64>cwnd));
  const sum: f64 = <f64>s.acked + <f64>acked;
  const grown = (target - <f64>cwnd) * sum / <f64>cwnd;
  if (grown < 1) {
    s.acked = toU32(sum);
    return;
  }
  s.acked = 0;
  cc.cwnd = windowOf(cc, cwnd + min<u32>(toU32(grown), MOST_CWND));
}

function onAck(cc: Cc, e: CcEvent): void {
  if ((e.flags & CcEventFlag.RECOVERY) != 0 || (e.flags & CcEventFlag.CWND_LIMITED) == 0) return;
  const s = own(cc);
  let rest = e.acked;
  if (cwndOf(cc) < cc.ssthresh) {
    if ((s.state & SLOW_START_OVER) == 0) {
      if (hystart(cc, s, e)) s.state |= SLOW_START_OVER;
      return;
    }
    rest = slowStart(cc, rest);
  }
  if (rest != 0) avoid(cc, s, e, rest);
}

/** §4.6, §4.7: what the window was, and less where the last maximum was not reached again. */
function noteMaximum(cc: Cc, s: CcCubic): void {
  const cwnd = cwndOf(cc);
  s.wMax = cwnd < s.wMax ? toU32(<f64>cwnd * (1 + BETA) / 2) : cwnd;
  s.prior = cwnd;
  s.state = (s.state | SLOW_START_OVER) & ~(EPOCH | CSS);
}

export function cubicInit(cc: Cc): void { hystartReset(own(cc)); }

export function cubic(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  switch (e.kind) {
    case CcKind.ACK: {
      onAck(cc, e);
      break;
    }
    case CcKind.ENTER: {
      remember(cc, s.wMax);
      noteMaximum(cc, s);
      cc.ssthresh = reduced(cc, e.inFlight, BETA);
      break;
    }
    case CcKind.LEAVE: {
      settle(cc);
      s.state &= ~EPOCH;
      break;
    }
    case CcKind.RTO: {
      const before = s.wMax;
      if ((e.flags & CcEventFlag.AGAIN) == 0) noteMaximum(cc, s);
      timeout(cc, e, BETA, before);
      s.state = (s.state | AFTER_TIMEOUT) & ~EPOCH;
      break;
    }
    case CcKind.UNDO: {
      if (cc.undoCwnd != 0) s.wMax = cc.undoPriv;
      undo(cc);
      s.state &= ~(EPOCH | AFTER_TIMEOUT);
      break;
    }
    case CcKind.IDLE: {
      // §5.8: time without data is no time of the curve.
      s.state &= ~EPOCH;
      restart(cc);
      break;
    }
  }
  pace(cc, e);
}
