/** Waiting in real time, for tests whose other end is a process, a lane or the kernel. */
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

/** Longest wait for anything, ms. */
export const PATIENCE_MS = 5000;

/** Time of day, ms: the same clock in all processes of the machine. */
export const nowMs = (): number => performance.timeOrigin + performance.now();

/** Waits until `met`; whether it is so in the end. */
export async function comes(met: () => boolean): Promise<boolean> {
  for (const from = performance.now(); !met(); await sleep(2))
    if (performance.now() - from > PATIENCE_MS) return false;
  return true;
}
