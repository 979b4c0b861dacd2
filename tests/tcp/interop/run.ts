/**
 * npm run test:interop [-- --scale N] [WORD …]: our TCP against the kernel's, the whole matrix as a table.
 * Words choose rows that have all of them: `npm run test:interop -- TUN loss`.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Body } from './body.js';
import { matrix, transferName, wireName } from './matrix.js';
import { missing } from './missing.js';
import { Session } from './session.js';

const { values, positionals } = parseArgs({
  options: { scale: { type: 'string', default: '1' }, verbose: { type: 'boolean', default: false } },
  allowPositionals: true,
});
if (missing) {
  console.error(`this cannot run here: ${missing}`);
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const rows = matrix(Number(values.scale)).filter(({ wire, transfer }) =>
  positionals.every(word => `${wireName(wire)}, ${transferName(transfer)}`.includes(word)),
);
const body = new Body(Math.max(1, ...rows.flatMap(r => [r.transfer.forth, r.transfer.back])));
const head = [
  'wire',
  'peer, the kernel is',
  'MB forth',
  'back',
  's',
  'Mbit/s',
  'lost',
  'marked',
  'resent: we',
  'kernel',
  'challenges',
  '',
];
const table = new Table({ head, style: { head: [], border: [] } });
let failed = 0;
let session: Session | undefined;
let open = '';
const mb = (bytes: number): string => (bytes < 1000 ? '' : (bytes / 1e6).toFixed(1));
try {
  for (const { wire, transfer } of rows) {
    const name = wireName(wire);
    if (open !== name) {
      await session?.close();
      session = undefined;
      session = await Session.open(wire, body);
      open = name;
    }
    const r = await session!.transfer(transfer);
    const verdict = r.faults.length ? `✗ ${r.faults.join('; ')}` : '✓';
    if (r.faults.length) failed++;
    const line = [
      name,
      transferName(transfer),
      mb(transfer.forth),
      mb(transfer.back),
      (r.ms / 1000).toFixed(1),
    ];
    const more = [r.mbitPerS.toFixed(0), r.lost, r.marked, r.ours, r.kernels, r.challenges];
    table.push([...line, ...more, r.faults.length ? '✗' : '✓']);
    console.log([...line, ...more, verdict].join(' │ '));
    // A connection that hangs is the next one's trouble, too.
    if (r.faults.length) open = '';
  }
} finally {
  await session?.close().catch(error => console.error(error));
  body.close();
}
console.log(table.toString());
console.log(`${rows.length - failed} of ${rows.length} passed`);
process.exit(failed ? 1 : 0);
