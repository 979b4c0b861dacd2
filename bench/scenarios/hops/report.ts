/** What bench:hops leaves: tables for people, a CSV of every sample, and plots like the report's figures 8 to 14. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import type { Figure } from './figures.js';
import type { Cell, Cells, Sample } from './samples.js';

const PLAIN = { style: { head: [], border: [], compact: true } };

/** Tables of the exact client, by number of clients and hops, then those of siege. */
export function tables(cells: Cells): string {
  const out: string[] = [];
  for (const clients of cells.values('clients')) {
    for (const hops of hopsOf(cells)) out.push(hopTable(cells, clients, hops));
    if (cells.where({ client: 'siege', clients }).length) out.push(siegeTable(cells, clients));
  }
  return out.join('\n\n');
}

/** Hop counts of peers that have forwarders; direct alone when there are none. */
const hopsOf = (cells: Cells): number[] => {
  const all = cells.values('hops').sort((a, b) => a - b);
  return all.length > 1 ? all.filter(h => h > 1) : all;
};

const bytesOf = (cells: Cells): number[] => cells.values('bytes').sort((a, b) => a - b);

/** A peer's cell at so many hops; the direct one has always 1. */
function at(
  cells: Cells,
  key: { peer: string; hops: number; bytes: number; clients: number; client: Cell['client'] },
): Cell | undefined {
  return cells.get(key) ?? (key.peer === 'direct' ? cells.get({ ...key, hops: 1 }) : undefined);
}

function hopTable(cells: Cells, clients: number, hops: number): string {
  const peers = cells.values('peer');
  const ratios = peers.includes('etherloom') ? peers.filter(p => p === 'socat' || p === 'kernel') : [];
  const table = new Table({
    head: ['body B', ...peers, ...ratios.map(p => `/ ${p}`)],
    colAligns: ['right', ...peers.map(() => 'right' as const), ...ratios.map(() => 'right' as const)],
    ...PLAIN,
  });
  for (const bytes of bytesOf(cells)) {
    const cell = (peer: string): Cell | undefined =>
      at(cells, { peer, hops, bytes, clients, client: 'client' });
    const ratio = (peer: string): string => {
      const [ours, theirs] = [cell('etherloom'), cell(peer)];
      return ours && theirs ? (ours.msPer100 / theirs.msPer100).toFixed(2) : '';
    };
    table.push([bytes, ...peers.map(p => text(cell(p))), ...ratios.map(ratio)]);
  }
  const n = hops - 1;
  return (
    `${hops} hops (${n} forwarder${n === 1 ? '' : 's'}), ${clients} client${clients === 1 ? '' : 's'}: ` +
    `ms per 100 requests (least) · µs per request p50 / p90 / p99\n${table}`
  );
}

const us = (v: number | undefined): string => (v === undefined ? '–' : v.toFixed(0));

function text(c: Cell | undefined): string {
  if (!c) return '';
  const lost = c.ok < c.requests ? ` ✗${c.requests - c.ok}` : '';
  return `${c.msPer100.toFixed(1)} · ${us(c.p50Us)} / ${us(c.p90Us)} / ${us(c.p99Us)}${lost}`;
}

function siegeTable(cells: Cells, clients: number): string {
  const hops = hopsOf(cells);
  const columns = cells
    .values('peer')
    .flatMap(peer => (peer === 'direct' ? [{ peer, hops: 1 }] : hops.map(h => ({ peer, hops: h }))));
  const table = new Table({
    head: ['body B', ...columns.map(c => `${c.peer} ${c.hops}`)],
    colAligns: ['right', ...columns.map(() => 'right' as const)],
    ...PLAIN,
  });
  for (const bytes of bytesOf(cells))
    table.push([
      bytes,
      ...columns.map(c => {
        const cell = cells.get({ ...c, bytes, clients, client: 'siege' });
        return cell ? (cell.msPer100 / 1e3).toFixed(3) : '';
      }),
    ]);
  return `siege -c ${clients} -r 100: s per 100 requests (least; its clock has 0.01 s per run), by peer and hops\n${table}`;
}

export function figureTable(figures: readonly Figure[]): string {
  const table = new Table({ head: ['figure', 'found', 'target', ''], ...PLAIN });
  for (const f of figures)
    table.push([f.name, f.found, f.target, f.met === undefined ? '' : f.met ? 'met' : 'MISSED']);
  return table.toString();
}

