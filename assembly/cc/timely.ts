// TIMELY (Mittal et al., SIGCOMM 2015) with eTran's constants: the rate follows the slope of round-trip times.
import { Cc, CcEvent, CcKind, CcTimely } from "../layout.gen";
import { countBytes, firstRate, FLOOR, follow, otherThanAck, roundOver, STEP, windowFor } from "./rated";
import { toRate } from "./window";

const T_LOW_US: u32 = 30;
const T_HIGH_US: u32 = 150;
const BETA: f64 = 0.8;
const ALPHA: f64 = 0.02;
/** Rounds with a falling slope after which steps are five at a time: hyperactive increase. */
const HAI_ROUNDS: u32 = 5;
const HAI_STEPS: f64 = 5;
/** CcTimely.slope of one µs. */
const SLOPE: f64 = 1024;
const MOST_SLOPE: f64 = 1_000_000;

// @ts-ignore: decorator
@inline function own(cc: Cc): CcTimely { return changetype<CcTimely>(changetype<usize>(cc) + offsetof<Cc>("priv0")); }

export function timelyInit(cc: Cc): void { own(cc).slow = 1; }

/** §4 of the paper, once a round. */
function adjust(cc: Cc, s: CcTimely, e: CcEvent): void {
  const rate = <f64>cc.rate;
  const rtt = e.rttUs;
  const previous = s.previousUs;
  s.previousUs = rtt;
  if (s.lostBytes != 0) {
    s.slow = 0;
    cc.rate = toRate(max<f64>(rate / 2, FLOOR));
    return;
  }
  if (previous == 0) return;
  const difference = <f64>rtt - <f64>previous;
  let slope = (1 - ALPHA) * (<f64>s.slope / SLOPE) + ALPHA * difference;
  slope = max<f64>(-MOST_SLOPE, min<f64>(slope, MOST_SLOPE));
  s.slope = <i32>(slope * SLOPE);
  const gradient = slope / <f64>max<u32>(e.minRttUs == 0 ? rtt : e.minRttUs, 1);
  let next: f64;
  if (rtt < T_LOW_US) {
    next = s.slow != 0 ? rate * 2 : rate + STEP;
  } else if (rtt > T_HIGH_US) {
    s.slow = 0;
    s.falling = 0;
    next = rate * (1 - BETA * (1 - <f64>T_HIGH_US / <f64>rtt));
  } else if (gradient <= 0) {
    s.falling = min<u32>(s.falling, HAI_ROUNDS) + 1;
    next = s.slow != 0 ? rate * 2 : rate + (s.falling > HAI_ROUNDS ? HAI_STEPS : 1) * STEP;
  } else {
    s.slow = 0;
    s.falling = 0;
    next = rate * max<f64>(0.5, 1 - BETA * gradient);
  }
  cc.rate = toRate(max<f64>(next, FLOOR));
}

export function timely(cc: Cc, e: CcEvent): void {
  const s = own(cc);
  if (cc.rate == 0) cc.rate = firstRate(cc, e);
  if (e.kind != CcKind.ACK) {
    otherThanAck(cc, e);
    return;
  }
  countBytes(cc, e);
  if (e.rttUs != 0 && roundOver(cc, e)) {
    const us = <u32>(e.nowNs / 1000);
    adjust(cc, s, e);
    follow(cc, s.ackedBytes, us - s.roundUs);
    s.roundUs = us;
    s.lostBytes = 0;
    s.ackedBytes = 0;
  }
  cc.cwnd = windowFor(cc, e);
}
