/** Slowdown by message length as the papers plot it: p50, p99 and p99.9 over the share of messages, one colour a transport. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { BinResult } from '../../host/apps/workloads/slowdown.js';

export interface Curve {
  /** `homa`, `tcp (dctcp)` … */
  name: string;
  results: readonly BinResult[];
}

const COLOURS = ['#2f6f9f', '#c9a227', '#8a3f5d', '#4d8a4a'];
const LINES = [
  ['p50', 'dotted'],
  ['p99', 'solid'],
  ['p999', 'dashed'],
] as const;

const bytes = (n: number): string =>
  n < 1000
    ? `${n}`
    : n < 1e6
      ? `${Number((n / 1e3).toPrecision(3))}k`
      : `${Number((n / 1e6).toPrecision(3))}M`;

/** Draws the curves of one workload. All must have the same bins, some may lack messages. */
export async function slowdownChart(title: string, curves: readonly Curve[]): Promise<string> {
  const echarts = await import('echarts');
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 900, height: 460 });
  const ends = [...new Set(curves.flatMap(c => c.results.map(r => r.to)))].sort((a, b) => a - b);
  chart.setOption({
    animation: false,
    title: { text: title, left: 10, textStyle: { fontSize: 14 } },
    legend: { right: 10, top: 26, itemWidth: 34 },
    grid: { left: 60, right: 30, top: 70, bottom: 55 },
    xAxis: {
      type: 'category' as const,
      name: 'message length up to, bytes (each step as many messages)',
      nameLocation: 'middle' as const,
      nameGap: 30,
      data: ends.map(bytes),
    },
    yAxis: { type: 'log' as const, name: 'slowdown', min: 1 },
    series: curves.flatMap((curve, i) =>
      LINES.map(([key, type]) => ({
        name: `${curve.name} ${key.replace('p999', 'p99.9')}`,
        type: 'line' as const,
        connectNulls: false,
        symbolSize: 5,
        itemStyle: { color: COLOURS[i % COLOURS.length] },
        lineStyle: { type, width: 2 },
        data: ends.map(to => {
          const bin = curve.results.find(r => r.to === to);
          return bin ? Number(bin[key].toPrecision(4)) : null;
        }),
      })),
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

/** Writes it to a file. */
export async function writeSlowdownChart(
  path: string,
  title: string,
  curves: readonly Curve[],
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, await slowdownChart(title, curves));
}
