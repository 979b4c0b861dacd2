/** Many random networks: `tsx tests/homa/soak/run.ts [SEEDS] [FROM]`; one line each, and what failed at the end. */
import { soak } from './seed.js';

const [seeds = '300', from = '1'] = process.argv.slice(2);
const failed: string[] = [];
for (let seed = Number(from); seed < Number(from) + Number(seeds); seed++) {
  const begun = performance.now();
  try {
    const { calls, answered, failed, virtualMs } = await soak(seed);
    const s = ((performance.now() - begun) / 1000).toFixed(1);
    console.log(
      `seed ${seed}: ${answered} of ${calls} calls, ${virtualMs.toFixed(1)} ms in ${s} s ${failed.join(' ')}`,
    );
  } catch (error) {
    console.log((error as Error).stack);
    failed.push(`seed ${seed}`);
  }
}
console.log(failed.length === 0 ? `${seeds} seeds, every call ended` : `failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
