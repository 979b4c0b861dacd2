/** Random lives of callers and servers over every carrier: the contract holds. `npm run test:soak-rpc` has more of them. */
import { assert, suite } from '../../support/suite.js';
import { live } from './driver.js';

const test = suite('rpc: contract, random lives');

for (const seed of [2, 4, 5])
  test(
    `random life ${seed}: each call is executed at most once, ends once, and has its own answer; nothing is left`,
    async () => {
      const { calls, ends } = await live(seed, 150);
      assert.ok(calls > 40 && ends.none > 0, JSON.stringify(ends));
      assert.is(ends.never, undefined);
    },
    { timeoutMs: 120_000 },
  );
