/** What commands that run until they are stopped have in common: the end, and the line that tells how it goes. */

export interface Lasting {
  /** Seconds; until Ctrl-C without. */
  duration?: number;
  /** Seconds between two looks. */
  interval: number;
}

/** Resolves at SIGINT, SIGTERM or when the time is over; calls `each` at every interval. */
export function until(
  { duration, interval }: Lasting,
  each: () => void,
  over?: Promise<unknown>,
): Promise<void> {
  return new Promise(resolve => {
    const end = (): void => {
      clearInterval(ticking);
      clearTimeout(last);
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end);
      resolve();
    };
    const ticking = setInterval(each, interval * 1000);
    const last = duration === undefined ? undefined : setTimeout(end, duration * 1000);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
    void over?.then(end);
  });
}

/** Rewrites one line on a terminal; elsewhere a line each time. */
export function showLine(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r${line}\u001b[K` : `${line}\n`);
}

/** Takes the line away again. */
export function clearLine(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}
