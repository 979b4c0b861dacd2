/** What commands that run until they are stopped have in common: the end, and the line that tells how it goes. */
import { isUnread } from './output.js';

export interface Lasting {
  /** Seconds; until Ctrl-C without. */
  duration?: number;
  /** Seconds between two looks. */
  interval: number;
}

/** A terminal that is closed ends a command as Ctrl-C does: what it made is to be put away. */
export const ENDS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** A wish to end, from its first moment on: heard while things are still being made, too. */
export interface Ending {
  /** Resolves at the first of its signals, or when nobody reads what is printed any more (`| head`). */
  readonly asked: Promise<void>;
  /** Signals do again what they do by default. */
  release(): void;
}

export function ending(signals = ENDS): Ending {
  let heard = (): void => {};
  const asked = new Promise<void>(resolve => {
    heard = resolve;
  });
  const onError = (error: Error): void => {
    if (isUnread(error)) heard();
  };
  for (const signal of signals) process.on(signal, heard);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onError);
  return {
    asked,
    release() {
      for (const signal of signals) process.off(signal, heard);
      for (const stream of [process.stdout, process.stderr]) stream.off('error', onError);
    },
  };
}

/** Resolves when the time is over or one of `ends` does; calls `each` at every interval. Rejects when that throws. */
export async function until(
  { duration, interval }: Lasting,
  each: () => void,
  ...ends: (Promise<unknown> | undefined)[]
): Promise<void> {
  let ticking: NodeJS.Timeout | undefined;
  let last: NodeJS.Timeout | undefined;
  const failed = new Promise<void>((resolve, reject) => {
    ticking = setInterval(() => {
      try {
        each();
      } catch (error) {
        reject(error);
      }
    }, interval * 1000);
    if (duration !== undefined) last = setTimeout(resolve, duration * 1000);
  });
  try {
    await Promise.race([failed, ...ends.filter(end => end !== undefined)]);
  } finally {
    clearInterval(ticking);
    clearTimeout(last);
  }
}

/** Rewrites one line on a terminal; elsewhere a line each time. */
export function showLine(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r${line}\u001b[K` : `${line}\n`);
}

/** Takes the line away again. */
export function clearLine(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}
