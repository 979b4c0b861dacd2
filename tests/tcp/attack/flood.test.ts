/** A flood of SYNs in real time: what is left to those who are connected. */
import { assert, suite } from '../../support/suite.js';
import { flood } from './flood.js';

const test = suite('tcp: SYN flood');

test(
  'at 100,000 SYNs a second a connection keeps most of its throughput, and a new one gets in',
  async () => {
    const r = await flood(100_000, 3);
    const share = r.rates.flood / r.rates.quiet;
    // The figure, four fifths, is `npm run test:flood`'s on a machine of its own.
    assert.ok(share >= 0.6, `${(share * 100).toFixed(1)} % of ${(r.rates.quiet / 1e6).toFixed(0)} MB/s`);
    assert.ok(r.syns > 50_000, `${r.syns} SYNs`);
    assert.ok(r.cookies >= r.syns * 0.9, `${r.cookies} cookies`);
    assert.ok(r.newcomer);
    assert.is(r.wrong, 0);
  },
  { timeoutMs: 60_000 },
);
