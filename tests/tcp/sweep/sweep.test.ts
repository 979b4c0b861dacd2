/**
 * The sweep's small grid beside the table that is kept of it, digit by digit: time is virtual and draws are seeded, so it
 * is the same on every machine. Every byte once and in order, no window overrun, no frame lost: checked in sweep.ts, for
 * every cell. Any change of what TCP sends moves the draws, and with them cells with loss (a tail that is lost waits for a
 * timeout): whoever changed TCP looks at what became faster and slower, and writes the table anew with `GOLDEN=update`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { assert, suite } from '../../support/suite.js';
import { ALGORITHMS, SMALL, table } from './sweep.js';

const test = suite('tcp: sweep');
const KEPT = new URL('table.md', import.meta.url);
const HEAD = `# TCP over a wire of 100 Mbit/s, ${SMALL.bytes} bytes

Mbit/s of the application's bytes, from SYN to the last FIN, and segments sent again. Buffer in packets, marks at half of it
(65 at most). Virtual time, one seed: \`GOLDEN=update\` writes it (sweep.test.ts).

`;
/** Cells by wire: Mbit/s and segments sent again, a pair for each algorithm. */
function cells(text: string): Map<string, number[][]> {
  const rows = text.split('\n').flatMap(line => {
    const parts = line.split(' | ').map(p => p.replaceAll('|', '').trim());
    return /^\d/.test(parts[0]) ? [parts] : [];
  });
  return new Map(rows.map(p => [p.slice(0, 4).join(', '), p.slice(4).map(c => c.split(' ').map(Number))]));
}

/** Cells that are not what they were, and how much goes faster or slower all in all. */
function difference(kept: Map<string, number[][]>, seen: Map<string, number[][]>): string {
  const off: string[] = [];
  const speed = Array.from(ALGORITHMS, () => 0);
  for (const [wire, row] of seen)
    for (const [i, [mbits, resent]] of row.entries()) {
      const [mbits2, resent2] = kept.get(wire)![i];
      speed[i] += Math.log(mbits / mbits2) / seen.size;
      if (mbits !== mbits2 || resent !== resent2)
        off.push(`${ALGORITHMS[i]}, ${wire}: ${mbits2} Mbit/s ${resent2} sent again, now ${mbits} ${resent}`);
    }
  const change = ALGORITHMS.map((name, i) => `${name} × ${Math.exp(speed[i]).toFixed(3)}`).join(', ');
  return `${off.length} cells are not as table.md has them; speeds, geometric mean: ${change}\n${off.join('\n')}`;
}

test(
  'every wire of the grid carries every byte once and in order with every algorithm, exactly as fast as the table has it',
  async () => {
    const text = HEAD + (await table(SMALL));
    if (process.env.GOLDEN === 'update') {
      writeFileSync(KEPT, text);
      return;
    }
    const was = readFileSync(KEPT, 'utf8');
    const kept = cells(was);
    const seen = cells(text);
    assert.equal([...seen.keys()], [...kept.keys()], 'the same wires');
    assert.is([...seen.values()].flat().length, 480);
    if (text !== was) assert.unreachable(difference(kept, seen));
  },
  { timeoutMs: 120_000 },
);
