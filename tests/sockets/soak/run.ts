/**
 * npm run test:soak-sockets [-- --minutes N] [--seed N]: HTTP, WebSocket, key-value and datagram load on sockets of the engine
 * and inside of its lanes, while packets are lost and lanes are killed; with root against clients of the kernel as well
 * (world.ts). No error that the peer did not cause, memory flat, frames conserved. A line a minute, then what is wrong.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { missing } from '../../tcp/interop/missing.js';
import { flat } from './flat.js';
import { type Sample, SoakWorld } from './world.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes ${values.minutes}: expected a number above 0`);
  process.exit(2);
}
// Exit runs what removes namespaces.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const ENDS = [
  ['cut', 'cut'],
  ['givenUp', 'given up'],
  ['unreached', 'unreached'],
  ['aborted', 'aborted with their lane'],
  ['lost', 'lost'],
] as const;

const line = (s: Sample): string => {
  const loads = Object.entries(s.loads).map(([name, load]) => {
    const moved = `${load.answers} in ${(load.bytes / 1e6).toFixed(0)} MB`;
    const ends = ENDS.filter(([key]) => load[key] > 0).map(([key, what]) => `, ${load[key]} ${what}`);
    return `${name} ${moved}${ends.join('')}`;
  });
  const stood = s.stoodMs > 0 ? `, stood still for ${(s.stoodMs / 1000).toFixed(0)} s` : '';
  return (
    `${loads.join(' · ')} · ${s.kills} kills, longest away ${s.longestMs.toFixed(0)} ms${stood}, ` +
    `${s.mended} flows mended, ${s.again} segments sent again · ` +
    `heap ${(s.heapBytes / 1e6).toFixed(1)} MB, resident ${(s.residentBytes / 1e6).toFixed(0)} MB, ${s.openFiles} files`
  );
};

if (missing) console.log(`without clients of the kernel: ${missing}`);
const seed = Number(values.seed);
const world = await SoakWorld.open({ seed, killMs: 5000, loss: 0.002, kernel: missing === undefined });
const samples: Sample[] = [];
const from = performance.now();
const end = from + minutes * 60_000;
while (performance.now() < end) {
  await sleep(Math.min(60_000, end - performance.now()));
  const sample = world.sample();
  samples.push(sample);
  console.log(`${((performance.now() - from) / 60_000).toFixed(1)} min: ${line(sample)}`);
  if (sample.faults.length > 0) break;
}
const last = await world.close();
console.log(`all: ${line(last)}`);
const memory = flat(samples);
console.log(memory.said);
const faults = [...new Set([...last.faults, ...memory.faults])];
for (const fault of faults) console.log(`  wrong: ${fault}`);
console.log(faults.length ? `${faults.length} faults` : 'no fault');
process.exit(faults.length ? 1 : 0);
