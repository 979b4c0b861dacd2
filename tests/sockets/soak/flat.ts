/** Whether memory stayed as it was, by samples of a minute each: the middle of the first after the warm-up against the last. */

/** What of a sample is looked at. */
export interface Held {
  heapBytes: number;
  residentBytes: number;
  openFiles: number;
}

/** Minutes until caches, pools and compiled code are what they will be. */
const WARM = 3;
/** Samples whose median counts: garbage and what is under way differ from one to the next. */
const MEDIAN = 3;
/** Growth above this is a leak, bytes. */
const HEAP_LIMIT = 4 << 20;
const RESIDENT_LIMIT = 24 << 20;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export function flat(samples: readonly Held[]): { said: string; faults: string[] } {
  if (samples.length < WARM + 2 * MEDIAN) return { said: 'too short to judge memory', faults: [] };
  const early = samples.slice(WARM, WARM + MEDIAN);
  const late = samples.slice(-MEDIAN);
  const grown = (what: keyof Held): number =>
    median(late.map(s => s[what])) - median(early.map(s => s[what]));
  const [heap, resident, files] = [grown('heapBytes'), grown('residentBytes'), grown('openFiles')];
  const mb = (n: number): string => `${n < 0 ? '' : '+'}${(n / 1e6).toFixed(1)} MB`;
  const faults: string[] = [];
  if (heap > HEAP_LIMIT) faults.push(`the heap grew by ${mb(heap)}`);
  if (resident > RESIDENT_LIMIT) faults.push(`memory grew by ${mb(resident)}`);
  if (files > 0) faults.push(`${files} more files are open`);
  return {
    said: `since minute ${WARM + 1}: heap ${mb(heap)}, resident ${mb(resident)}, ${files} more files open`,
    faults,
  };
}
