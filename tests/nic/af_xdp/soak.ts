/**
 * npm run test:soak-nic [-- --minutes N] [--seed N]: lives of engines on AF_XDP for an hour (lives.ts), and of forwarders
 * in turn (tests/forward/lives.ts). Traffic resumes within a second after every blow, transfers come through whole, frames
 * are conserved, memory and open files stay flat, the kernel warns of nothing.
 */
import { parseArgs } from 'node:util';
import { forwarderLife } from '../../forward/lives.js';
import { KernelLog } from './kernel_log.js';
import { type Blow, type Life, live } from './lives.js';
import { missing } from './rig.js';

/** From the end of a blow to the first answer. */
const RESUMES_MS = 1000;
/** Growth above this is a leak, bytes. */
const LIMIT = 16 << 20;
/** Lives until caches and pools are what they will be. */
const WARM = 3;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
if (missing) {
  console.error(`the soak cannot run here: ${missing}`);
  process.exit(2);
}
// Exit runs what removes namespaces.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

function slowest(blows: readonly Blow[]): string {
  const worst = blows.reduce((a, b) => ((b.resumedMs ?? 1e9) > (a.resumedMs ?? 1e9) ? b : a));
  return `slowest back ${worst.resumedMs?.toFixed(0) ?? '–'} ms (${worst.name})`;
}

const end = performance.now() + Number(values.minutes) * 60_000;
const log = new KernelLog();
if (log.missing) console.log(`warnings of the kernel are not looked for: ${log.missing}`);
const lives: Life[] = [];
const faults: string[] = [];
for (let seed = Number(values.seed); performance.now() < end || !lives.length; seed++) {
  const forwarder = await forwarderLife(seed, RESUMES_MS);
  const life = await live(seed, RESUMES_MS);
  lives.push(life);
  const found = [...life.faults, ...forwarder.faults];
  faults.push(...found.map(f => `life ${seed}: ${f}`), ...log.warnings());
  console.log(
    `${found.length ? 'BAD' : 'ok '} life ${seed}: ${life.blows.length} blows, ${life.answers} answers, ` +
      `${slowest(life.blows)}, memory ${(life.residentBytes / 1e6).toFixed(0)} MB, ${life.openFiles} files; ` +
      `forwarder: ${forwarder.blows.length} blows, ${forwarder.whole} transfers whole, ${slowest(forwarder.blows)}`,
  );
  if (faults.length > 20) break;
}

if (lives.length > WARM) {
  const [first, last] = [lives[WARM - 1], lives[lives.length - 1]];
  const grown = last.residentBytes - first.residentBytes;
  console.log(`memory ${grown < 0 ? '' : '+'}${(grown / 1e6).toFixed(1)} MB since life ${WARM}`);
  if (grown > LIMIT) faults.push(`memory grew by ${(grown / 1e6).toFixed(1)} MB`);
  if (last.openFiles > first.openFiles) faults.push(`${last.openFiles - first.openFiles} more files open`);
} else console.log('too short to judge memory');
for (const f of new Set(faults)) console.log(f);
process.exit(faults.length ? 1 : 0);
