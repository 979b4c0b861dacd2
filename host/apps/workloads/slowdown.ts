/**
 * Slowdown: how much longer messages took than they would have alone, by length, as the papers plot it. The best possible
 * time is cperf.py's (HomaModule): what the shortest message takes at best and the bits of the message on the line; or, in
 * a simulation, what the path takes when nobody else sends (host/sim, `unloadedNs`).
 */
import type { Workload } from './workload.js';

/** Of the Ethernet header, no tag. */
const ETH = 14;
/** Homa's header before data. */
const HOMA_DATA = 56;

/** Time of a round trip at best, µs: that of the shortest messages plus length × 8 / Mbit/s. */
export const bestUs = (bytes: number, line: { rttUs: number; mbps: number }): number =>
  line.rttUs + (bytes * 8) / line.mbps;

/** Ethernet frames in which Homa sends a message one way, bytes. */
export function homaFrames(bytes: number, path: { mtu: number; family: 4 | 6 }): number[] {
  const ip = path.family === 4 ? 20 : 40;
  const most = path.mtu - ip - HOMA_DATA;
  const frames: number[] = [];
  for (let left = bytes; left > 0 || frames.length === 0; left -= most)
    frames.push(ETH + ip + HOMA_DATA + Math.min(left, most));
  return frames;
}

/** Nearest rank: the smallest value that a share of all does not exceed. `sorted` ascending; NaN of none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length - 1e-9) - 1))];
}

/** Messages of similar length. */
export interface Bin {
  /** Lengths, the first excluded: from < length ≤ to. */
  from: number;
  to: number;
  /** Share of the workload's messages that are not longer than `to`: where the papers put it on the x axis. */
  share: number;
}

/** Bins of equally many messages of a workload; lengths that are frequent make a bin larger, never one length two bins. */
export function binsOf(workload: Workload, count = 10): Bin[] {
  const bins: Bin[] = [];
  let from = 0;
  for (let i = 1; i <= count; i++) {
    const to = workload.quantile(i / count);
    if (to === from) continue;
    bins.push({ from, to, share: workload.shareUpTo(to) });
    from = to;
  }
  return bins;
}

export interface BinResult extends Bin {
  count: number;
  p50: number;
  p99: number;
  p999: number;
}

/** Slowdowns of messages, by bins. */
export class Slowdowns {
  readonly #values: number[][];

  constructor(readonly bins: readonly Bin[]) {
    this.#values = bins.map(() => []);
  }

  /** A message that took `took` where `best` was possible, in one unit. Longer than all bins: in the last. */
  add(bytes: number, took: number, best: number): void {
    const i = this.bins.findIndex(b => bytes <= b.to);
    this.#values[i < 0 ? this.bins.length - 1 : i].push(took / best);
  }

  get count(): number {
    return this.#values.reduce((n, v) => n + v.length, 0);
  }

  /** Percentiles of each bin, those without messages left out. */
  results(): BinResult[] {
    return this.bins.flatMap((bin, i) => {
      const sorted = Float64Array.from(this.#values[i]).sort();
      if (sorted.length === 0) return [];
      const [p50, p99, p999] = [0.5, 0.99, 0.999].map(p => percentile(sorted, p));
      return [{ ...bin, count: sorted.length, p50, p99, p999 }];
    });
  }
}
