/** Files of dump_times, cp_node's: a line a message, its length and its round trip in µs; and slowdowns made of them. */
import { EtherloomError } from '../../errors.js';
import { type Bin, type BinResult, bestUs, Slowdowns } from '../workloads/slowdown.js';

export interface Times {
  lengths: number[];
  us: number[];
}

/** What dump_times writes. */
export const timesText = ({ lengths, us }: Times, what: string): string =>
  `# Round-trip times measured by etherloom cp, ${what}\n# Length   RTT (usec)\n${lengths
    .map((bytes, i) => `${String(bytes).padStart(8)} ${us[i].toFixed(2).padStart(12)}\n`)
    .join('')}`;

/** @throws EtherloomError ERR_TIMES for a line that is none, or a file without any */
export function readTimes(text: string, path: string): Times {
  const times: Times = { lengths: [], us: [] };
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, bytes, us] = /^\s*(\d+)\s+(\d+(?:\.\d+)?)\s*$/.exec(line) ?? [];
    if (us === undefined)
      throw new EtherloomError('ERR_TIMES', `${path}: line ${i + 1}: ${line}`, {
        expected: 'a length in bytes and a time in µs, as dump_times of cp writes them',
      });
    times.lengths.push(Number(bytes));
    times.us.push(Number(us));
  }
  if (times.lengths.length === 0)
    throw new EtherloomError('ERR_TIMES', `${path}: no times`, { expected: 'lines of length and µs' });
  return times;
}

/** Smallest time of the shortest messages, µs: what the best possible time of all is made from (cperf.py). */
export function leastUs({ lengths, us }: Times): number {
  const shortest = lengths.reduce((least, n) => Math.min(least, n), Number.POSITIVE_INFINITY);
  return us.reduce(
    (least, t, i) => (lengths[i] === shortest && t < least ? t : least),
    Number.POSITIVE_INFINITY,
  );
}

/** Bins of equally many messages; one length is never in two. */
export function binsOfLengths(lengths: readonly number[], count = 10): Bin[] {
  const sorted = Float64Array.from(lengths).sort();
  const bins: Bin[] = [];
  let from = 0;
  for (let i = 1; i <= count; i++) {
    const to = sorted[Math.ceil((i / count) * sorted.length) - 1];
    if (to <= from && bins.length > 0) continue;
    bins.push({ from, to, share: i / count });
    from = to;
  }
  return bins;
}

/** Slowdown by length. @param rttUs of the shortest at best */
export function slowdownsOf(
  times: Times,
  bins: readonly Bin[],
  line: { rttUs: number; mbps: number },
): BinResult[] {
  const table = new Slowdowns(bins);
  for (const [i, bytes] of times.lengths.entries()) table.add(bytes, times.us[i], bestUs(bytes, line));
  return table.results();
}
