/** Our verifier beside the kernel over the whole corpus, with the recorded verdicts: no privilege needed. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { assert, suite } from '../../support/suite.js';
import { compare, NO_REASON, readTable, STRICTER_SHARE, summary } from './compare.js';
import { readCorpus } from './entry.js';
import { buildObject, C_FOLDER, CLANG, objectOf, sources } from './objects.js';

const test = suite('corpus: our verifier and the kernel');
const result = compare(readCorpus());

test('no program is accepted here that the kernel rejects', () => {
  assert.equal(
    result.differences.filter(d => d.kernel === 'reject').map(d => `${d.rule}: ${d.claim}: ${d.line}`),
    [],
  );
});

test('at most 3 % of what the kernel accepts is rejected here', () => {
  const stricter = result.differences.filter(d => d.kernel === 'accept').length;
  assert.ok(stricter <= result.kernelAccepts * STRICTER_SHARE, summary(result));
});

test('the committed table lists each difference, no other, and explains it', () => {
  const key = (d: { rule: string; claim: string; kernel: string }) => `${d.kernel} ${d.rule}: ${d.claim}`;
  const table = readTable();
  assert.equal(table.map(key).sort(), result.differences.map(key).sort());
  for (const row of table) assert.ok(row.reason && row.reason !== NO_REASON, `no reason: ${key(row)}`);
});

test('instructions processed agree for nineteen of twenty programs, and in sum to 5 %', () => {
  console.log(`  ${summary(result)}`);
  assert.ok(result.sameProcessed >= 0.95 * result.bothAccept, summary(result));
  assert.ok(Math.abs(result.ours - result.kernels) <= 0.05 * result.kernels, summary(result));
});

test('a rejection stands at the same instruction for nineteen of twenty programs', () => {
  assert.ok(result.sameInsn >= 0.95 * result.bothReject, summary(result));
});

const clang = ((): string | undefined => {
  try {
    execFileSync(CLANG, ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${CLANG} is not installed`;
  }
})();

test(
  'the committed objects are what clang makes of their sources',
  () => {
    const out = mkdtempSync(`${tmpdir()}/etherloom-corpus-`);
    try {
      for (const source of sources()) {
        buildObject(source, out);
        const name = objectOf(source);
        assert.ok(readFileSync(`${out}/${name}`).equals(readFileSync(`${C_FOLDER}${name}`)), name);
      }
    } finally {
      rmSync(out, { recursive: true });
    }
  },
  { missing: clang },
);
