/**
 * The long runs over random programs:
 *   tsx tests/bpf/random/run.ts differential [COUNT=200000] [SEED=1] [FROM=0]
 *   tsx tests/bpf/random/run.ts soundness    [COUNT=300000] [SEED=1] [FROM=0]
 *   tsx tests/bpf/random/run.ts agreement    [COUNT=20000]  [SEED=1] [FROM=0]   verdicts beside the kernel's
 *   tsx tests/bpf/random/run.ts kfuncs       [COUNT=20000]  [SEED=1] [FROM=0]   the same, of programs that call kfuncs
 * A progress line while they run, one line of counts at the end, exit code 1 with a small program at a failure.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { agreement } from '../../support/gen/agreement.js';
import { type DifferentialReport, differential } from '../../support/gen/differential.js';
import { soundness } from '../../support/gen/soundness.js';
import { ours, verified } from '../../support/gen/verifiers.js';

const COUNTS: Record<string, number> = {
  differential: 200_000,
  soundness: 300_000,
  agreement: 20_000,
  kfuncs: 20_000,
  part: 0, // of a differential: prints its report as JSON
};
/** Programs of one part. */
const PART = 4000;
const PROGRESS_MS = 500;

const [what = '', ...numbers] = process.argv.slice(2);
const [count = COUNTS[what], seed = 1, from = 0] = numbers.map(Number);
if (!(what in COUNTS) || ![count, seed, from].every(Number.isInteger)) {
  console.error('usage: run.ts differential|soundness|agreement|kfuncs [COUNT] [SEED] [FROM]');
  process.exit(2);
}
const kernel = kernelAvailable();
const started = Date.now();
let shown = 0;

function progress(done: number, more = ''): void {
  if (!process.stderr.isTTY || Date.now() - shown < PROGRESS_MS) return;
  shown = Date.now();
  const rate = done / ((shown - started) / 1000);
  const left = Math.round((count - done) / rate);
  process.stderr.write(`\r${done} of ${count} · ${rate.toFixed(0)}/s · ${left} s left${more}   `);
}

const seconds = () => `${((Date.now() - started) / 1000).toFixed(0)} s`;

/**
 * In parts, each a process of its own: V8 frees the code of compiled modules late, and a process has room for some
 * tens of thousands.
 */
function differentialInParts(): DifferentialReport {
  const sum: DifferentialReport = {
    programs: 0,
    insns: 0,
    verified: 0,
    kernelRuns: 0,
    kernelFaults: 0,
    ms: 0,
  };
  for (let done = 0; done < count; done += PART) {
    const args = ['part', Math.min(PART, count - done), seed, from + done].map(String);
    const child = spawnSync(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url), ...args], {
      encoding: 'utf8',
    });
    if (child.status !== 0)
      throw new Error(child.stderr || `a part ended with ${child.signal ?? child.status}`);
    const part = JSON.parse(child.stdout) as DifferentialReport;
    for (const key of Object.keys(sum) as (keyof DifferentialReport)[]) sum[key] += part[key];
    progress(sum.programs);
  }
  return sum;
}

function runDifferential(): string {
  const r = differentialInParts();
  const where = kernel.ok
    ? `${r.kernelRuns} of them in the kernel too (${r.kernelFaults} differences laid to the kernel)`
    : `not in the kernel: ${kernel.reason}`;
  return `differential: ${r.programs} programs, ${r.insns} instructions, one result in interpreter, JIT and guarded JIT; ${r.verified} with the verifier's facts; ${where}; seed ${seed}, ${seconds()}`;
}

function runSoundness(): string {
  const show = (r: { programs: number; accepted: number }) =>
    progress(r.programs, ` · ${((100 * r.accepted) / r.programs).toFixed(0)} % accepted`);
  const r = soundness({ count, seed, from, verify: ours, progress: show });
  const share = ((100 * r.accepted) / r.programs).toFixed(1);
  const rules = Object.entries(r.rules).sort((a, b) => b[1] - a[1]);
  return `soundness: ${r.programs} programs, ${r.accepted} accepted (${share} %), ${r.executed} instructions run, 0 bad accesses, all ended; ${rules.length} rules rejected the rest: ${rules.map(([rule, n]) => `${rule} ${n}`).join(', ')}; seed ${seed}, ${seconds()}`;
}

function runAgreement(kfuncs = false): string {
  if (!kernel.ok) throw new Error(kernel.reason);
  const r = agreement({ count, seed, from, kfuncs, verify: ours, progress });
  const list = (side: string, findings: typeof r.laxer) =>
    [...findings]
      .sort((a, b) => b[1].count - a[1].count)
      .map(([why, f]) => `${side} × ${f.count}: ${why}\n  first: program ${f.number}, ${f.example}`);
  const sum = (findings: typeof r.laxer) => [...findings.values()].reduce((n, f) => n + f.count, 0);
  return [
    ...list('accepted here only', r.laxer),
    ...list('rejected here only', r.stricter),
    `agreement: ${r.programs} programs, ${r.accepted} accepted by both (${r.sameProcessed} with equal instruction counts), ${sum(r.laxer)} here only, ${sum(r.stricter)} by the kernel only; seed ${seed}, ${seconds()}`,
  ].join('\n');
}

const runs: Record<string, () => string> = {
  differential: runDifferential,
  soundness: runSoundness,
  agreement: runAgreement,
  kfuncs: () => runAgreement(true),
  part: () => JSON.stringify(differential({ count, seed, from, kernel: kernel.ok, verify: verified })),
};
try {
  const line = runs[what]();
  console.log(`${process.stderr.isTTY ? '\r' : ''}${line}`);
} catch (error) {
  console.error(`\n${(error as Error).message}`);
  process.exit(1);
}
