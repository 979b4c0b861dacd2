/** What holds for every algorithm, and that nothing in a program's memory can harm. */
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';
import { Algorithm, type AlgorithmName, Flow, MSS, runPath } from './flow.js';

const test = suite('cc: every algorithm');
const EINVAL = -22;
const names = Object.keys(Algorithm) as AlgorithmName[];

for (const name of names)
  test(`${name}: a link of 100 Mbit/s and 10 ms is used to four fifths and more`, () => {
    const o = { rate: 12_500_000, rttUs: 10_000, buffer: 250_000, markAt: 60_000, seconds: 8 };
    const { goodput } = runPath(new Flow(name), o);
    // TIMELY's thresholds are for datacentres: above 150 µs it only ever slows down.
    if (name === 'timely') assert.ok(goodput > 0);
    else assert.ok(goodput > 0.8 * o.rate, `${((goodput / o.rate) * 100).toFixed(0)} %`);
  });

test('a number that stands for no algorithm is refused, and changes nothing', () => {
  const flow = new Flow('reno');
  assert.is(flow.init(6), EINVAL);
  assert.equal([flow.cc.algorithm, flow.cc.cwnd], [0, 10 * MSS]);
  flow.cc.algorithm = 99;
  assert.is(flow.tell('ack'), EINVAL);
});

test('the algorithm of a live flow changes without a jump of its window', () => {
  const flow = new Flow('cubic');
  flow.cc.cwnd = 123 * MSS;
  flow.cc.ssthresh = 77 * MSS;
  for (const name of names) {
    assert.is(flow.init(Algorithm[name]), 0);
    assert.equal([flow.cc.cwnd, flow.cc.ssthresh], [123 * MSS, 77 * MSS], name);
  }
});

test('whatever stands in memory: no trap, and a window of at least one segment, at most 2^30 bytes', () => {
  const next = random(7);
  for (const name of names)
    for (let i = 0; i < 4_000; i++) {
      const flow = new Flow(name);
      flow.scribble(() => (next() & 3 ? next() & 255 : next() & 1 ? 255 : 0));
      flow.cc.algorithm = Algorithm[name];
      for (let k = 0; k < 3; k++) {
        flow.event.kind = next() % 8;
        assert.is(flow.again(), 0);
      }
      if (flow.event.kind === 0) {
        const mss = Math.max(1, Math.min(65535, flow.cc.mss));
        if (flow.event.flags & 1 && !(flow.event.flags & 4) && flow.event.acked > 0)
          assert.ok(
            flow.cc.cwnd >= mss && flow.cc.cwnd <= Math.max(2 ** 30, 10 * mss),
            `${name}: ${flow.cc.cwnd}`,
          );
      }
    }
});
