/** What went through a chain between two looks at its counters: the live line of `etherloom forward`. */
import { DROPPED, type HopCounters } from './counters.js';

export interface Rates {
  /** Alive at the first hop now. */
  flows: number;
  /** Through the whole chain, per second. */
  forthPps: number;
  forthBps: number;
  backPps: number;
  backBps: number;
  /** By the hops, since the start. */
  dropped: number;
}

/** Packets that the hops themselves dropped, all reasons and hops together. */
export const droppedBy = (hops: readonly HopCounters[]): number =>
  hops.reduce((n, h) => n + DROPPED.reduce((m, reason) => m + h.counts[reason].packets, 0), 0);

/** @param seconds between the two looks */
export function ratesOf(
  before: readonly HopCounters[],
  after: readonly HopCounters[],
  seconds: number,
): Rates {
  const last = after.length - 1;
  const per = (hop: number, way: 'forth' | 'back', what: 'packets' | 'bytes'): number =>
    (after[hop].counts[way][what] - (before[hop]?.counts[way][what] ?? 0)) / seconds;
  return {
    flows: after[0].flows,
    forthPps: per(last, 'forth', 'packets'),
    forthBps: per(last, 'forth', 'bytes') * 8,
    backPps: per(0, 'back', 'packets'),
    backBps: per(0, 'back', 'bytes') * 8,
    dropped: droppedBy(after),
  };
}
