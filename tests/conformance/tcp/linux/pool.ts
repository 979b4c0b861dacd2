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

/** Plays all of `list`. Each outcome is told once, as soon as it is final. */
export async function playOnLinux(
  list: readonly Script[],
  tell: (outcome: PoolOutcome) => void,
): Promise<void> {
  const long = list.filter(s => seconds(s) > 0).sort((a, b) => seconds(b) - seconds(a));
  const short = list.filter(s => seconds(s) === 0);
  const again: Script[] = [];
  const hosts = async (waiting: Script[], most: number): Promise<void> => {
    await Promise.all(
      Array.from({ length: Math.min(most, waiting.length) }, async () => {
        const driver = await LinuxDriver.create();
        for (let script = waiting.shift(); script; script = waiting.shift()) {
          const outcome = await play(script, driver);
          const verdict = oracleVerdict(outcome);
          if (verdict === undefined) tell({ ...outcome, verdict, plays: 1 });
          else again.push(script);
        }
        await driver.close();
      }),
    );
  };
  await Promise.all([hosts(long, PATIENT_HOSTS), hosts(short, QUICK_HOSTS)]);
  if (again.length === 0) return;
  const driver = await LinuxDriver.create();
  for (const script of again) {
    let plays = 1;
    for (;;) {
      const outcome = await play(script, driver);
      const verdict = oracleVerdict(outcome);
      plays++;
      if (verdict !== undefined && plays <= REPLAYS) continue;
      tell({ ...outcome, verdict, plays });
      break;
    }
  }
  await driver.close();
}
