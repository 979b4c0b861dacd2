/** How long a thread was ready to run while another had the CPU, as the kernel counts it. */
import { openSync } from 'node:fs';
import { systemCalls } from '../mem/wakes.js';

/** Second field: time spent waiting on a runqueue (Documentation/scheduler/sched-stats.rst). */
const FILE = '/proc/thread-self/schedstat';

/** For the calling thread, with whose end it is closed. What it returns gives ns since the thread began; 0 where nobody knows. */
export function openRunDelay(addon = systemCalls()): () => number {
  const read = addon?.runDelay;
  if (!read) return () => 0;
  try {
    const fd = openSync(FILE, 'r');
    return () => Math.max(0, read(fd));
  } catch {
    // A kernel without these figures.
    return () => 0;
  }
}
