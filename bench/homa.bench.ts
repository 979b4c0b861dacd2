/**
 * Messages over Homa and over DCTCP on the same network, in virtual time (scenarios/homa): slowdown of W1 to W5 at 80 % load,
 * incast, a receiver that is asked for too much, a peer that dies. Charts of slowdown by length stand beside the results.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Bench, Row } from './harness/bench.js';
import { type Curve, writeSlowdownChart } from './harness/slowdown_chart.js';
import { death, incast, overload } from './scenarios/homa/crowds.js';
import { dctcp } from './scenarios/homa/dctcp.js';
import { homa as homaTransport } from './scenarios/homa/homa.js';
import {
  byLength,
  FEW,
  LOAD,
  lengths,
  MESSAGES,
  type Name,
  RATES,
  said,
  shortest,
  WORKLOADS,
} from './scenarios/homa/plan.js';
import { type Outcome, simulate, type Transport } from './scenarios/homa/simulation.js';

const HOSTS = 8;
/** Asked of Homa: p99 of short messages, of W2 to W5 (W1 has no messages longer than 100 kB, and is not asked about). */
const MOST_P99 = 2.5;
const ASKED: readonly Name[] = ['w2', 'w3', 'w4', 'w5'];
/** p99 of the shortest tenth: so many times lower than DCTCP's. */
const TIMES_LOWER = 7.5;
const LEAST_GOODPUT = 0.9;
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));

/** Senders of an incast, and what each sends at once. */
const SENDERS = 40;
const INCAST_BYTES = [10_000, 100_000];

interface Make {
  /** As loads have it: answers are as long as requests. */
  echo(): Transport;
  /** Answers have 100 bytes, and there is a connection a pair. */
  oneWay(): Transport;
  /** A peer that says nothing is given up after 100 ms, as Homa does. */
  impatient(): Transport;
}

const DCTCP: Make = {
  echo: () => dctcp(),
  oneWay: () => dctcp({ oneWay: true, ports: 1 }),
  impatient: () => dctcp({ connection: { userTimeoutMs: 100 } }),
};

const HOMA: Make = {
  echo: () => homaTransport(),
  oneWay: () => homaTransport({ oneWay: true, streams: 64 }),
  impatient: () => homaTransport(),
};

/** Homa first. */
const TRANSPORTS: Make[] = [HOMA, DCTCP];

function rowsOf(bench: Bench, group: string, name: Name, runs: Outcome[]): void {
  const of = lengths(name);
  const [own, ...others] = runs;
  const peers = others.length ? others : [undefined];
  const ours = own.transport === 'homa';
  for (const peer of peers) {
    const remark = [own, ...(peer ? [peer] : [])].map(o => `${o.transport}: ${said(o)}`).join('; ');
    const conditions = `${own.begun} messages, ${own.countedMs.toFixed(0)} ms`;
    const row = (what: string, of: (o: Outcome) => number, more: Partial<Row> = {}): void => {
      bench.row({
        ...{ group, name: `${name.toUpperCase()}, ${own.transport}: ${what}`, conditions, unit: 'ratio' },
        value: of(own),
        ...(peer && { peer: { name: peer.transport, value: of(peer) } }),
        ...more,
      });
    };
    const p = (share: number, key: 'p50' | 'p99' | 'p999') => (o: Outcome) => shortest(o, of, share)[key];
    row('messages without an answer', o => o.begun - o.completed, {
      ...{ unit: 'count', target: '0', met: own.completed === own.begun, remark },
    });
    const half = p(0.5, 'p99')(own);
    row(
      'slowdown p99 of the shorter half',
      p(0.5, 'p99'),
      ours && ASKED.includes(name) ? { target: `≤ ${MOST_P99}`, met: half <= MOST_P99 } : {},
    );
    row('slowdown p50 of the shorter half', p(0.5, 'p50'));
    row('slowdown p99.9 of the shorter half', p(0.5, 'p999'));
    const tenth = p(0.1, 'p99');
    row(
      'slowdown p99 of the shortest tenth',
      tenth,
      ours && peer
        ? {
            target: `≤ DCTCP's / ${TIMES_LOWER}`,
            met: tenth(own) * TIMES_LOWER <= tenth(peer),
          }
        : {},
    );
    row('slowdown p99 of all', p(1, 'p99'));
    row('slowdown p50 of all', p(1, 'p50'));
    row('goodput : offered', o => o.goodput / o.offered, {
      // A short run ends before its longest messages.
      ...(ours &&
        !bench.quick && {
          target: `≥ ${LEAST_GOODPUT}`,
          met: own.goodput / own.offered >= LEAST_GOODPUT,
        }),
    });
  }
}

