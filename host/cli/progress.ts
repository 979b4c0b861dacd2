/** The progress of long commands, on stderr: a bar on a terminal, else a line now and then. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  /** @param done 0 … 1 */
  update(done: number, label?: string): void;
  stop(): void;
}

export function progressBar(quiet: boolean | undefined, label: string): Progress {
  if (quiet) return { update() {}, stop() {} };
  const bar = new SingleBar(
    {
      format: '{label} [{bar}] {percentage} %',
      stream: process.stderr,
      clearOnComplete: true,
      noTTYOutput: true,
      notTTYSchedule: 2000,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  let open = true;
  bar.start(1000, 0, { label });
  return {
    update: (done, now) => bar.update(Math.round(done * 1000), { label: now ?? label }),
    stop() {
      if (open) bar.stop();
      open = false;
    },
  };
}
