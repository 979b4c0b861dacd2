/**
 * Bars of ours beside their peers', an SVG chart a file: a field for each group and unit. Where the same peers stand beside
 * several of ours, each has one bar; where every row has a peer of its own, its bar is below ours.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Row } from './bench.js';

const WIDTH = 1100;
const OURS = '#2f6f9f';
const PEER = '#c9a227';
const MISSED = '#b3402e';
const BAR_HEIGHT = 24;
const HEAD_HEIGHT = 34;
const FOOT_HEIGHT = 44;
/** Of the names of bars. */
const LEFT = 400;

interface Bar {
  name: string;
  value: number;
  colour: string;
  label: string;
}

const text = (n: number): string => String(Number(n.toPrecision(4)));

function label({ value, peer, ratio, target, met }: Row): string {
  const beside = peer && ratio !== undefined ? `${text(ratio)} ×` : '';
  const asked = target ? `${target}: ${met ? 'met' : 'missed'}` : '';
  return [text(value), [beside, asked].filter(Boolean).join(', ')].filter(Boolean).join('   ');
}

/** From the top down. */
function barsOf(rows: readonly Row[]): Bar[] {
  const values = new Map<string, Set<number>>();
  for (const { peer } of rows)
    if (peer) values.set(peer.name, (values.get(peer.name) ?? new Set()).add(peer.value));
  // A peer that is another in each row is part of that row.
  const isShared = (name: string): boolean => values.get(name)!.size === 1;
  const bars: Bar[] = [];
  const peers: Bar[] = [];
  for (const row of rows) {
    const { name, value, peer, met } = row;
    if (!bars.some(bar => bar.name === name && bar.value === value) || !peer || !isShared(peer.name))
      bars.push({ name, value, colour: met === false ? MISSED : OURS, label: label(row) });
    if (!peer) continue;
    const bar = { name: peer.name, value: peer.value, colour: PEER, label: text(peer.value) };
    if (!isShared(peer.name)) bars.push(bar);
    else if (!peers.some(p => p.name === peer.name)) peers.push(bar);
  }
  return [...bars, ...peers];
}

export async function writeChart(path: string, rows: readonly Row[]): Promise<void> {
  const echarts = await import('echarts');
  const titleOf = (r: Row): string => `${r.group} [${r.unit}]`;
  const fields = [...new Set(rows.map(titleOf))].map(title => ({
    title,
    bars: barsOf(rows.filter(r => titleOf(r) === title)),
  }));
  const heights = fields.map(({ bars }) => HEAD_HEIGHT + bars.length * BAR_HEIGHT + FOOT_HEIGHT);
  const tops = heights.map((_, i) => 10 + heights.slice(0, i).reduce((a, b) => a + b, 0));
  const chart = echarts.init(null, null, {
    ...{ renderer: 'svg', ssr: true, width: WIDTH },
    height: 10 + heights.reduce((a, b) => a + b, 0),
  });
  chart.setOption({
    animation: false,
    title: fields.map(({ title }, i) => ({
      text: title,
      left: 10,
      top: tops[i],
      textStyle: { fontSize: 14 },
    })),
    grid: fields.map(({ bars }, i) => ({
      ...{ left: LEFT, right: 190, top: tops[i] + HEAD_HEIGHT, height: bars.length * BAR_HEIGHT },
    })),
    yAxis: fields.map(({ bars }, i) => ({
      ...{ gridIndex: i, type: 'category' as const, inverse: true, data: bars.map(({ name }) => name) },
      axisLabel: { width: LEFT - 20, overflow: 'truncate' as const, fontSize: 11, interval: 0 },
    })),
    xAxis: fields.map((_, i) => ({ gridIndex: i, type: 'value' as const, axisLabel: { fontSize: 10 } })),
    series: fields.map(({ bars }, i) => ({
      ...{ type: 'bar' as const, xAxisIndex: i, yAxisIndex: i, barWidth: BAR_HEIGHT - 8 },
      data: bars.map(({ value, colour, label }) => ({
        ...{ value, itemStyle: { color: colour } },
        label: { show: true, position: 'right' as const, fontSize: 11, formatter: () => label },
      })),
    })),
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, chart.renderToSVGString());
  chart.dispose();
}
