// HyStart++ (RFC 9406): slow start that ends when round-trip times rise, after some rounds of conservative slow start.
import { Cc, CcCubic, CcEvent, CcFlag } from "../layout.gen";
import { cwndOf, mssOf, windowOf } from "./window";

// §4.3
const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u32 = 5;
/** Segments that one ACK may open the window by where nothing paces. */
const L: u32 = 8;

/** Bits of CcCubic.state. */
export const CSS: u32 = 4;
export const SLOW_START_OVER: u32 = 8;

const NONE: u32 = u32.MAX_VALUE;

function beginRound(s: CcCubic, end: u32): void {
  s.lastMinUs = s.roundMinUs;
  s.roundMinUs = NONE;
  s.samples = 0;
  s.roundEnd = end;
}

/** Before the first ACK, and when slow start begins anew. */
export function hystartReset(s: CcCubic): void {
  s.state &= ~(CSS | SLOW_START_OVER);
  s.lastMinUs = NONE;
  s.roundMinUs = NONE;
  s.samples = 0;
  s.cssRounds = 0;
  s.cssAcked = 0;
  s.roundEnd = 0;
}

/** §4.2 for one ACK in slow start. Returns true when slow start is over: ssthresh is cwnd then. */
export function hystart(cc: Cc, s: CcCubic, e: CcEvent): bool {
  if (s.samples == 0 && s.roundMinUs == NONE && s.lastMinUs == NONE && s.roundEnd == 0) s.roundEnd = e.nxt;
  if (e.rttUs != 0) {
    s.roundMinUs = min<u32>(s.roundMinUs, e.rttUs);
    s.samples = min<u32>(s.samples, NONE - 1) + 1;
  }
  // RFC 9406 has L infinite where sending is paced.
  const limit = (cc.flags & CcFlag.PACED) != 0 ? NONE : L * mssOf(cc);
  const grow = min<u32>(e.acked, limit);
  const css = (s.state & CSS) != 0;
  if (css) {
    const sum: u64 = <u64>min<u32>(s.cssAcked, 3) + grow;
    cc.cwnd = windowOf(cc, cwndOf(cc) + <u32>(sum / CSS_GROWTH_DIVISOR));
    s.cssAcked = <u32>(sum % CSS_GROWTH_DIVISOR);
  } else {
    cc.cwnd = windowOf(cc, cwndOf(cc) + min<u32>(grow, 1 << 30));
  }
  if (s.samples >= N_RTT_SAMPLE && s.roundMinUs != NONE) {
    if (css) {
      // It was no queue: back to slow start.
      if (s.roundMinUs < s.baselineUs) {
        s.state &= ~CSS;
        s.baselineUs = NONE;
      }
    } else if (s.lastMinUs != NONE) {
      const thresh = max<u32>(MIN_RTT_THRESH, min<u32>(s.lastMinUs / MIN_RTT_DIVISOR, MAX_RTT_THRESH));
      if (<u64>s.roundMinUs >= <u64>s.lastMinUs + thresh) {
        s.baselineUs = s.roundMinUs;
        s.state |= CSS;
        s.cssRounds = 0;
        s.cssAcked = 0;
      }
    }
  }
  if (<i32>(e.una - s.roundEnd) >= 0) {
    beginRound(s, e.nxt);
    if ((s.state & CSS) != 0 && ++s.cssRounds >= CSS_ROUNDS) {
      cc.ssthresh = cwndOf(cc);
      return true;
    }
  }
  return false;
}
