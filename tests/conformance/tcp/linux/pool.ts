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
  /** Why it was played again: the verdicts before this one. */
  earlier: string[];
}

type Job = (driver: LinuxDriver) => Promise<void>;

/** Jobs for at most so many hosts side by side; each takes the next that is left. */
export interface Crew {
  jobs: readonly Job[];
  hosts: number;
}

/** Does all jobs of all crews. All hosts are there before the first job: making them holds this thread up. */
export async function work(...crews: Crew[]): Promise<void> {
  const drivers: LinuxDriver[] = [];
  try {
    const busy = crews.map(({ jobs, hosts }) => ({
      waiting: [...jobs],
      hosts: Array.from({ length: Math.min(hosts, jobs.length) }, () => LinuxDriver.create()),
    }));
    for (const crew of busy) drivers.push(...(await Promise.all(crew.hosts)));
    await Promise.all(
      busy.flatMap(({ waiting, hosts }) =>
        hosts.map(async host => {
          const driver = await host;
          for (let job = waiting.shift(); job; job = waiting.shift()) await job(driver);
        }),
      ),
    );
  } finally {
    await Promise.all(drivers.map(d => d.close()));
  }
}

/** Plays all of `list`. Each outcome is told once, as soon as it is final. */
export async function playOnLinux(
  list: readonly Script[],
  tell: (outcome: PoolOutcome) => void,
): Promise<void> {
  const long = list.filter(s => seconds(s) > 0).sort((a, b) => seconds(b) - seconds(a));
  const short = list.filter(s => seconds(s) === 0);
  const again: Again[] = [];
  const job =
    (script: Script): Job =>
    async driver => {
      const outcome = await play(script, driver);
      const verdict = oracleVerdict(outcome);
      if (verdict === undefined) tell({ ...outcome, verdict, earlier: [] });
      else again.push({ script, earlier: [verdict] });
    };
  await work({ jobs: long.map(job), hosts: PATIENT_HOSTS }, { jobs: short.map(job), hosts: QUICK_HOSTS });
  if (again.length === 0) return;
  await work({ jobs: [driver => replay(again, driver, tell)], hosts: 1 });
}

interface Again {
  script: Script;
  earlier: string[];
}

/** One after the other, each until it passes or was played often enough. */
async function replay(
  list: readonly Again[],
  driver: LinuxDriver,
  tell: (outcome: PoolOutcome) => void,
): Promise<void> {
  for (const { script, earlier } of list)
    for (;;) {
      const outcome = await play(script, driver);
      const verdict = oracleVerdict(outcome);
      if (verdict === undefined || earlier.length === REPLAYS) {
        tell({ ...outcome, verdict, earlier });
        break;
      }
      earlier.push(verdict);
    }
}
