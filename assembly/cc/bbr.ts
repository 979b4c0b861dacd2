// BBR, version 1 (Cardwell et al., ACM Queue 2016; draft-cardwell-iccrg-bbr-congestion-control-00): a model of the path,
// its bottleneck rate and its round-trip time, instead of losses.
//
//   STARTUP ── rate no longer grows ─▶ DRAIN ── queue gone ─▶ PROBE_BW ◀── 200 ms of 4 segments ──▶ PROBE_RTT, every 10 s
import { Cc, CcBbr, CcEvent, CcEventFlag, CcKind } from "../layout.gen";
import { cwndOf, initialWindow, MOST_CWND, mssOf, perSecond, remember, toRate, toU32, undo, windowOf } from "./window";

const STARTUP: u32 = 0;
const DRAIN: u32 = 1;
const PROBE_BW: u32 = 2;
const PROBE_RTT: u32 = 3;

/** 2 / ln 2: the least gain that doubles the rate each round. */
const HIGH_GAIN: f64 = 2.885;
const CWND_GAIN: f64 = 2;
const PHASES: u32 = 8;
const BW_ROUNDS: u32 = 10;
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
const MIN_RTT_WINDOW_US: u32 = 10_000_000;
const PROBE_RTT_US: u32 = 200_000;
const LEAST_SEGMENTS: u32 = 4;
/** Of the model, so that no queue stands. */
const PACING_MARGIN: f64 = 0.99;
/** Round trip before the first sample, µs. */
const FIRST_RTT_US: u32 = 1000;

/** Bits of CcBbr.state. */
const PROBE_END: u32 = 1;
const ROUND_DONE: u32 = 2;
const CONSERVING: u32 = 4;
const RECOVERING: u32 = 8;

