/** The verdicts of tests/golden/verifier, each a claim. */
import { assert, suite } from '../../support/suite.js';
import { goldenFiles, readGoldens, verdictOf } from './golden.js';

const test = suite('verify: verdicts');

for (const golden of goldenFiles().flatMap(readGoldens))
  test(`${golden.file}: ${golden.claim}`, () => {
    assert.is(verdictOf(golden), golden.expected);
  });
