/**
 * Test suites: uvu with what it lacks. Every test has a time limit, a skip has a reason and is counted,
 * and with CI=true a missing capability fails instead of skipping. No `.run()` call is needed: tests/run.ts
 * takes what a file registered and fails a file that registered nothing.
 */
import * as uvu from 'uvu';

export * as assert from 'uvu/assert';

export interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  skips: { name: string; reason: string }[];
  failures: string[];
}

export const outcome: Outcome = { passed: 0, failed: 0, skipped: 0, skips: [], failures: [] };
const registered: { tests: number; run: () => void }[] = [];

export interface TestOptions {
  /** Milliseconds before the test fails as hung. Default 60,000. More beside others: schedule.ts. */
  timeoutMs?: number;
  /** A capability this test cannot do without: undefined when present, else why it is missing. */
  missing?: string | undefined;
  /** What the running kernel was built without, undefined when it has it: no package brings it, so CI skips, too. */
  kernelLacks?: string | undefined;
}

export type Test = (claim: string, body: () => unknown, options?: TestOptions) => void;

const IN_CI = process.env.CI === 'true';
/** Factor on time limits: tests/run.ts gives parts more that run at low priority. */
const PATIENCE = Number(process.env.TEST_PATIENCE ?? 1);

function withTimeout(body: () => unknown, ms: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no result after ${ms} ms`)), ms);
    Promise.resolve()
      .then(body)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

/** Opens a suite. Names read `part: what`; tests read as claims. */
export function suite(name: string): Test {
  const inner = uvu.suite(name);
  const entry = { tests: 0, run: () => inner.run() };
  registered.push(entry);
  return (claim, body, options = {}) => {
    entry.tests++;
    const full = `${name}: ${claim}`;
    inner(claim, async () => {
      const reason = options.missing ?? options.kernelLacks;
      if (reason !== undefined) {
        if (!IN_CI || options.missing === undefined) {
          outcome.skipped++;
          outcome.skips.push({ name: full, reason });
          return;
        }
        outcome.failed++;
        outcome.failures.push(full);
        throw new Error(`missing in CI: ${options.missing}`);
      }
      try {
        await withTimeout(body, PATIENCE * (options.timeoutMs ?? 60_000));
        outcome.passed++;
      } catch (error) {
        outcome.failed++;
        outcome.failures.push(full);
        throw error;
      }
    });
  };
}

/** For the runner: hands the suites registered since the last call to uvu; returns how many tests they hold. */
export function flush(): number {
  let tests = 0;
  for (const entry of registered.splice(0)) {
    tests += entry.tests;
    entry.run();
  }
  return tests;
}
