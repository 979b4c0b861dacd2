/**
 * The test runner: one process per part (a folder of tests/), uvu inside, one closing line.
 *   tsx tests/run.ts [--checks] [FILE|FOLDER …]
 * Parts that nobody times run beside those that look at the clock (schedule.ts): what a part says is printed when it is
 * done, then. --checks: npm's `lint` and `typecheck`, too, as parts without tests.
 */
import { fork, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kind, kindOf, NICENESS, PATIENCE, schedule, unknownNames } from './schedule.js';
import type { Outcome } from './support/suite.js';

const ROOT = dirname(fileURLToPath(import.meta.url));
/** A part that takes this long is hung. */
const PART_LIMIT_MS = 15 * 60_000;
const CHECKS = ['lint', 'typecheck'];

interface Job {
  name: string;
  kind: Kind;
  /** Test files; none for a script of npm. */
  files: string[];
}

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

/** A folder's tests of one kind are a part. */
function partsOf(files: readonly string[]): Job[] {
  const parts = new Map<string, Job>();
  for (const file of files) {
    const kind = kindOf(ROOT, file);
    const key = `${dirname(file)} ${kind}`;
    const part = parts.get(key) ?? { name: relative(ROOT, dirname(file)) || '.', kind, files: [] };
    part.files.push(file);
    parts.set(key, part);
  }
  return [...parts.values()];
}

/** `nice` before a command, where there is one. */
const gently = (job: Job): string[] =>
  job.kind === 'patient' && process.platform !== 'win32' ? ['nice', '-n', `${NICENESS}`] : [];

/** @param out file descriptor for what the part says; undefined: this process' own */
function runPart(job: Job, out?: number): Promise<Outcome> {
  const { name, files } = job;
  const to = out ?? ('inherit' as const);
  const [command, ...args] = [...gently(job), process.execPath];
  return new Promise(done => {
    const child = files.length
      ? fork(join(ROOT, 'support/part.ts'), files, {
          execPath: command,
          execArgv: [...args, '--import', 'tsx'],
          stdio: ['ignore', to, to, 'ipc'],
          env: { ...process.env, TEST_PATIENCE: `${job.kind === 'patient' ? PATIENCE : 1}` },
        })
      : spawn('npm', ['run', '--silent', name], { stdio: ['ignore', to, to] });
    let outcome: Outcome | undefined;
    const limit = setTimeout(() => child.kill('SIGKILL'), PART_LIMIT_MS);
    child.on('message', m => {
      outcome = m as Outcome;
    });
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      const none = { passed: 0, failed: 0, skipped: 0, skips: [], failures: [] };
      const died = `${name}: process ended with ${signal ?? `code ${code}`}${files.length ? ' before its tests were done' : ''}`;
      const ended = files.length || code !== 0 ? { ...none, failed: 1, failures: [died] } : none;
      done(outcome ?? ended);
    });
  });
}

const words = process.argv.slice(2);
const asked = words.filter(w => w !== '--checks').map(p => resolve(p));
const files = (asked.length ? asked : [ROOT]).flatMap(testFiles);
if (!asked.length && unknownNames(ROOT, files).length)
  throw new Error(`tests/schedule.ts names what is no test: ${unknownNames(ROOT, files).join(', ')}`);
const checks = words.includes('--checks')
  ? CHECKS.map((name): Job => ({ name, kind: 'patient', files: [] }))
  : [];
const jobs = [...checks, ...partsOf(files)];
const single = jobs.length === 1;
const folder = mkdtempSync(join(tmpdir(), 'etherloom-tests-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const total: Outcome = { passed: 0, failed: 0, skipped: 0, skips: [], failures: [] };
await schedule(jobs, async job => {
  const started = Date.now();
  const title = `\n── ${job.name}${job.kind === 'timed' || single ? '' : ` (${job.kind})`}`;
  const file = join(folder, `${jobs.indexOf(job)}`);
  if (single) console.log(title);
  const out = single ? undefined : openSync(file, 'w');
  const o = await runPart(job, out);
  if (out !== undefined) {
    closeSync(out);
    console.log(`${title}\n${readFileSync(file, 'utf8').trimEnd()}\n`);
  }
  total.passed += o.passed;
  total.failed += o.failed;
  total.skipped += o.skipped;
  total.skips.push(...o.skips);
  total.failures.push(...o.failures);
  console.log(`   ${((Date.now() - started) / 1000).toFixed(1)} s`);
});
for (const s of total.skips) console.log(`skipped: ${s.name}: ${s.reason}`);
for (const f of total.failures) console.log(`failed: ${f}`);
if (total.passed + total.failed === 0) {
  console.log('no test was run');
  process.exit(1);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed ? 1 : 0);
