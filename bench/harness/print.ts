/** The one printer: a text table for people, JSON for machines, an SVG chart for reports. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { dirname } from 'node:path';
import Table from 'cli-table3';
import type { Row } from './bench.js';

/** What every figure depends on, in one line. */
export function conditions(): string {
  const load = loadavg()[0].toFixed(1);
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'} × ${cpus().length}, Linux ${release()}, Node ${process.version}, load ${load} at start`;
}

const digits = (n: number): string =>
  n >= 1e6 ? n.toExponential(2) : n >= 1000 ? n.toFixed(0) : n >= 100 ? n.toFixed(1) : n.toFixed(2);

export function printTable(rows: readonly Row[]): string {
  const out: string[] = [];
  for (const group of [...new Set(rows.map(r => r.group))]) {
    const table = new Table({
      head: ['measure', 'conditions', 'etherloom', '±', 'peer', 'ratio', 'target', ''],
      colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'left', 'left'],
      style: { head: [], border: [], compact: true },
    });
    for (const r of rows.filter(x => x.group === group))
      table.push([
        r.name,
        r.conditions,
        `${digits(r.value)} ${r.unit}`,
        r.rme === undefined ? '' : `${r.rme.toFixed(1)} %`,
        r.peer ? `${r.peer.name} ${digits(r.peer.value)}` : '',
        r.ratio === undefined ? '' : r.ratio.toFixed(2),
        r.target ?? '',
        r.met === undefined ? '' : r.met ? 'met' : 'MISSED',
      ]);
    out.push(`${group}\n${table.toString()}`);
  }
  return out.join('\n\n');
}

/** @param at what conditions() said when the run began */
export function writeJson(path: string, rows: readonly Row[], started: string, at: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ started, conditions: at, rows }, null, 2)}\n`);
}

/** Bars of ours beside the peer's, one chart a file; rows without a peer show one bar. */
export async function writeChart(path: string, rows: readonly Row[]): Promise<void> {
  const echarts = await import('echarts');
  const groups = [...new Set(rows.map(r => r.group))];
  const width = 1000;
  const heights = groups.map(g => 90 + rows.filter(r => r.group === g).length * 34);
  const chart = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width,
    height: heights.reduce((a, b) => a + b, 0),
  });
  const tops = heights.map((_, i) => heights.slice(0, i).reduce((a, b) => a + b, 0));
  const of = (g: string): Row[] => rows.filter(r => r.group === g).reverse();
  chart.setOption({
    animation: false,
    legend: { data: ['etherloom', 'peer'], right: 10, top: 0 },
    title: groups.map((g, i) => ({ text: g, left: 10, top: tops[i], textStyle: { fontSize: 14 } })),
    grid: groups.map((_, i) => ({ left: 330, right: 60, top: tops[i] + 30, height: heights[i] - 70 })),
    yAxis: groups.map((g, i) => ({
      gridIndex: i,
      type: 'category' as const,
      data: of(g).map(r => `${r.name} [${r.unit}]`),
    })),
    xAxis: groups.map((_, i) => ({ gridIndex: i, type: 'value' as const })),
    series: groups.flatMap((g, i) => [
      {
        name: 'etherloom',
        type: 'bar' as const,
        xAxisIndex: i,
        yAxisIndex: i,
        itemStyle: { color: '#2f6f9f' },
        data: of(g).map(r => Number(r.value.toPrecision(4))),
        label: { show: true, position: 'right' as const },
      },
      {
        name: 'peer',
        type: 'bar' as const,
        xAxisIndex: i,
        yAxisIndex: i,
        itemStyle: { color: '#c9a227' },
        data: of(g).map(r => (r.peer ? Number(r.peer.value.toPrecision(4)) : null)),
      },
    ]),
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, chart.renderToSVGString());
  chart.dispose();
}
