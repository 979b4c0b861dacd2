/** The threads of worker lanes: a pool of piscina with one for each, none of which keeps the process alive. */
import { setFlagsFromString } from 'node:v8';
import { Piscina } from 'piscina';
import { laneFile } from './lane_file.js';

/** What piscina tells of a worker that it made: behind a symbol of its own, the worker's port. */
interface Reported {
  readonly destroyed: boolean;
  readonly [what: symbol]: { unref?: () => unknown } | undefined;
}

/**
 * For new objects of a lane, MB. An upgrade leaves some 20 kB in each
 * lane, and a collection stops it for 0.2 to 1 ms: V8's own beginning of 1 MB had one upgrade in twenty wait for that.
 */
const NURSERY_MB = 8;
/** V8's young generation is three of them. */
const YOUNG_MB = 3 * NURSERY_MB;

/** How large nurseries of new threads are at least: no limit of a Worker says so, a flag of the process does. 0: V8's own. */
const nurseriesOf = (mb: number): void => setFlagsFromString(`--min-semi-space-size=${mb}`);

export class LaneThreads {
  readonly pool: Piscina;
  readonly #workers = new Set<Reported>();

  constructor(n: number) {
    const filename = laneFile();
    nurseriesOf(NURSERY_MB);
    this.pool = new Piscina({
      filename,
      minThreads: n,
      maxThreads: n,
      concurrentTasksPerWorker: 1,
      maxQueue: 0,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Lanes hold ports: an idle thread's event loop must stay normal between two tasks.
      atomics: 'disabled',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
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
    nurseriesOf(0);
    for (const worker of this.#workers)
      if (worker.destroyed) this.#workers.delete(worker);
      else for (const symbol of Object.getOwnPropertySymbols(worker)) worker[symbol]?.unref?.();
  }
}