async function charts(bench: Bench, name: Name, rate: number, runs: Outcome[]): Promise<void> {
  if (bench.quick) return;
  const curves: Curve[] = runs.map(o => ({
    name: o.transport,
    results: byLength(o, lengths(name)).results(),
  }));
  const day = new Date().toISOString().slice(0, 10);
  const path = `${RESULTS}${day}-homa-${name}-${rate}g`;
  const title = `${name.toUpperCase()} at ${LOAD * 100} %, ${HOSTS} hosts, ${rate} Gbit/s`;
  await writeSlowdownChart(`${path}.svg`, title, curves);
  mkdirSync(RESULTS, { recursive: true });
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  writeFileSync(`${path}.json`, `${JSON.stringify({ title, curves }, rounded, 1)}\n`);
}

async function loads(bench: Bench): Promise<void> {
  const few: readonly Name[] = ['w3'];
  for (const rate of bench.quick ? [10] : RATES)
    for (const name of WORKLOADS) {
      if (!bench.wants(`${name}-${rate}g`) || (bench.quick && !few.includes(name))) continue;
      const runs: Outcome[] = [];
      for (const make of TRANSPORTS)
        runs.push(
          await simulate({
            transport: make.echo(),
            ...{ shape: { hostsPerRack: HOSTS }, rate: rate * 1e9 },
            ...{ workload: lengths(name), load: LOAD, seed: 1 },
            messages: (bench.quick ? FEW : MESSAGES)[name],
          }),
        );
      rowsOf(bench, `homa: ${rate} Gbit/s, ${HOSTS} hosts, load ${LOAD}`, name, runs);
      await charts(bench, name, rate, runs);
    }
}

async function crowds(bench: Bench): Promise<void> {
  const rate = 10e9;
  const group = 'homa: many to one, 10 Gbit/s';
  /** Of ours beside the others, from what was found of each. */
  const row = <T extends { outcome: Outcome }>(
    name: string,
    found: T[],
    of: (t: T) => number,
    more: Partial<Row> = {},
  ): void => {
    const [own, peer] = found;
    bench.row({
      ...{ group, name: `${name}, ${own.outcome.transport}`, unit: 'ratio', value: of(own) },
      conditions: `${own.outcome.begun} messages`,
      ...(peer && { peer: { name: peer.outcome.transport, value: of(peer) } }),
      // Where it is counted whether all were answered there is room to say what the run was like.
      ...(more.met !== undefined && {
        remark: found.map(({ outcome: o }) => `${o.transport}: ${said(o)}`).join('; '),
      }),
      ...more,
    });
  };
  const each = async <T>(run: (make: Make) => Promise<T>): Promise<T[]> => {
    const found: T[] = [];
    for (const make of TRANSPORTS) found.push(await run(make));
    return found;
  };
  if (bench.wants('incast'))
    for (const bytes of bench.quick ? INCAST_BYTES.slice(0, 1) : INCAST_BYTES) {
      const senders = bench.quick ? 8 : SENDERS;
      const found = await each(make =>
        incast(make.oneWay(), { senders, bytes, rounds: bench.quick ? 3 : 11, rate }),
      );
      const name = `incast ${senders} → 1 of ${bytes} B`;
      row(`${name}: line's time : until the last answer`, found, f => f.efficiency);
      row(`${name}: until the last answer`, found, f => f.lastUs, { unit: 'µs' });
      const missing = (f: (typeof found)[0]): number => f.outcome.begun - f.outcome.completed;
      row(`${name}: without an answer`, found, missing, {
        ...{ unit: 'count', target: '0', met: missing(found[0]) === 0 },
      });
    }
  if (bench.wants('overload')) {
    const found = await each(make => overload(make.oneWay(), { messages: bench.quick ? 800 : 6000, rate }));
    const of = lengths('w4');
    row('overload 7 → 1, W4 at 1.4 of its line: goodput : line', found, f => f.goodput);
    row('overload: slowdown p99 of the shorter half', found, f => shortest(f.outcome, of, 0.5).p99);
    const missing = (f: (typeof found)[0]): number => f.outcome.begun - f.outcome.completed;
    row('overload: without an answer', found, missing, {
      ...{ unit: 'count', target: '0', met: missing(found[0]) === 0 },
    });
  }
  if (bench.wants('dead')) {
    const found = await each(make =>
      death(make.impatient(), { messages: bench.quick ? 3000 : 30_000, rate }),
    );
    row('dead peer, W3 at 0.5: calls that were told nothing', found, f => f.lost, {
      ...{ unit: 'count', target: '0', met: found[0].lost === 0 },
    });
    row('dead peer: calls that failed', found, f => f.told, { unit: 'count' });
    row('dead peer: slowdown p99 among the living', found, f => f.p99);
  }
}

export default async function homa(bench: Bench): Promise<void> {
  await loads(bench);
  await crowds(bench);
}
