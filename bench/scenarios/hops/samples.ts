/** What bench:hops measures: samples, one per run of a client, and cells, the repetitions of a sample put together. */
import type { ClientName, Outcome } from './clients.js';
import type { Counters } from './counters.js';

/** What distinguishes one cell from another. */
export interface CellKey {
  readonly peer: string;
  /** In the report's words: 1 is direct, N is N − 1 forwarders. */
  readonly hops: number;
  readonly bytes: number;
  readonly clients: number;
  readonly client: ClientName;
}

export interface Sample extends CellKey {
  readonly repetition: number;
  readonly outcome: Outcome;
  /** What the kernels counted meanwhile. */
  readonly counters: Counters;
}

export interface Cell extends CellKey {
  readonly repetitions: number;
  readonly requests: number;
  readonly ok: number;
  readonly errors: Record<string, number>;
  /** Least of the repetitions: noise on a shared machine only ever adds. */
  readonly msPer100: number;
  /** Medians over the repetitions. */
  readonly p50Us?: number;
  readonly p90Us?: number;
  readonly p99Us?: number;
  readonly counters: Counters;
}

const keyOf = (k: CellKey): string => [k.client, k.clients, k.peer, k.hops, k.bytes].join(' ');

export function summarise(samples: readonly Sample[]): Cell[] {
  const groups = new Map<string, Sample[]>();
  for (const s of samples) groups.set(keyOf(s), [...(groups.get(keyOf(s)) ?? []), s]);
  return [...groups.values()].map(cellOf);
}

function cellOf(group: readonly Sample[]): Cell {
  const { peer, hops, bytes, clients, client } = group[0];
  const outcomes = group.map(s => s.outcome);
  const errors: Record<string, number> = {};
  for (const o of outcomes) for (const [k, n] of Object.entries(o.errors)) errors[k] = (errors[k] ?? 0) + n;
  const counters = { ...group[0].counters };
  for (const s of group.slice(1))
    for (const k of Object.keys(counters) as (keyof Counters)[]) counters[k] += s.counters[k];
  return {
    peer,
    hops,
    bytes,
    clients,
    client,
    repetitions: group.length,
    requests: sum(outcomes.map(o => o.requests)),
    ok: sum(outcomes.map(o => o.ok)),
    errors,
    msPer100: Math.min(...outcomes.map(o => o.msPer100)),
    p50Us: median(outcomes.map(o => o.p50Us)),
    p90Us: median(outcomes.map(o => o.p90Us)),
    p99Us: median(outcomes.map(o => o.p99Us)),
    counters,
  };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** The middle, the lower one of two; undefined when there is no value. */
function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter(v => v !== undefined).sort((a, b) => a - b);
  return known[(known.length - 1) >> 1];
}

/** Cells by their key. */
export class Cells {
  private readonly by: Map<string, Cell>;

  constructor(readonly all: readonly Cell[]) {
    this.by = new Map(all.map(c => [keyOf(c), c]));
  }

  get(key: CellKey): Cell | undefined {
    return this.by.get(keyOf(key));
  }

  /** Distinct values of a part of the key, as they were first met. */
  values<K extends keyof CellKey>(part: K, where: Partial<CellKey> = {}): CellKey[K][] {
    return [...new Set(this.where(where).map(c => c[part]))];
  }

  where(where: Partial<CellKey>): Cell[] {
    const parts = Object.entries(where) as [keyof CellKey, unknown][];
    return this.all.filter(c => parts.every(([k, v]) => c[k] === v));
  }
}
