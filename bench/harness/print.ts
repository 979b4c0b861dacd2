/** The one printer: a text table for people, JSON for machines. chart.ts draws. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { dirname } from 'node:path';
import Table, { type HorizontalAlignment } from 'cli-table3';
import type { Row } from './bench.js';

/** What every figure depends on, in one line. */
export function conditions(): string {
  const load = loadavg()[0].toFixed(1);
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'} × ${cpus().length}, Linux ${release()}, Node ${process.version}, load ${load} at start`;
}

const digits = (n: number): string =>
  n >= 1e6 ? n.toExponential(2) : n >= 1000 ? n.toFixed(0) : n >= 100 ? n.toFixed(1) : n.toFixed(2);

/** A table a group. Conditions that all of its rows share stand above it. */
export function printTable(rows: readonly Row[]): string {
  const out: string[] = [];
  for (const group of [...new Set(rows.map(r => r.group))]) {
    const own = rows.filter(r => r.group === group);
    const [shared] =
      own.length > 1 && own.every(r => r.conditions === own[0].conditions) ? [own[0].conditions] : [];
    const remarks = own.some(r => r.remark);
    const optional = <T>(shown: boolean, cell: T): T[] => (shown ? [cell] : []);
    const table = new Table({
      head: [
        ...['measure', ...optional(shared === undefined, 'conditions')],
        ...['etherloom', '±', 'peer', 'ratio', 'target', '', ...optional(remarks, 'remark')],
      ],
      colAligns: [
        ...(['left', ...optional(shared === undefined, 'left')] as HorizontalAlignment[]),
        ...(['right', 'right', 'right', 'right', 'left', 'left', 'left'] as const),
      ],
      style: { head: [], border: [], compact: true },
    });
    for (const r of own)
      table.push([
        ...[r.name, ...optional(shared === undefined, r.conditions)],
        `${digits(r.value)} ${r.unit}`,
        r.rme === undefined ? '' : `${r.rme.toFixed(1)} %`,
        r.peer ? `${r.peer.name} ${digits(r.peer.value)}` : '',
        r.ratio === undefined ? '' : r.ratio.toFixed(2),
        r.target ?? '',
        r.met === undefined ? '' : r.met ? 'met' : 'MISSED',
        ...optional(remarks, r.remark ?? ''),
      ]);
    out.push([group, ...optional(shared !== undefined, `  ${shared}`), table.toString()].join('\n'));
  }
  return out.join('\n\n');
}

/** @param at what conditions() said when the run began */
export function writeJson(path: string, rows: readonly Row[], started: string, at: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ started, conditions: at, rows }, null, 2)}\n`);
}
