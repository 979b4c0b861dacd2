/**
 * Plays scripts against the kernel from the command line.
 *   tsx tests/conformance/tcp/run.ts [--trace] [WORD …]     scripts whose topic or claim has one of the words
 */
import { missingOracle } from './linux/available.js';
import { playOnLinux } from './linux/pool.js';
import { allScripts } from './scripts/index.js';

if (missingOracle !== undefined) {
  console.log(missingOracle);
  process.exit(1);
}
const words = process.argv.slice(2).filter(w => !w.startsWith('--'));
const trace = process.argv.includes('--trace');
const chosen = allScripts().filter(
  s => words.length === 0 || words.some(w => `${s.topic}: ${s.claim}`.includes(w)),
);
let failed = 0;
await playOnLinux(chosen, ({ script, verdict, earlier, ms, failure, transcript }) => {
  if (verdict !== undefined) {
    failed++;
    console.log(`\n✗ ${verdict}\n`);
    return;
  }
  const notes = [
    script.options.linux ? ', differs' : '',
    earlier.length ? `, at play ${earlier.length + 1}` : '',
  ].join('');
  console.log(`✓ ${(ms / 1000).toFixed(1).padStart(5)} s  ${script.topic}: ${script.claim}${notes}`);
  if (trace) console.log([...earlier, failure ?? transcript.join('\n'), ''].join('\n'));
});
console.log(`${chosen.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
