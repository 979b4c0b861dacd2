/** Cutoffs of priorities by traffic: levels by shares, unscheduled levels with equal bytes. */
import { cutoffsOf, LENGTH_CLASSES, longestOf } from '../../host/transports/homa/cutoffs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('homa: cutoffs');
const none = () => Array.from({ length: LENGTH_CLASSES }, () => ({ unscheduled: 0, scheduled: 0 }));

test('classes of lengths follow one another, and the last takes the longest message', () => {
  for (let c = 1; c < LENGTH_CLASSES; c++) assert.ok(longestOf(c) >= longestOf(c - 1), `${c}`);
  assert.is(longestOf(0), 0);
  assert.is(longestOf(4), 4);
  assert.is(longestOf(LENGTH_CLASSES - 1), 1_000_000);
});

test('without traffic there are none', () => assert.is(cutoffsOf(none()), undefined));

test('all unscheduled: seven levels with as many bytes each, one for what may be granted', () => {
  const lengths = none();
  for (let c = 20; c < 34; c++) lengths[c].unscheduled = 1000;
  const { cutoffs, maxSched } = cutoffsOf(lengths)!;
  assert.is(maxSched, 0);
  for (let p = 7; p > 1; p--) assert.is(cutoffs[p], longestOf(19 + 2 * (8 - p)));
  // The lowest of them takes what is longer than all that came.
  assert.equal(cutoffs.slice(0, 2), [1_000_000, 1_000_000]);
});

test('half of it granted: four levels each', () => {
  const lengths = none();
  lengths[10].unscheduled = 500;
  lengths[60].unscheduled = 500;
  lengths[60].scheduled = 1000;
  const { cutoffs, maxSched } = cutoffsOf(lengths)!;
  assert.is(maxSched, 3);
  assert.equal(cutoffs.slice(4), [1_000_000, longestOf(60), longestOf(10), longestOf(10)]);
});
