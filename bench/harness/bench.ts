/**
 * The bench harness: package `benchmark` does the sampling, one sample is one *batch* inside Wasm.
 * A row is a figure with its conditions and, where there is one, the peer measured beside it in the same run.
 */
import Benchmark from 'benchmark';

export interface Peer {
  name: string;
  /** In the row's own unit. */
  value: number;
}

export interface Row {
  group: string;
  name: string;
  /** Frame size, batch, lanes … whatever the figure depends on. */
  conditions: string;
  /** What was seen of this one that a reader must know: what disturbed it. */
  remark?: string;
  unit: 'ns' | 'MB/s' | 'Mpps' | 'M/s' | 'k/s' | 'insns/s' | 'ms' | 'µs' | 'count' | 'ratio' | '%';
  value: number;
  /** Relative margin of error of the sampling, percent. */
  rme?: number;
  peer?: Peer;
  /** value / peer.value. */
  ratio?: number;
  /** What the figure must reach, in words, and whether it does. */
  target?: string;
  met?: boolean;
}

export interface Sample {
  /** Least of all calls: ns per item. Noise on a shared machine only ever adds. */
  ns: number;
  /** Mean over samples: ns per item. */
  meanNs: number;
  rme: number;
}

export interface TimeOptions {
  /** Items (packets, operations) that one call of the body handles. */
  batch: number;
  /** Seconds of sampling. Default 0.5. */
  seconds?: number;
}

export class Bench {
  readonly rows: Row[] = [];

  readonly #parts = new Set<string>();

  constructor(
    /** Shorter sampling for smoke tests. */
    readonly quick = false,
    private readonly onRow: (row: Row) => void = () => {},
    /** Parts that are wanted; none: all. */
    readonly only: readonly string[] = [],
  ) {}

  /** Whether a part of a bench file is wanted. */
  wants(part: string): boolean {
    this.#parts.add(part);
    return this.only.length === 0 || this.only.includes(part);
  }

  /** Of `only`, what no file that ran calls a part. */
  get unknown(): string[] {
    return this.only.filter(part => !this.#parts.has(part));
  }

  /** Parts that files which ran asked about. */
  get parts(): string[] {
    return [...this.#parts];
  }

  /** Samples `body`, which must handle `batch` items a call. */
  time(name: string, body: () => void, options: TimeOptions): Sample {
    let least = Number.POSITIVE_INFINITY;
    const timed = (): void => {
      const from = performance.now();
      body();
      least = Math.min(least, performance.now() - from);
    };
    const run = new Benchmark(name, timed, {
      maxTime: this.quick ? 0.05 : (options.seconds ?? 0.5),
      minSamples: this.quick ? 3 : 12,
    }).run({ async: false }) as Benchmark & { error?: Error };
    if (run.error) throw run.error;
    return {
      ns: (least * 1e6) / options.batch,
      meanNs: (run.stats.mean * 1e9) / options.batch,
      rme: run.stats.rme,
    };
  }

  row(row: Row): Row {
    if (row.peer && row.ratio === undefined) row.ratio = row.value / row.peer.value;
    this.rows.push(row);
    this.onRow(row);
    return row;
  }
}

export type BenchFile = (bench: Bench) => void | Promise<void>;
