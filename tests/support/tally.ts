/** A client in another process that works without end, and prints what it has counted so far as a line of JSON. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class Tally<T> {
  /** @param total what stands before the first line comes */
  constructor(
    private readonly child: ChildProcess,
    public total: T,
  ) {
    createInterface(child.stdout!).on('line', line => {
      this.total = JSON.parse(line) as T;
    });
  }

  end(): void {
    this.child.kill('SIGKILL');
  }

  /** Ends it; resolves when it is gone. */
  async ended(): Promise<void> {
    const { child } = this;
    const gone = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, 'exit');
    this.end();
    await gone;
  }
}
