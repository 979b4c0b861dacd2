// What window-based algorithms have in common. Nothing in Cc is believed: it lies in a program's map, so every divisor is
// at least 1 and every window within bounds, whatever stands there.
import { Cc, CcEvent, CcFlag } from "../layout.gen";

/** Largest window, bytes: that of RFC 7323. */
export const MOST_CWND: u32 = 1 << 30;
/** ssthresh before the first loss. */
export const NO_SSTHRESH: u32 = 0x7fffffff;
const MOST_MSS: u32 = 65535;
/** Initial window, segments: RFC 6928. */
const INITIAL_SEGMENTS: u32 = 10;
const US_PER_S: f64 = 1_000_000;
/** Bytes/s: 10 Tbit/s. */
const MOST_RATE: f64 = 1.25e12;

// @ts-ignore: decorator
@inline export function mssOf(cc: Cc): u32 { return max<u32>(min<u32>(cc.mss, MOST_MSS), 1); }

/** A window of `bytes`: at least one segment. */
// @ts-ignore: decorator
@inline export function windowOf(cc: Cc, bytes: u32): u32 { return max<u32>(min<u32>(bytes, MOST_CWND), mssOf(cc)); }

/** cwnd, brought within bounds. */
// @ts-ignore: decorator
@inline export function cwndOf(cc: Cc): u32 { return windowOf(cc, cc.cwnd); }

export function initialWindow(cc: Cc): u32 { return windowOf(cc, INITIAL_SEGMENTS * mssOf(cc)); }

/** A number that is surely in u32: what is not a number becomes 0. */
// @ts-ignore: decorator
@inline export function toU32(x: f64): u32 {
  return x >= 1 ? <u32>min<f64>(x, 4294967295) : 0;
}

/** A rate in bytes/s. */
// @ts-ignore: decorator
@inline export function toRate(x: f64): u64 { return x >= 1 ? <u64>min<f64>(x, MOST_RATE) : 0; }

/** Bytes per second of `bytes` in `us`. */
// @ts-ignore: decorator
@inline export function perSecond(bytes: f64, us: u32): f64 { return bytes * US_PER_S / <f64>max<u32>(us, 1); }

/** Slow start (RFC 5681 §3.1): one byte for every byte. Returns the bytes that lie beyond ssthresh. */
export function slowStart(cc: Cc, acked: u32): u32 {
  const cwnd = cwndOf(cc);
  const room = cc.ssthresh > cwnd ? cc.ssthresh - cwnd : 0;
  const grown = min<u32>(acked, room);
  cc.cwnd = windowOf(cc, cwnd + grown);
  return acked - grown;
}

/** Halves, or what `share` of the flight size remains, at least two segments (RFC 5681, equation 4). */
export function reduced(cc: Cc, flight: u32, share: f64): u32 {
  return windowOf(cc, max<u32>(toU32(<f64>flight * share), 2 * mssOf(cc)));
}

/** Keeps what UNDO brings back. */
export function remember(cc: Cc, priv: u32): void {
  cc.undoCwnd = cwndOf(cc);
  cc.undoSsthresh = cc.ssthresh;
  cc.undoPriv = priv;
}

/** The last reduction was for nothing. */
export function undo(cc: Cc): void {
  if (cc.undoCwnd == 0) return;
  cc.cwnd = windowOf(cc, max<u32>(cc.cwnd, cc.undoCwnd));
  cc.ssthresh = max<u32>(cc.ssthresh, cc.undoSsthresh);
  cc.undoCwnd = 0;
}

/** Recovery is over: what the reduction left, if there was one. Who took over in recovery from a rate made none. */
export function settle(cc: Cc): void {
  cc.cwnd = cc.ssthresh >= NO_SSTHRESH ? cwndOf(cc) : windowOf(cc, cc.ssthresh);
}

/** Restart after idle (RFC 5681 §4.1). */
export function restart(cc: Cc): void {
  cc.cwnd = min<u32>(cwndOf(cc), initialWindow(cc));
}

/** With CcFlag.PACED: twice cwnd per round trip in slow start, 1.2 times after it (tcp_update_pacing_rate of Linux). */
export function pace(cc: Cc, e: CcEvent): void {
  if ((cc.flags & CcFlag.PACED) == 0) {
    cc.rate = 0;
    return;
  }
  if (e.srttUs == 0) return;
  const ratio: f64 = cc.cwnd < cc.ssthresh >> 1 ? 2 : 1.2;
  cc.rate = toRate(perSecond(<f64>cwndOf(cc) * ratio, e.srttUs));
}