// @ts-ignore: decorator
@inline function own(cc: Cc): CcBbr { return changetype<CcBbr>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

// @ts-ignore: decorator
@inline function leastWindow(cc: Cc): u32 { return LEAST_SEGMENTS * mssOf(cc); }

/** The largest rate of the last rounds, by the best three of their parts (Nichols). */
function slideMax(s: CcBbr, bw: u64): void {
  const now = s.round;
  if (bw >= s.bw || now - s.bw3Round > BW_ROUNDS) {
    s.bw = s.bw2 = s.bw3 = bw;
    s.bwRound = s.bw2Round = s.bw3Round = now;
    return;
  }
  if (bw >= s.bw2) {
    s.bw2 = s.bw3 = bw;
    s.bw2Round = s.bw3Round = now;
  } else if (bw >= s.bw3) {
    s.bw3 = bw;
    s.bw3Round = now;
  }
  const age = now - s.bwRound;
  if (age > BW_ROUNDS) {
    s.bw = s.bw2;
    s.bwRound = s.bw2Round;
    s.bw2 = s.bw3;
    s.bw2Round = s.bw3Round;
    s.bw3 = bw;
    s.bw3Round = now;
  } else if (s.bw2Round == s.bwRound && age > BW_ROUNDS / 4) {
    s.bw2 = s.bw3 = bw;
    s.bw2Round = s.bw3Round = now;
  } else if (s.bw3Round == s.bw2Round && age > BW_ROUNDS / 2) {
    s.bw3 = bw;
    s.bw3Round = now;
  }
}

function pacingGain(s: CcBbr): f64 {
  switch (s.mode) {
    case STARTUP: return HIGH_GAIN;
    case DRAIN: return 1 / HIGH_GAIN;
    case PROBE_BW: return s.phase == 0 ? 1.25 : s.phase == 1 ? 0.75 : 1;
    default: return 1;
  }
}

/** `gain` bandwidth-delay products, and what acknowledgements that come in bunches need: three segments. */
function inflightFor(cc: Cc, s: CcBbr, gain: f64): u32 {
  if (s.minUs == 0 || s.bw == 0) return initialWindow(cc);
  const bytes = <f64>s.bw * <f64>s.minUs / 1e6 * gain;
  return max<u32>(windowOf(cc, toU32(bytes + 3 * <f64>mssOf(cc))), leastWindow(cc));
}

/** Once a round, until the pipe is known to be full. */
function lookForFull(s: CcBbr, e: CcEvent): void {
  if (s.fullRounds >= FULL_ROUNDS || (e.flags & CcEventFlag.APP_LIMITED) != 0) return;
  if (<f64>s.bw >= <f64>s.fullBw * FULL_GROWTH) {
    s.fullBw = s.bw;
    s.fullRounds = 0;
    return;
  }
  s.fullRounds++;
}

function enterProbeBw(s: CcBbr, nowUs: u32): void {
  s.mode = PROBE_BW;
  // Any phase but the one that drains; drawn from the clock, so that flows do not walk in step.
  const drawn = (nowUs * 2654435761) >>> 29;
  s.phase = drawn % 7 == 1 ? 7 : drawn % 7;
  s.phaseUs = nowUs;
}

function advancePhase(cc: Cc, s: CcBbr, e: CcEvent, nowUs: u32): void {
  const long = nowUs - s.phaseUs > s.minUs;
  let over: bool;
  if (s.phase == 0) over = long && (e.lost != 0 || e.inFlight >= inflightFor(cc, s, 1.25));
  else if (s.phase == 1) over = long || e.inFlight <= inflightFor(cc, s, 1);
  else over = long;
  if (!over) return;
  s.phase = (s.phase + 1) % PHASES;
  s.phaseUs = nowUs;
}

function saveCwnd(cc: Cc, s: CcBbr): void {
  const cwnd = cwndOf(cc);
  if ((s.state & RECOVERING) == 0 && s.mode != PROBE_RTT) s.priorCwnd = cwnd;
  else s.priorCwnd = max<u32>(s.priorCwnd, cwnd);
}

function probeRtt(cc: Cc, s: CcBbr, e: CcEvent, newRound: bool, nowUs: u32): void {
  const expired = s.minUs != 0 && nowUs - s.minAtUs > MIN_RTT_WINDOW_US;
  if (e.rttUs != 0 && (s.minUs == 0 || e.rttUs <= s.minUs || expired)) {
    s.minUs = e.rttUs;
    s.minAtUs = nowUs;
  }
  if (expired && s.mode != PROBE_RTT) {
    saveCwnd(cc, s);
    s.mode = PROBE_RTT;
    s.state &= ~(PROBE_END | ROUND_DONE);
  }
  if (s.mode != PROBE_RTT) return;
  if ((s.state & PROBE_END) == 0) {
    if (e.inFlight > leastWindow(cc)) return;
    s.probeEndUs = nowUs + PROBE_RTT_US;
    s.state |= PROBE_END;
    // The round that ends when what is in flight now has come back.
    s.roundDelivered = e.priorDelivered + e.delivered;
    return;
  }
  if (newRound) s.state |= ROUND_DONE;
  if ((s.state & ROUND_DONE) == 0 || <i32>(nowUs - s.probeEndUs) < 0) return;
  s.minAtUs = nowUs;
  cc.cwnd = max<u32>(cwndOf(cc), windowOf(cc, s.priorCwnd));
  if (s.fullRounds >= FULL_ROUNDS) enterProbeBw(s, nowUs);
  else s.mode = STARTUP;
}

function setRate(cc: Cc, s: CcBbr, e: CcEvent): void {
  if (s.bw == 0) {
    const us = e.srttUs == 0 ? FIRST_RTT_US : e.srttUs;
    cc.rate = toRate(perSecond(<f64>initialWindow(cc), us) * HIGH_GAIN);
    return;
  }
  const rate = toRate(<f64>s.bw * pacingGain(s) * PACING_MARGIN);
  if (s.fullRounds >= FULL_ROUNDS || rate > cc.rate) cc.rate = rate;
}

function setCwnd(cc: Cc, s: CcBbr, e: CcEvent): void {
  const gain = s.mode == STARTUP || s.mode == DRAIN ? HIGH_GAIN : s.mode == PROBE_RTT ? 1 : CWND_GAIN;
  const target = inflightFor(cc, s, gain);
  let cwnd = cwndOf(cc);
  const left = e.inFlight > e.acked ? e.inFlight - e.acked : 0;
  if (e.lost != 0) cwnd = cwnd > e.lost + mssOf(cc) ? cwnd - e.lost : mssOf(cc);
  if ((s.state & CONSERVING) != 0) {
    cwnd = max<u32>(cwnd, left + e.acked);
  } else if (s.fullRounds >= FULL_ROUNDS) {
    cwnd = min<u32>(cwnd + min<u32>(e.acked, MOST_CWND), target);
  } else if (cwnd < target || e.priorDelivered + e.delivered < initialWindow(cc)) {
    cwnd += min<u32>(e.acked, MOST_CWND);
  }
  cwnd = max<u32>(windowOf(cc, cwnd), leastWindow(cc));
  if (s.mode == PROBE_RTT) cwnd = min<u32>(cwnd, leastWindow(cc));
  cc.cwnd = cwnd;
}

function onAck(cc: Cc, s: CcBbr, e: CcEvent): void {
  const nowUs = <u32>(e.nowNs / 1000);
  let newRound = false;
  if (e.intervalUs != 0) {
    const bw = toRate(perSecond(<f64>e.delivered, e.intervalUs));
    newRound = <i32>(e.priorDelivered - s.roundDelivered) >= 0;
    if (newRound) {
      s.roundDelivered = e.priorDelivered + e.delivered;
      s.round++;
      if ((s.state & CONSERVING) != 0) s.state &= ~CONSERVING;
    }
    if ((e.flags & CcEventFlag.APP_LIMITED) == 0 || bw >= s.bw) slideMax(s, bw);
    if (newRound) lookForFull(s, e);
  }
  if (s.mode == STARTUP && s.fullRounds >= FULL_ROUNDS) s.mode = DRAIN;
  if (s.mode == DRAIN && e.inFlight <= inflightFor(cc, s, 1)) enterProbeBw(s, nowUs);
  if (s.mode == PROBE_BW) advancePhase(cc, s, e, nowUs);
  probeRtt(cc, s, e, newRound, nowUs);
  setRate(cc, s, e);
  setCwnd(cc, s, e);
}

export function bbrInit(cc: Cc): void { own(cc).phaseUs = 0; }

export function bbr(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  switch (e.kind) {
    case CcKind.ACK: {
      onAck(cc, s, e);
      break;
    }
    case CcKind.ENTER: {
      // Marks say nothing to it.
      if ((e.flags & CcEventFlag.ECE) != 0) break;
      remember(cc, 0);
      saveCwnd(cc, s);
      s.state |= CONSERVING | RECOVERING;
      s.roundDelivered = e.priorDelivered + e.delivered;
      cc.cwnd = windowOf(cc, e.inFlight + mssOf(cc));
      break;
    }
    case CcKind.LEAVE: {
      if ((s.state & RECOVERING) != 0 && s.mode != PROBE_RTT)
        cc.cwnd = max<u32>(cwndOf(cc), windowOf(cc, s.priorCwnd));
      s.state &= ~(CONSERVING | RECOVERING);
      break;
    }
    case CcKind.RTO: {
      if ((e.flags & CcEventFlag.AGAIN) == 0) {
        remember(cc, 0);
        saveCwnd(cc, s);
      }
      s.state = (s.state | RECOVERING) & ~CONSERVING;
      cc.cwnd = mssOf(cc);
      break;
    }
    case CcKind.UNDO: {
      undo(cc);
      s.state &= ~(CONSERVING | RECOVERING);
      break;
    }
  }
  // For whoever reads it: BBR has none.
  cc.ssthresh = 0x7fffffff;
}
