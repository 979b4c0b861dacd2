/**
 * New programs on probation: errors are counted for a while before the change and after it, and when they rise faster
 * the old programs are put back. Errors come by chance, so more are allowed: some standard deviations, and a few.
 */
import { setTimeout } from 'node:timers/promises';
import type { UpgradeOptions, UpgradeReport } from '../../engine/transports.js';
import { EtherloomError } from '../../errors.js';

export interface Watched {
  counters(): Record<string, number>;
  /** Those that tell of errors. */
  names: readonly string[];
  /** @param changed is called when all lanes have changed. */
  change(changed: () => void): Promise<UpgradeReport>;
  /** Ends the probation before its time: no new programs then, or they stay unless they were found bad. */
  ended: AbortSignal;
  /** Puts the old programs back. */
  back(): Promise<UpgradeReport>;
}

const MOST_BASELINE_MS = 1000;
const MOST_MS = 3_600_000;
/** Looks at the counters. */
const LOOKS = 20;
const LEAST_LOOK_MS = 10;
/** Four would be passed by chance too often: a dozen counters are looked at twenty times. */
const DEVIATIONS = 5;
/** So few say nothing. */
const FEW = 8;

/** Resolves after a time, or as soon as `signal` is aborted. */
const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => {});

/**
 * How many events are too many where `expected` are, by a time before that was `times` shorter: what few events of a short
 * time say of a long one is uncertain.
 */
export const tooMany = (expected: number, times = 0): number =>
  expected + DEVIATIONS * Math.sqrt(expected * (1 + times)) + FEW;

/** Checks a time. @throws EtherloomError ERR_UPGRADE_OPTIONS */
function msOf(name: string, ms: number): number {
  if (typeof ms === 'number' && ms > 0 && ms <= MOST_MS) return ms;
  throw new EtherloomError('ERR_UPGRADE_OPTIONS', `${name}: ${ms}`, {
    expected: `a number of ms, at most ${MOST_MS}`,
  });
}

const timesOf = ({ probationMs, baselineMs }: UpgradeOptions): { ms: number; baselineMs: number } => {
  const ms = msOf('probationMs', probationMs!);
  return { ms, baselineMs: msOf('baselineMs', baselineMs ?? Math.min(ms, MOST_BASELINE_MS)) };
};

/** Checks the times of a probation. @throws EtherloomError ERR_UPGRADE_OPTIONS */
export function requireTimes(options: UpgradeOptions): void {
  timesOf(options);
}

/** @throws as Transports.upgrade; ERR_UPGRADE_OPTIONS; the reason of `ended` before the change */
export async function probation(watched: Watched, options: UpgradeOptions): Promise<UpgradeReport> {
  const { ms, baselineMs } = timesOf(options);
  const { names, ended } = watched;
  const first = watched.counters();
  const firstAt = performance.now();
  await sleep(baselineMs, ended);
  ended.throwIfAborted();
  const before = watched.counters();
  const beforeMs = performance.now() - firstAt;
  let second = before;
  let from = 0;
  const report = await watched.change(() => {
    second = watched.counters();
    from = performance.now();
  });
  const perMs = (name: string): number => risen(first, before, name) / beforeMs;
  for (;;) {
    const left = from + ms - performance.now();
    await sleep(Math.max(LEAST_LOOK_MS, Math.min(left, ms / LOOKS)), ended);
    const now = watched.counters();
    const passed = performance.now() - from;
    const found = names.map(name => ({
      ...{ name, risen: risen(second, now, name) },
      expected: perMs(name) * passed,
    }));
    const bad = found.filter(f => f.risen > tooMany(f.expected, passed / beforeMs)).map(f => f.name);
    if (!bad.length && passed < ms && !ended.aborted) continue;
    report.probation = {
      ms: Math.round(passed),
      counters: Object.fromEntries(
        found
          .filter(f => f.risen > 0)
          .map(f => [f.name, { risen: f.risen, expected: Math.round(f.expected * 10) / 10 }]),
      ),
      ...(passed < ms && !bad.length ? { cutShort: (ended.reason as Error).message } : {}),
    };
    if (bad.length) {
      const back = await watched.back().catch(cause => {
        throw new EtherloomError(
          'ERR_UPGRADE_ROLLBACK',
          `${bad.join(', ')} rose, and the old programs cannot be put back: ${(cause as Error).message}`,
          { cause, expected: 'another upgrade: the new programs are at work' },
        );
      });
      report.probation.rolledBack = bad;
      report.generation = back.generation;
      report.pausesNs = report.pausesNs.map((ns, i) => Math.max(ns, back.pausesNs[i] ?? 0));
      report.ranNs = report.ranNs.map((ns, i) => Math.max(ns, back.ranNs[i] ?? 0));
    }
    return report;
  }
}

/** Counters of 0 are left out. */
const risen = (before: Record<string, number>, after: Record<string, number>, name: string): number =>
  (after[name] ?? 0) - (before[name] ?? 0);
