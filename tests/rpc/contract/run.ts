/** Many random lives: `tsx tests/rpc/contract/run.ts [SEEDS] [FROM] [OPERATIONS]`; one line each, and what failed at the end. */
import { live } from './driver.js';

const [seeds = '200', from = '1', operations = '600'] = process.argv.slice(2);
const failed: number[] = [];
for (let seed = Number(from); seed < Number(from) + Number(seeds); seed++) {
  const begun = Date.now();
  try {
    const { calls, ends, virtualMs, upgrades } = await live(seed, Number(operations));
    const how = Object.entries(ends).map(([code, n]) => `${code} ${n}`);
    const s = ((Date.now() - begun) / 1000).toFixed(1);
    console.log(
      `seed ${seed}: ${calls} calls: ${how.join(', ')}; ${upgrades} upgrades; ${virtualMs.toFixed(0)} ms in ${s} s`,
    );
  } catch (error) {
    console.log(`seed ${seed}: ${(error as Error).message}`);
    failed.push(seed);
  }
}
console.log(failed.length === 0 ? `${seeds} seeds, the contract holds` : `failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
