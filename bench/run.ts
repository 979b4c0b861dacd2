/**
 * npm run bench [-- NAME …] [--only PART …] [--quick] [--json FILE] [--svg FILE]
 * Runs every *.bench.ts (or those named), prints one table, writes JSON and an SVG chart.
 */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Bench, type BenchFile, type Row } from './harness/bench.js';
import { writeChart } from './harness/chart.js';
import { conditions, printTable, writeJson } from './harness/print.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
    svg: { type: 'string' },
  },
});

const started = new Date().toISOString();
const names = readdirSync(HERE)
  .filter(f => f.endsWith('.bench.ts'))
  .map(f => f.slice(0, -'.bench.ts'.length))
  .sort();
const unknown = positionals.filter(p => !names.includes(p));
if (unknown.length) {
  console.error(`no bench named ${unknown.join(', ')}; there are: ${names.join(', ')}`);
  process.exit(2);
}

// Exit ends children and removes namespaces, wherever the run stands.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const at = conditions();
console.log(at);
/** Each row as soon as it is known: a run that is ended early has shown what it found. */
const said = ({ group, name, conditions, value, unit, peer, ratio, remark }: Row): string =>
  `  ${group}: ${name}${conditions ? `, ${conditions}` : ''}: ${Number(value.toPrecision(4))} ${unit}` +
  (peer ? `, ${ratio?.toFixed(2)} × ${peer.name}` : '') +
  (remark ? `; ${remark}` : '');
const bench = new Bench(values.quick, row => process.stderr.write(`${said(row)}\n`), values.only);
for (const name of positionals.length ? positionals : names) {
  const file = (await import(pathToFileURL(join(HERE, `${name}.bench.ts`)).href)) as { default: BenchFile };
  await file.default(bench);
}
if (bench.unknown.length) {
  const there = bench.parts.length ? bench.parts.join(', ') : 'no parts';
  console.error(`no part named ${bench.unknown.join(', ')}; there are: ${there}`);
  process.exit(2);
}
console.log(`\n${printTable(bench.rows)}`);
const day = started.slice(0, 10);
const json = values.json ?? join(HERE, 'results', `${day}.json`);
const svg = values.svg ?? json.replace(/\.json$/, '.svg');
writeJson(json, bench.rows, started, at);
await writeChart(svg, bench.rows);
console.log(`\n${json}\n${svg}`);
const missed = bench.rows.filter(r => r.met === false);
if (missed.length)
  console.log(
    `${missed.length} figures miss their target:\n${missed.map(r => `  ${r.group}: ${r.name}`).join('\n')}`,
  );
process.exit(0);
