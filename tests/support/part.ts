/** Runs the test files named on the command line in this process and reports the outcome to the parent. */
import { pathToFileURL } from 'node:url';

const scope = globalThis as { UVU_DEFER?: number; UVU_QUEUE?: unknown[]; UVU_INDEX?: number };
scope.UVU_DEFER = 1;
scope.UVU_QUEUE = [];
// Loaded only now: uvu reads UVU_DEFER once, when it is loaded; unset, it would start a run after every file.
const { exec } = await import('uvu');
const { flush, outcome } = await import('./suite.js');
let registered = 0;

const files = process.argv.slice(2);
for (const [index, file] of files.entries()) {
  scope.UVU_INDEX = index;
  scope.UVU_QUEUE.push([file]);
  try {
    await import(pathToFileURL(file).href);
    const tests = flush();
    if (tests === 0) throw new Error('registers no test');
    registered += tests;
  } catch (error) {
    console.error(`${file}:`, error);
    outcome.failed++;
    outcome.failures.push(file);
  }
}
await exec();
const ran = outcome.passed + outcome.failed + outcome.skipped;
if (ran < registered) {
  outcome.failed++;
  outcome.failures.push(`${registered - ran} of ${registered} registered tests never ran`);
}
process.send?.(outcome, () => process.exit(outcome.failed ? 1 : 0));
if (!process.send) process.exit(outcome.failed ? 1 : 0);
