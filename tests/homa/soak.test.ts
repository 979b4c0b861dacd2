/** Random networks that lose, double, overtake and damage: every call ends. `npm run test:soak-homa` has more of them. */
import { assert, suite } from '../support/suite.js';
import { soak } from './soak/seed.js';

const test = suite('homa: soak');

for (const seed of [3, 4, 112, 116, 120])
  test(
    `random network ${seed}: every call ends, once each, and is answered by what it should be`,
    async () => {
      const { calls, answered, failed } = await soak(seed);
      assert.ok(answered > 0 && answered <= calls);
      assert.ok(
        failed.every(why => why === 'ETIMEDOUT' || why === 'ECONNRESET'),
        failed.join(),
      );
    },
    { timeoutMs: 120_000 },
  );
