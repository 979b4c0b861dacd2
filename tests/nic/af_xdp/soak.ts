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

/** What is thrown in a life is a fault of it: the next one may show whether it was chance. */
async function survived<T>(begin: () => Promise<T>, faults: string[]): Promise<T | undefined> {
  try {
    return await begin();
  } catch (error) {
    faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return undefined;
  }
}

const end = performance.now() + Number(values.minutes) * 60_000;
const log = new KernelLog();
if (log.missing) console.log(`warnings of the kernel are not looked for: ${log.missing}`);
const lives: Life[] = [];
const first = Number(values.seed);
let bad = 0;
for (let seed = first; seed === first || performance.now() < end; seed++) {
  const found: string[] = [];
  const forwarder = await survived(() => forwarderLife(seed, RESUMES_MS), found);
  const life = await survived(() => live(seed, RESUMES_MS), found);
  if (life) lives.push(life);
  found.push(...(life?.faults ?? []), ...(forwarder?.faults ?? []), ...log.warnings());
  const ofLife = life
    ? `${life.blows.length} blows, ${life.answers} answers, ${slowest(life.blows)}, ` +
      `memory ${(life.residentBytes / 1e6).toFixed(0)} MB, ${life.openFiles} files`
    : 'broken off';
  const ofForwarder = forwarder
    ? `${forwarder.blows.length} blows, ${forwarder.whole} transfers whole, ${slowest(forwarder.blows)}`
    : 'broken off';
  console.log(`${found.length ? 'BAD' : 'ok '} life ${seed}: ${ofLife}; forwarder: ${ofForwarder}`);
  for (const f of new Set(found)) console.log(`    ${f}`);
  bad += found.length;
  if (bad > 20) break;
}

if (lives.length > WARM) {
  const [warm, last] = [lives[WARM - 1], lives[lives.length - 1]];
  const grown = last.residentBytes - warm.residentBytes;
  const files = last.openFiles - warm.openFiles;
  console.log(
    `since life ${WARM}: memory ${grown < 0 ? '' : '+'}${(grown / 1e6).toFixed(1)} MB, ${files} more files open`,
  );
  if (grown > LIMIT || files > 0) bad++;
} else console.log('too short to judge memory');
console.log(bad ? `${bad} faults` : 'no fault');
process.exit(bad ? 1 : 0);
