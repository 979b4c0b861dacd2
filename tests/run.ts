/**
 * The test runner: one process per part (a folder of tests/), uvu inside, one closing line.
 *   tsx tests/run.ts [FILE|FOLDER …]
 */
import { fork } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './support/suite.js';

const ROOT = dirname(fileURLToPath(import.meta.url));
/** A part that prints nothing for this long is hung. */
const PART_LIMIT_MS = 15 * 60_000;

function testFiles(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .flatMap(e =>
      e.isDirectory()
        ? testFiles(join(path, e.name))
        : e.name.endsWith('.test.ts')
          ? [join(path, e.name)]
          : [],
    )
    .sort();
}

function runPart(files: string[]): Promise<Outcome> {
  return new Promise(done => {
    const child = fork(join(ROOT, 'support/part.ts'), files, {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    let outcome: Outcome | undefined;
    const limit = setTimeout(() => child.kill('SIGKILL'), PART_LIMIT_MS);
    child.on('message', m => {
      outcome = m as Outcome;
    });
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      const died = `${relative(ROOT, dirname(files[0]))}: process ended with ${signal ?? `code ${code}`} before its tests were done`;
      done(outcome ?? { passed: 0, failed: 1, skipped: 0, skips: [], failures: [died] });
    });
  });
}

const asked = process.argv.slice(2).map(p => resolve(p));
const parts = new Map<string, string[]>();
for (const file of (asked.length ? asked : [ROOT]).flatMap(testFiles)) {
  const part = dirname(file);
  parts.set(part, [...(parts.get(part) ?? []), file]);
}

const total: Outcome = { passed: 0, failed: 0, skipped: 0, skips: [], failures: [] };
for (const [part, files] of parts) {
  const started = Date.now();
  console.log(`\n── ${relative(ROOT, part) || '.'}`);
  const o = await runPart(files);
  total.passed += o.passed;
  total.failed += o.failed;
  total.skipped += o.skipped;
  total.skips.push(...o.skips);
  total.failures.push(...o.failures);
  console.log(`   ${((Date.now() - started) / 1000).toFixed(1)} s`);
}
for (const s of total.skips) console.log(`skipped: ${s.name}: ${s.reason}`);
for (const f of total.failures) console.log(`failed: ${f}`);
if (total.passed + total.failed === 0) {
  console.log('no test was run');
  process.exit(1);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed ? 1 : 0);
