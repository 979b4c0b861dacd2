/** DCTCP and CUBIC at an incast of eight, on the same engine: what waits at the bottleneck, and how it is shared. */
import { CcAlgorithm } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { FRAME, runIncast } from './incast.js';

const test = suite('tcp: incast');

test(
  'DCTCP with marks at 65 packets keeps the queue at a quarter of CUBIC’s and less, the link full, the shares alike',
  async () => {
    const run = { ms: 15, warmMs: 10 };
    const dctcp = await runIncast({ ...run, algorithm: CcAlgorithm.DCTCP, marks: 65 * FRAME });
    const cubic = await runIncast({ ...run, algorithm: CcAlgorithm.CUBIC, marks: 0 });
    const seen = JSON.stringify({ dctcp, cubic });
    assert.ok(dctcp.p99 <= cubic.p99 / 4, seen);
    assert.ok(dctcp.goodput >= 0.95, seen);
    // Over so short a time shares differ more than over a second: the bench asks for 0.98.
    assert.ok(dctcp.jain >= 0.95, seen);
    assert.is(dctcp.dropped, 0, seen);
  },
  { timeoutMs: 120_000 },
);
