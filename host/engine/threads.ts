/** The threads of worker lanes: a pool of piscina with one for each, none of which keeps the process alive. */
import { Piscina } from 'piscina';
import { laneFile } from './lane_file.js';

/** What piscina tells of a worker that it made: behind a symbol of its own, the worker's port. */
interface Reported {
  readonly destroyed: boolean;
  readonly [what: symbol]: { unref?: () => unknown } | undefined;
}

export class LaneThreads {
  readonly pool: Piscina;
  readonly #workers = new Set<Reported>();

  constructor(n: number) {
    const filename = laneFile();
    this.pool = new Piscina({
      filename,
      minThreads: n,
      maxThreads: n,
      concurrentTasksPerWorker: 1,
      maxQueue: 0,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Lanes hold ports: an idle thread's event loop must stay normal between two tasks.
      atomics: 'disabled',
      // A lane's only garbage is its clock readings: collect them early instead of letting the heap grow to 32 MiB.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
      // What loads the application's sources (tsx, ts-node) has no business in a lane: it slows its start and its code.
      ...(filename.endsWith('.js') ? { execArgv: [] } : {}),
    });
    this.pool.on('workerCreate', worker => this.#workers.add(worker as Reported));
  }

  /**
   * To be called when a task runs. piscina's threads are unref'd, but it refs the port of one as long as that has a task, and a
   * lane's lasts until it is stopped. There is no option against it: the port is reached through what `workerCreate` reports.
   */
  unref(): void {
    for (const worker of this.#workers)
      if (worker.destroyed) this.#workers.delete(worker);
      else for (const symbol of Object.getOwnPropertySymbols(worker)) worker[symbol]?.unref?.();
  }
}
