// Round-trip time, retransmission timeout (RFC 6298) and the least round-trip time of a window. Called by transport
// programs (kfuncs) on a structure in their maps, in which nothing is believed: whatever stands there, sums stay in range.
//
//   first    srtt = R              rttvar = R / 2                              §2.2
//   then     rttvar += (|srtt - R| - rttvar) / 4,  srtt += (R - srtt) / 8      §2.3
//   rto      srtt + max(G, 4 · rttvar), between rtoMin and rtoMax, doubled by each timeout   §2.4, §5.5
import { nowNs } from "../core/clock";
import { Rtt } from "../layout.gen";

/** Initial timeout, µs (§2.1). */
const RTO_INITIAL: u32 = 1_000_000;
/** Bounds when the program gives none: Linux's TCP_RTO_MIN and TCP_RTO_MAX, µs. */
const RTO_MIN: u32 = 200_000;
const RTO_MAX: u32 = 120_000_000;
/** Granularity of the clock, µs (G of §2.3). */
const GRANULARITY: u32 = 1;
/** Longest sample that is taken, µs: scaled values stay far from 2^32. */
const LONGEST: u32 = 1 << 28;
/** Window of the least sample when the program gives none, µs: BBR's. */
const MIN_WINDOW: u32 = 10_000_000;

// @ts-ignore: decorator
@inline function rtoOf(r: Rtt): u32 {
  const least = r.rtoMin == 0 ? RTO_MIN : r.rtoMin;
  const most = r.rtoMax == 0 ? RTO_MAX : r.rtoMax;
  const plain: u64 = r.samples == 0 ? RTO_INITIAL : <u64>r.srtt + max<u32>(GRANULARITY, r.rttvar4);
  const doubled = max<u64>(plain, least) << min<u32>(r.backoff, 31);
  return <u32>min<u64>(doubled, most);
}

/** Takes a sample of `us` µs. Ends a back-off (§5.7). Returns the timeout, µs. */
export function el_rtt_sample(at: usize, us: u32): i32 {
  const r = changetype<Rtt>(at);
  const sample = min<u32>(max<u32>(us, 1), LONGEST);
  if (r.samples == 0) {
    r.srtt8 = sample << 3;
    r.rttvar4 = sample << 1;
  } else {
    const srtt8 = min<u32>(r.srtt8, LONGEST << 3);
    const rttvar4 = min<u32>(r.rttvar4, LONGEST << 2);
    const off = <i32>(sample - (srtt8 >> 3));
    r.rttvar4 = rttvar4 - (rttvar4 >> 2) + <u32>(off < 0 ? -off : off);
    r.srtt8 = srtt8 - (srtt8 >> 3) + sample;
  }
  r.srtt = r.srtt8 >> 3;
  r.rttvar = r.rttvar4 >> 2;
  r.latest = sample;
  r.samples = r.samples == u32.MAX_VALUE ? r.samples : r.samples + 1;
  r.backoff = 0;
  slideMin(r, sample, <u32>(nowNs / 1000));
  const rto = rtoOf(r);
  r.rto = rto;
  return rto;
}

/** A timeout: doubles the next one (§5.5). Returns it, µs. */
export function el_rtt_backoff(at: usize): i32 {
  const r = changetype<Rtt>(at);
  r.backoff = min<u32>(r.backoff, 30) + 1;
  const rto = rtoOf(r);
  r.rto = rto;
  return rto;
}

/**
 * Least sample of a window, by the best three of its parts: Kathleen Nichols' algorithm (lib/win_minmax.c of Linux). The
 * second and third best are at least a quarter and a half of the window younger, so one stands by when the first leaves.
 */
function slideMin(r: Rtt, sample: u32, now: u32): void {
  const window = r.minWindow == 0 ? MIN_WINDOW : r.minWindow;
  if (r.minRtt == 0 || sample <= r.minRtt || now - r.min3At > window) {
    r.minRtt = r.min2Rtt = r.min3Rtt = sample;
    r.minAt = r.min2At = r.min3At = now;
    return;
  }
  if (sample <= r.min2Rtt) {
    r.min2Rtt = r.min3Rtt = sample;
    r.min2At = r.min3At = now;
  } else if (sample <= r.min3Rtt) {
    r.min3Rtt = sample;
    r.min3At = now;
  }
  const age = now - r.minAt;
  if (age > window) {
    promote(r, sample, now);
    if (now - r.minAt > window) promote(r, sample, now);
  } else if (r.min2At == r.minAt && age > window >> 2) {
    r.min2Rtt = r.min3Rtt = sample;
    r.min2At = r.min3At = now;
  } else if (r.min3At == r.min2At && age > window >> 1) {
    r.min3Rtt = sample;
    r.min3At = now;
  }
}

/** The best has left the window: those behind it move up, and the sample is the third. */
function promote(r: Rtt, sample: u32, now: u32): void {
  r.minRtt = r.min2Rtt;
  r.minAt = r.min2At;
  r.min2Rtt = r.min3Rtt;
  r.min2At = r.min3At;
  r.min3Rtt = sample;
  r.min3At = now;
}
