/** A drawing of slowdowns by message length: p50 dotted, p99 solid, p99.9 dashed, a colour a file. */
import type { BinResult } from '../workloads/slowdown.js';

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [900, 460, 70, 40, 20, 60];
const COLOURS = ['#2f6f9f', '#c9a227', '#8a3f5d', '#4d8a4a'];
const LINES = [
  ['p50', '2 4'],
  ['p99', ''],
  ['p999', '8 4'],
] as const;

const escaped = (text: string): string => text.replace(/[<>&"]/g, c => `&#${c.charCodeAt(0)};`);

export function slowdownSvg(curves: readonly { name: string; results: readonly BinResult[] }[]): string {
  const values = curves.flatMap(c => c.results.flatMap(r => [r.p50, r.p999]));
  const low = Math.floor(Math.log10(Math.min(1, ...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ends = [...new Set(curves.flatMap(c => c.results.map(r => r.to)))].sort((a, b) => a - b);
  const x = (to: number): number => LEFT + ((ends.indexOf(to) + 0.5) / ends.length) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    TOP + ((high - Math.log10(value)) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const out: string[] = [];
  const text = (at: [number, number], said: string, anchor = 'middle', fill = '#333'): void => {
    out.push(
      `<text x="${at[0]}" y="${at[1]}" text-anchor="${anchor}" fill="${fill}">${escaped(said)}</text>`,
    );
  };
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    out.push(`<path d="M${LEFT} ${at}H${WIDTH - RIGHT}" stroke="#ddd"/>`);
    text([LEFT - 8, at + 4], String(10 ** power), 'end');
  }
  for (const to of ends) text([x(to), HEIGHT - BOTTOM + 18], String(to));
  text([WIDTH / 2, HEIGHT - 14], 'message length up to, bytes (each step as many messages)');
  text([LEFT, TOP - 24], 'slowdown: p50 dotted, p99 solid, p99.9 dashed', 'start');
  for (const [i, { name, results }] of curves.entries()) {
    const colour = COLOURS[i % COLOURS.length];
    text([WIDTH - RIGHT, TOP - 24 + 14 * i], name, 'end', colour);
    for (const [key, dash] of LINES) {
      const points = results.map(r => `${x(r.to).toFixed(1)},${y(r[key]).toFixed(1)}`).join(' ');
      out.push(
        `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"/>`,
      );
    }
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/>${out.join('')}</svg>\n`
  );
}
