/**
 * Priorities from traffic, as HomaModule's homa_prio makes them: levels are split between bytes that come unasked and bytes
 * that are granted by their shares, and cutoffs so that every unscheduled level carries as many bytes.
 *
 *   homa_lengths (bytes by class of length, all lanes) ─▶ cutoffsOf ─▶ homa_cutoffs, and a version
 */
import { HOMA_MAX_MESSAGE } from '../../wire/homa.js';

/** Classes of lengths: LENGTHS of bpf-progs/transports/homa/cutoffs.h. */
export const LENGTH_CLASSES = 84;
const PRIORITIES = 8;

/** Bytes of messages of one class of lengths. */
export interface LengthBytes {
  unscheduled: number;
  scheduled: number;
}

export interface Cutoffs {
  /** Longest message of each priority, bytes, lowest first. */
  cutoffs: number[];
  /** Highest priority of granted bytes. */
  maxSched: number;
}

/** Longest message of a class, bytes: four classes for each doubling. */
export function longestOf(lengthClass: number): number {
  if (lengthClass < 4) return lengthClass;
  const shift = Math.floor(lengthClass / 4) - 1;
  return Math.min(HOMA_MAX_MESSAGE, ((5 + (lengthClass % 4)) << shift) - 1);
}

/** The cutoffs for that traffic; undefined when there was none. */
export function cutoffsOf(lengths: readonly LengthBytes[]): Cutoffs | undefined {
  const unscheduled = lengths.reduce((sum, l) => sum + l.unscheduled, 0);
  const scheduled = lengths.reduce((sum, l) => sum + l.scheduled, 0);
  if (unscheduled === 0) return undefined;
  // Either kind has one level at least.
  const share = Math.round((PRIORITIES * unscheduled) / (unscheduled + scheduled));
  const levels = Math.min(PRIORITIES - 1, Math.max(1, share));
  const lowest = PRIORITIES - levels;
  const cutoffs = new Array<number>(PRIORITIES).fill(HOMA_MAX_MESSAGE);
  let sum = 0;
  let priority = PRIORITIES - 1;
  for (const [lengthClass, l] of lengths.entries()) {
    sum += l.unscheduled;
    // A class with the bytes of several levels leaves those between empty: they have its cutoff, too.
    while (priority > lowest && sum >= (unscheduled / levels) * (PRIORITIES - priority))
      cutoffs[priority--] = longestOf(lengthClass);
  }
  return { cutoffs, maxSched: lowest - 1 };
}
