/**
 * Plays scripts on many kernels side by side. Those that wait for timers cost nothing meanwhile and have many hosts; those
 * that only exchange segments keep the processor busy and have few, so that nothing that is timed is kept waiting. On a
 * busy machine a script may still be too late for the kernel's timers: one that fails is played again, alone.
 */
import { type Outcome, oracleVerdict, play } from '../runner.js';
import type { Script } from '../script.js';
import { LinuxDriver } from './driver.js';

const PATIENT_HOSTS = 24;
const QUICK_HOSTS = 3;
const REPLAYS = 2;

const seconds = (s: Script): number => s.options.seconds ?? 0;

export interface PoolOutcome extends Outcome {
  /** Why it counts as failed, see `oracleVerdict`. */
  verdict: string | undefined;
  /** How often it was played. */
  plays: number;
}

/** Does all of it, in order, on at most so many hosts side by side. */
export async function onHosts(
  jobs: readonly ((driver: LinuxDriver) => Promise<void>)[],
  most: number,
): Promise<void> {
  const waiting = [...jobs];
  await Promise.all(
    Array.from({ length: Math.min(most, waiting.length) }, async () => {
      const driver = await LinuxDriver.create();
      try {
        for (let job = waiting.shift(); job; job = waiting.shift()) await job(driver);
      } finally {
        await driver.close();
      }
    }),
  );
}

/** Plays all of `list`. Each outcome is told once, as soon as it is final. */
export async function playOnLinux(
  list: readonly Script[],
  tell: (outcome: PoolOutcome) => void,
): Promise<void> {
  const long = list.filter(s => seconds(s) > 0).sort((a, b) => seconds(b) - seconds(a));
  const short = list.filter(s => seconds(s) === 0);
  const again: Script[] = [];
  const job = (script: Script) => async (driver: LinuxDriver) => {
    const outcome = await play(script, driver);
    const verdict = oracleVerdict(outcome);
    if (verdict === undefined) tell({ ...outcome, verdict, plays: 1 });
    else again.push(script);
  };
  await Promise.all([onHosts(long.map(job), PATIENT_HOSTS), onHosts(short.map(job), QUICK_HOSTS)]);
  if (again.length === 0) return;
  await onHosts([driver => replay(again, driver, tell)], 1);
}

/** One after the other, until it passes or was played often enough. */
async function replay(
  list: readonly Script[],
  driver: LinuxDriver,
  tell: (outcome: PoolOutcome) => void,
): Promise<void> {
  for (const script of list)
    for (let plays = 2; ; plays++) {
      const outcome = await play(script, driver);
      const verdict = oracleVerdict(outcome);
      if (verdict !== undefined && plays <= REPLAYS) continue;
      tell({ ...outcome, verdict, plays });
      break;
    }
}
