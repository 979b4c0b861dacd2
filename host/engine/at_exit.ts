/**
 * Engines that run when their thread's process ends, with or without `process.exit()`: lanes stop at a burst boundary, and
 * interfaces get back what NICs changed. Nothing can be waited for then but by standing still.
 */

/** What is done of an engine when there is no time for `stop`. */
export interface Ending {
  endNow(): void;
}

const running = new Set<Ending>();
let listening = false;

/** To be ended with the process; `on` false: not any more. */
export function endAtExit(what: Ending, on: boolean): void {
  if (!on) {
    running.delete(what);
    return;
  }
  running.add(what);
  if (listening) return;
  listening = true;
  process.on('exit', () => {
    for (const each of running)
      try {
        each.endNow();
      } catch {
        // The others are to end, too, and the exit code is another's affair.
      }
  });
}
