import { EtherloomError } from '../../host/errors.js';
import { type FuzzTarget, fuzz, mutate, Rng } from '../support/fuzz.js';
import { assert, suite } from '../support/suite.js';
import { fuzzTargets } from './targets.js';

const test = suite('fuzz');
const seeds = () => [new Uint8Array([1, 2, 3, 4])];

test('the same seed gives the same inputs, another seed others', () => {
  const draw = (seed: number) => Array.from({ length: 50 }, (_, i) => [...mutate(new Rng(seed, i), seeds())]);
  assert.equal(draw(7), draw(7));
  assert.not.equal(draw(7), draw(8));
});

test('numbers are spread evenly', () => {
  const rng = new Rng(3);
  const buckets = new Array(16).fill(0);
  for (let i = 0; i < 16_000; i++) buckets[rng.below(16)]++;
  for (const n of buckets) assert.ok(n > 850 && n < 1150, `${n} of 1000`);
});

test('an uncoded error is reported with the command that repeats it', async () => {
  const bad: FuzzTarget = {
    name: 'bad',
    seeds,
    run: b => {
      if (b.length === 3) throw new RangeError('out of bounds');
    },
  };
  const message = await fuzz(bad, { seed: 5 }).then(
    () => 'nothing found',
    (e: Error) => e.message,
  );
  const from = /tests\/fuzz\/run\.ts bad 1 5 (\d+)/.exec(message)?.[1];
  assert.ok(from, message);
  const again = await fuzz(bad, { seed: 5, from: Number(from), count: 1 }).then(
    () => 'nothing found',
    (e: Error) => e.message,
  );
  assert.match(again, /RangeError: out of bounds/);
});

test('a slow input is reported', async () => {
  const slow: FuzzTarget = {
    name: 'slow',
    seeds,
    maxMs: 20,
    run: () => {
      for (const end = Date.now() + 60; Date.now() < end; );
    },
  };
  const message = await fuzz(slow, { count: 2 }).then(
    () => 'nothing found',
    (e: Error) => e.message,
  );
  assert.match(message, /took \d+ ms, 20 allowed/);
});

test('coded errors are counted by code', async () => {
  const r = await fuzz(
    {
      name: 'coded',
      seeds,
      run: () => {
        throw new EtherloomError('ERR_TEST_NO', 'no');
      },
    },
    { count: 10 },
  );
  assert.equal(r.refused, { ERR_TEST_NO: 10 });
});

for (const target of await fuzzTargets())
  test(
    `${target.name}: 20,000 mutated inputs are taken or refused with a code`,
    async () => {
      const r = await fuzz(target);
      const codes = Object.keys(r.refused).length;
      // A run that refuses everything at the first check, or nothing at all, tests nothing.
      assert.ok(r.accepted > 0, 'no input was accepted');
      assert.ok(codes > 0, 'no input was refused');
    },
    { timeoutMs: 120_000 },
  );
