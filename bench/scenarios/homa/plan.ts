/** What is measured: workloads, how many messages of each, and what is read from a run. */
import {
  binsOf,
  percentile,
  type Slowdowns,
  Slowdowns as SlowdownTable,
} from '../../../host/apps/workloads/slowdown.js';
import { type Workload, workload } from '../../../host/apps/workloads/workload.js';
import type { Outcome } from './simulation.js';

export const WORKLOADS = ['w1', 'w2', 'w3', 'w4', 'w5'] as const;
export type Name = (typeof WORKLOADS)[number];

/**
 * Messages of a run. Of W3 to W5 some take 20 times the 1.6 ms that the longest need alone at 10 Gbit/s: arrivals go on for more
 * than twice as long, so that what is under way at their end is little of all that was asked for (67, 124 and 240 ms). Those of
 * W1 and W2 are over in less than 1 ms but for a few: 7 and 19 ms. 1 % of the shorter half are 12 messages of W5's, 38 of W4's,
 * some 500 of the others'. All of `bench -- homa` is some 7 minutes of CPU, reckoned
 * from its parts: a third of that is loading and compiling stacks.
 */
export const MESSAGES: Record<Name, number> = {
  w1: 100_000,
  w2: 150_000,
  w3: 100_000,
  w4: 8000,
  w5: 2500,
};
/** The same where a minute must do. */
export const FEW: Record<Name, number> = { w1: 10_000, w2: 10_000, w3: 6000, w4: 1500, w5: 300 };

export const LOAD = 0.8;
export const RATES = [10, 25] as const;

/** As cp_node has it: up to 1,000,000 B. */
export const lengths = (name: Name): Workload => workload(name, true);

export interface Percentiles {
  count: number;
  p50: number;
  p99: number;
  p999: number;
}

/** Slowdown of the messages that `share` of the workload's are not longer than. */
export function shortest(outcome: Outcome, of: Workload, share: number): Percentiles {
  const most = of.quantile(share);
  const values: number[] = [];
  for (let i = 0; i < outcome.bytes.length; i++)
    if (outcome.bytes[i] <= most) values.push(outcome.took[i] / outcome.best[i]);
  const sorted = Float64Array.from(values).sort();
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map(p => percentile(sorted, p));
  return { count: sorted.length, p50, p99, p999 };
}

/** By tenths of the messages. */
export function byLength(outcome: Outcome, of: Workload): Slowdowns {
  const table = new SlowdownTable(binsOf(of));
  for (let i = 0; i < outcome.bytes.length; i++)
    table.add(outcome.bytes[i], outcome.took[i], outcome.best[i]);
  return table;
}

/** Most bytes that waited at an output of a switch, by priority, lowest first; one number where there are none. */
export function mostWaiting({ stats }: Outcome): number[] {
  const most: number[] = [];
  for (const { queues } of [...stats.down, ...stats.core])
    for (const [i, { maxBytes }] of queues.entries()) most[i] = Math.max(most[i] ?? 0, maxBytes);
  return most;
}

/** Packets by priority, lowest first, at the outputs of switches to hosts. */
export function packetsByPriority({ stats }: Outcome): number[] {
  const n: number[] = [];
  for (const { queues } of stats.down)
    for (const [i, { sent }] of queues.entries()) n[i] = (n[i] ?? 0) + sent;
  return n;
}

export function dropped({ stats }: Outcome): number {
  return [...stats.up, ...stats.down, ...stats.core].reduce((n, l) => n + l.overflowed, 0);
}

/** What a run was like, in one line. */
export function said(o: Outcome): string {
  const kb = mostWaiting(o).map(n => Math.round(n / 1000));
  const shares = packetsByPriority(o);
  const all = shares.reduce((a, b) => a + b, 0);
  return (
    `${o.begun} messages in ${o.countedMs.toFixed(1)} ms, all done ${o.drainedMs.toFixed(1)} ms later, ` +
    `${dropped(o)} packets dropped, most waiting at a switch by priority ${kb.join(' ')} kB, ` +
    `packets ${shares.map(n => ((100 * n) / all).toFixed(0)).join(' ')} %, ${o.cpuS.toFixed(0)} s of CPU` +
    (o.starved ? `; ${o.starved} times a ring found no memory` : '')
  );
}
