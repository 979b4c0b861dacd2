/** Our verdicts against those that Linux 6.18 gave for the corpus. */
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';
import { assert, suite } from '../../support/suite.js';
import { readCorpus } from '../corpus/entry.js';

const test = suite('verify: the corpus');

const verdicts = readCorpus().map(entry => {
  try {
    return { entry, accepted: true, processed: verify(entry.spec).stats.processed, reason: '' };
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    return { entry, accepted: false, processed: 0, reason: error.message };
  }
});
const place = (v: (typeof verdicts)[number]): string => `${v.entry.rule}:${v.entry.line} ${v.entry.claim}`;

test('nothing is accepted that the kernel rejects', () => {
  const unsound = verdicts.filter(v => v.accepted && !v.entry.recorded!.accepted);
  assert.equal(unsound.map(place), []);
});

test('at most 3 % of what the kernel accepts is rejected', () => {
  const accepted = verdicts.filter(v => v.entry.recorded!.accepted);
  const strict = accepted.filter(v => !v.accepted);
  assert.ok(strict.length <= accepted.length * 0.03, strict.map(v => `${place(v)}: ${v.reason}`).join('\n'));
});

test('the same number of instructions is walked for 95 % of the accepted', () => {
  const accepted = verdicts.filter(v => v.accepted && v.entry.recorded!.accepted);
  const other = accepted.filter(v => v.processed !== v.entry.recorded!.processed);
  assert.ok(other.length <= accepted.length * 0.05, other.map(place).join('\n'));
});
