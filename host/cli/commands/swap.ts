/** etherloom swap: other programs for a transport of an engine in another process, by its control socket. */
import { resolve } from 'node:path';
import type { ProbationReport, UpgradeReport } from '../../engine/transports.js';
import { EtherloomError } from '../../errors.js';
import { ask } from '../control_client.js';
import { EXIT, print, table, toJson } from '../output.js';

export interface SwapOptions {
  control: string;
  list?: boolean;
  /** ms. */
  probation?: number;
  fresh?: string[];
  json?: boolean;
}

export async function swap(
  transport: string | undefined,
  object: string | undefined,
  options: SwapOptions,
): Promise<number> {
  if (options.control === '')
    throw new EtherloomError('ERR_USAGE_VALUE', '--control without a path', {
      expected: 'the path of the control socket of an engine',
    });
  if (options.list) {
    if (transport !== undefined)
      throw new EtherloomError('ERR_USAGE_ARGUMENT', `${transport} beside --list`, {
        expected: 'etherloom swap --control PATH --list',
      });
    return list(options);
  }
  if (!transport || !object)
    throw new EtherloomError('ERR_USAGE_MISSING', `no ${transport ? 'object' : 'transport'}`, {
      expected: 'etherloom swap --control PATH TRANSPORT OBJECT.bpf.o, or --list',
    });
  const { control, fresh, probation } = options;
  const report = await ask(control, 'upgrade', {
    ...{ transport, object: resolve(object) },
    ...(fresh ? { fresh } : {}),
    ...(probation === undefined ? {} : { probationMs: probation }),
  });
  if (options.json) print(toJson(report));
  else print(words(report));
  return report.probation?.rolledBack ? EXIT.FAILED : EXIT.DONE;
}

async function list({ control, json }: SwapOptions): Promise<number> {
  const { transports } = await ask(control, 'list');
  if (json) {
    print(toJson(transports));
    return EXIT.DONE;
  }
  const columns = [
    { head: 'transport' },
    { head: 'generation', right: true },
    { head: 'object' },
    { head: 'counters' },
  ];
  const rows = transports.map(t => [
    ...[`${t.stack}/${t.name}`, t.generation, t.object],
    Object.entries(t.counters)
      .map(([name, n]) => `${name} ${n}`)
      .join('\n'),
  ]);
  print(table(columns, rows));
  return EXIT.DONE;
}

const us = (ns: number): string => `${(ns / 1000).toFixed(1)} µs`;

/** A report for people. */
export function words(report: UpgradeReport): string {
  const { transport, object, pausesNs, probation, newMaps, migrated } = report;
  const lines: string[] = [];
  if (probation?.rolledBack)
    lines.push(
      `${transport}: the programs of before were put back (generation ${report.generation}), ${object} is not in use`,
    );
  else
    lines.push(`${transport}: ${object}, generation ${report.generation}, in ${report.tookMs.toFixed(1)} ms`);
  if (pausesNs.length)
    lines.push(`longest standstill of a lane: ${pausesNs.map((ns, i) => `${i}: ${us(ns)}`).join(', ')}`);
  if (newMaps.length) lines.push(`new maps: ${newMaps.join(', ')}`);
  for (const { map, values } of migrated) lines.push(`migrated: ${map}, ${values} values`);
  if (probation) lines.push(...tried(probation));
  return lines.join('\n');
}

function tried({ ms, counters, rolledBack, cutShort }: ProbationReport): string[] {
  const errors = Object.entries(counters).map(
    ([name, { risen, expected }]) =>
      `  ${name} ${risen}, ${expected} expected${rolledBack?.includes(name) ? ': too many' : ''}`,
  );
  const why = cutShort ? ` (cut short: ${cutShort})` : '';
  return [`probation of ${ms} ms${why}: ${errors.length ? 'errors' : 'no errors'}`, ...errors];
}
