/**
 * The sweep's small grid beside the table that is kept of it. Every byte once and in order, no window overrun, no frame
 * lost: checked in sweep.ts, for every cell. How fast a cell is hangs by single packets where there is loss (a tail that is
 * lost waits for a timeout), and any change of TCP moves the draws: so a few cells may differ from the table, not many.
 * `GOLDEN=update` writes it anew, for whoever changed TCP to look at.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { assert, suite } from '../../support/suite.js';
import { SMALL, table } from './sweep.js';

const test = suite('tcp: sweep');
const KEPT = new URL('table.md', import.meta.url);
const HEAD = `# TCP over a wire of 100 Mbit/s, ${SMALL.bytes} bytes

Mbit/s of the application's bytes, from SYN to the last FIN, and segments sent again. Buffer in packets, marks at half of it
(65 at most). Virtual time, one seed: \`GOLDEN=update\` writes it (sweep.test.ts).

`;
/** Share of cells that may differ. */
const FEW = 0.05;

/** Cells by wire: Mbit/s and segments sent again, a pair for each algorithm. */
function cells(text: string): Map<string, number[][]> {
  const rows = text.split('\n').flatMap(line => {
    const parts = line.split(' | ').map(p => p.replaceAll('|', '').trim());
    return /^\d/.test(parts[0]) ? [parts] : [];
  });
  return new Map(rows.map(p => [p.slice(0, 4).join(', '), p.slice(4).map(c => c.split(' ').map(Number))]));
}

/** By a quarter in speed, or a quarter and three segments sent again. */
const differs = ([mbits, resent]: number[], [mbits2, resent2]: number[]): boolean =>
  Math.max(mbits, mbits2) > 1.25 * Math.min(mbits, mbits2) ||
  Math.abs(resent - resent2) > 3 + Math.max(resent, resent2) / 4;

test(
  'every wire of the grid carries every byte once and in order with every algorithm, as fast as the table has it',
  async () => {
    const text = HEAD + (await table(SMALL));
    if (process.env.GOLDEN === 'update') {
      writeFileSync(KEPT, text);
      return;
    }
    const kept = cells(readFileSync(KEPT, 'utf8'));
    const seen = cells(text);
    assert.equal([...seen.keys()], [...kept.keys()], 'the same wires');
    const off = [...seen].flatMap(([wire, row]) =>
      row.flatMap((cell, i) => {
        const then = kept.get(wire)![i];
        return differs(cell, then) ? [`${wire}: ${then.join(' ')}, now ${cell.join(' ')}`] : [];
      }),
    );
    const all = [...seen.values()].flat().length;
    assert.is(all, 480);
    assert.ok(off.length <= FEW * all, `${off.length} of ${all} cells differ:\n${off.join('\n')}`);
  },
  { timeoutMs: 120_000 },
);
