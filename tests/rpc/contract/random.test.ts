/** Random lives of callers and servers over every carrier: the contract holds. `npm run test:soak-rpc` has more of them. */
import { assert, suite } from '../../support/suite.js';
import { SERVER, world } from '../rig.js';
import { watchBegins } from './begun.js';
import { live } from './driver.js';
import { Asked } from './oracle.js';

const test = suite('rpc: contract, random lives');

// Each begins by another carrier, and has upgrades.
for (const seed of [2, 4, 102])
  test(
    `random life ${seed}: each call is executed at most once, ends once, and has its own answer; nothing is left`,
    async () => {
      const { calls, ends, upgrades } = await live(seed, 150);
      assert.ok(calls > 40 && ends.none > 0 && upgrades > 0, JSON.stringify({ ...ends, upgrades }));
      assert.is(ends.never, undefined);
    },
    { timeoutMs: 120_000 },
  );

test('a call counts under the carrier that it begins by, also when `use` comes while its body is gathered', () =>
  world({ carrier: 'homa', shared: true }, async ({ caller, callee }) => {
    await callee.serve({ port: 700 }, request => request);
    const { signal } = new AbortController();
    const asked = new Asked(1, 700, caller.carrier, 'whole', 100, 0, ['none']);
    const watched = watchBegins(tag =>
      (tag as { wish: { signal?: AbortSignal } }).wish.signal === signal ? asked : undefined,
    );
    async function* source(): AsyncGenerator<Uint8Array> {
      caller.use('tcp');
      yield asked.bytes;
    }
    try {
      await caller.call({ address: SERVER, port: 700 }, source(), { signal });
    } finally {
      watched.end();
    }
    assert.is(asked.carrier, 'tcp');
  }));
