/** Long fuzz runs: `tsx tests/fuzz/run.ts [NAME,…|all] [COUNT] [SEED] [FROM]`; one line per target. */
import { fuzz } from '../support/fuzz.js';
import { fuzzTargets } from './targets.js';

const [names = 'all', count = '1000000', seed = '1', from = '0'] = process.argv.slice(2);
const all = await fuzzTargets();
const asked = names === 'all' ? all : all.filter(t => names.split(',').includes(t.name));
if (!asked.length) {
  console.error(`no target ${names}; there are: ${all.map(t => t.name).join(' ')}`);
  process.exit(2);
}
let failed = 0;
for (const target of asked) {
  try {
    const r = await fuzz(target, { count: Number(count), seed: Number(seed), from: Number(from) });
    const codes = Object.entries(r.refused)
      .sort((a, b) => b[1] - a[1])
      .map(([code, n]) => `${code} ${n}`)
      .join(', ');
    console.log(
      `${r.name}: ${r.inputs} inputs in ${(r.ms / 1000).toFixed(1)} s, longest ${r.longestMs.toFixed(1)} ms; accepted ${r.accepted}; ${codes}`,
    );
  } catch (error) {
    failed++;
    console.error(error instanceof Error ? error.message : error);
  }
}
process.exit(failed ? 1 : 0);
