/**
 * The sweep's small grid beside the table that is kept of it. Every byte once and in order, no window overrun, no frame
 * lost: checked in sweep.ts, for every cell. A change of how TCP sends changes figures: `GOLDEN=update` writes the table
 * anew, for whoever changed it to look at.
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

test(
  'every wire of the grid carries every byte once and in order with every algorithm, as fast as it did',
  async () => {
    const text = HEAD + (await table(SMALL));
    if (process.env.GOLDEN === 'update') {
      writeFileSync(KEPT, text);
      return;
    }
    const [now, then] = [text, readFileSync(KEPT, 'utf8')].map(t => t.split('\n'));
    const differ = now.flatMap((line, i) => (line === then[i] ? [] : [`${then[i]}\n${line}`]));
    assert.equal(differ, [], 'lines that differ: kept, and now');
  },
  { timeoutMs: 120_000 },
);
