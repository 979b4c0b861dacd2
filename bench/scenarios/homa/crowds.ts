/** What is not a load of everybody on everybody: many to one at once, one that is asked for too much, one that dies. */
import { percentile } from '../../../host/apps/workloads/slowdown.js';
import { workload } from '../../../host/apps/workloads/workload.js';
import { lengths } from './plan.js';
import { type Outcome, type Schedule, simulate, type Transport } from './simulation.js';

export interface Incast {
  outcome: Outcome;
  /** Of the receiver's line: time that the bytes of a round need there, by time until its last answer. Median round. */
  efficiency: number;
  /** Answers of a round, first and last, µs. Median round. */
  firstUs: number;
  lastUs: number;
}

const median = (values: number[]): number =>
  percentile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

/** `senders` hosts send a request of `bytes` to one at the same time, again when that is long over; answers have 100 bytes. */
export async function incast(
  transport: Transport,
  { senders, bytes, rounds, rate }: { senders: number; bytes: number; rounds: number; rate: number },
): Promise<Incast> {
  const lineNs = (transport.frames(bytes).reduce((a, b) => a + b, 0) * 8e9 * senders) / rate;
  // A lost packet that is waited for belongs to its own round.
  const periodNs = 4 * lineNs + 20e6;
  const outcome = await simulate({
    ...{ transport, rate, shape: { hostsPerRack: senders + 1 }, workload: workload(bytes) },
    ...{ load: 0.5, seed: 1, messages: senders * rounds, warmup: senders, callers: senders },
    callee: senders,
    schedule(): Schedule {
      let round = 0;
      return { next: () => ({ atNs: round++ * periodNs, bytes }), peer: () => senders };
    },
  });
  const byRound = new Map<number, number[]>();
  for (let i = 0; i < outcome.took.length; i++) {
    const round = Math.round(outcome.at[i] / periodNs);
    byRound.set(round, [...(byRound.get(round) ?? []), outcome.took[i]]);
  }
  const ends = [...byRound.values()];
  const lastUs = median(ends.map(took => Math.max(...took) / 1000));
  const firstUs = median(ends.map(took => Math.min(...took) / 1000));
  return { outcome, firstUs, lastUs, efficiency: lineNs / 1000 / lastUs };
}

export interface Overload {
  outcome: Outcome;
  /** Share of the receiver's line that bytes of requests took while more were asked for than it carries. */
  goodput: number;
}

/** Seven hosts ask one for 1.4 times what its line carries, W4; answers have 100 bytes. */
export async function overload(
  transport: Transport,
  { messages, rate }: { messages: number; rate: number },
): Promise<Overload> {
  const callers = 7;
  const outcome = await simulate({
    ...{ transport, rate, shape: { hostsPerRack: callers + 1 }, workload: lengths('w4') },
    // Of each sender's own line; all of it goes to one.
    ...{ load: 1.4 / callers, seed: 2, messages, callers, callee: callers, drainMs: 10_000 },
  });
  return { outcome, goodput: (outcome.goodput * 8) / rate };
}

export interface Death {
  outcome: Outcome;
  /** Calls of the dead one that were told so; other errors are among `outcome.errors`. */
  told: number;
  toDead: number;
  /** Slowdown p99 of messages among the living, begun after the death. */
  p99: number;
  /** Those without an answer. */
  lost: number;
}

/** W3 at half load; the last of eight hosts is cut off in the middle. */
export async function death(
  transport: Transport,
  { messages, rate }: { messages: number; rate: number },
): Promise<Death> {
  const hosts = 8;
  const dead = hosts - 1;
  let cutNs = 0;
  const began: { ns?: number } = {};
  const outcome = await simulate({
    ...{ transport, rate, shape: { hostsPerRack: hosts }, workload: lengths('w3'), load: 0.5 },
    // It calls nobody: what it would have asked for is not missing.
    ...{ seed: 3, messages, callers: dead, drainMs: 60_000 },
    at(nowNs, { network, begun }) {
      began.ns ??= nowNs;
      if (cutNs !== 0 || begun < messages / 2) return;
      cutNs = nowNs - began.ns;
      network.cut(network.hosts[dead]);
    },
  });
  const among: number[] = [];
  for (let i = 0; i < outcome.took.length; i++)
    if (outcome.to[i] !== dead && outcome.at[i] > cutNs) among.push(outcome.took[i] / outcome.best[i]);
  return {
    outcome,
    told: outcome.failed,
    toDead: outcome.begun - outcome.completed,
    p99: percentile(
      among.sort((a, b) => a - b),
      0.99,
    ),
    lost: outcome.begun - outcome.completed - outcome.failed,
  };
}
