/** Runs the test files named on the command line in this process and reports the outcome to the parent. */
import { pathToFileURL } from 'node:url';
import { exec } from 'uvu';
import { flush, outcome } from './suite.js';

const scope = globalThis as { UVU_DEFER?: number; UVU_QUEUE?: unknown[]; UVU_INDEX?: number };
scope.UVU_DEFER = 1;
scope.UVU_QUEUE = [];

const files = process.argv.slice(2);
for (const [index, file] of files.entries()) {
  scope.UVU_INDEX = index;
  scope.UVU_QUEUE.push([file]);
  try {
    await import(pathToFileURL(file).href);
    if (flush() === 0) throw new Error('registers no test');
  } catch (error) {
    console.error(`${file}:`, error);
    outcome.failed++;
    outcome.failures.push(file);
  }
}
await exec();
process.send?.(outcome, () => process.exit(outcome.failed ? 1 : 0));
if (!process.send) process.exit(outcome.failed ? 1 : 0);