/** Every sample, a line each. */
export function csv(samples: readonly Sample[]): string {
  const head =
    'peer,hops,bytes,clients,client,repetition,requests,ok,ms_per_100,p50_us,p90_us,p99_us,max_us,' +
    'resets,csum_errors,syn_retrans,retrans,challenges';
  const rows = samples.map(({ outcome: o, counters: c, ...s }) =>
    [s.peer, s.hops, s.bytes, s.clients, s.client, s.repetition, o.requests, o.ok, o.msPer100.toFixed(3)]
      .concat([o.p50Us, o.p90Us, o.p99Us, o.maxUs].map(v => v?.toFixed(1) ?? ''))
      .concat([c.resets, c.csumErrors, c.synRetrans, c.retrans, c.challenges])
      .join(','),
  );
  return `${[head, ...rows].join('\n')}\n`;
}

interface Line {
  name: string;
  colour: string;
  dashed?: boolean;
  /** µs per body size. */
  values: (number | null)[];
}

const COLOURS: Record<string, string> = {
  direct: '#7f7f7f',
  socat: '#c9a227',
  etherloom: '#2f6f9f',
  kernel: '#5a9e4b',
};
const SHADES = ['#9ecae1', '#4292c6', '#2171b5', '#08306b', '#041a3a'];

/** One plot per number of hops with all peers, then one per peer with all numbers of hops. Returns the files written. */
export async function plots(folder: string, cells: Cells): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const written: string[] = [];
  const bytes = bytesOf(cells);
  const series = (key: Pick<Cell, 'peer' | 'hops' | 'clients'>, p: 'p50Us' | 'p99Us'): (number | null)[] =>
    bytes.map(b => at(cells, { ...key, bytes: b, client: 'client' })?.[p] ?? null);
  const put = async (name: string, title: string, lines: Line[]): Promise<void> => {
    const file = join(folder, `${name}.svg`);
    writeFileSync(file, await plot(title, bytes, lines));
    written.push(file);
  };
  for (const clients of cells.values('clients')) {
    const who = `${clients} client${clients === 1 ? '' : 's'}`;
    for (const hops of hopsOf(cells))
      await put(
        `${clients}c-${hops}-hops`,
        `${hops} hops, ${who}: time of a request, p50 and p99 (dashed)`,
        cells.values('peer').flatMap(peer => [
          { name: peer, colour: COLOURS[peer], values: series({ peer, hops, clients }, 'p50Us') },
          {
            name: `${peer} p99`,
            colour: COLOURS[peer],
            dashed: true,
            values: series({ peer, hops, clients }, 'p99Us'),
          },
        ]),
      );
    for (const peer of cells.values('peer').filter(p => p !== 'direct'))
      await put(
        `${clients}c-${peer}`,
        `${peer}, ${who}: time of a request by hops, p50`,
        [1, ...hopsOf(cells).filter(h => h > 1)].map((hops, i) => ({
          name: hops === 1 ? 'direct' : `${hops} hops`,
          colour: hops === 1 ? COLOURS.direct : SHADES[i - 1],
          values: series({ peer: hops === 1 ? 'direct' : peer, hops, clients }, 'p50Us'),
        })),
      );
  }
  return written;
}

async function plot(title: string, bytes: readonly number[], lines: readonly Line[]): Promise<string> {
  const echarts = await import('echarts');
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 900, height: 480 });
  chart.setOption({
    animation: false,
    title: { text: title, left: 10, textStyle: { fontSize: 15 } },
    legend: { top: 30, data: lines.filter(l => !l.dashed).map(l => l.name) },
    grid: { left: 80, right: 30, top: 70, bottom: 50 },
    xAxis: {
      type: 'category',
      name: 'body, B',
      nameLocation: 'middle',
      nameGap: 30,
      data: bytes.map(String),
    },
    yAxis: { type: 'log', name: 'µs per request' },
    series: lines.map(l => ({
      name: l.name,
      type: 'line' as const,
      symbolSize: l.dashed ? 0 : 6,
      itemStyle: { color: l.colour },
      lineStyle: {
        color: l.colour,
        width: l.dashed ? 1 : 2,
        type: l.dashed ? ('dashed' as const) : ('solid' as const),
      },
      data: l.values.map(v => (v === null ? null : Number(v.toPrecision(4)))),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
