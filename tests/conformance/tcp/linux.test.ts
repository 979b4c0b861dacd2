/** Every script on the kernel of this machine: what it fails is a wrong script, or a difference that is written down. */
import { ip } from '../../support/netns.js';
import { assert, suite } from '../../support/suite.js';
import { missingOracle } from './linux/available.js';
import { type PoolOutcome, playOnLinux } from './linux/pool.js';
import { allScripts } from './scripts/index.js';

const test = suite('conformance: tcp on the kernel');
const LIMIT_MS = 120_000;

interface Awaited {
  outcome: Promise<PoolOutcome>;
  resolve(outcome: PoolOutcome): void;
  reject(error: unknown): void;
}

const awaited = new Map(
  allScripts().map(script => {
    const one = {} as Awaited;
    one.outcome = new Promise((resolve, reject) => Object.assign(one, { resolve, reject }));
    // Told to the test that waits for it, which may not have begun.
    one.outcome.catch(() => {});
    return [script, one];
  }),
);

/** They are played side by side when the first test begins; each test waits for its own. */
let begun: Promise<void> | undefined;
const begin = (): void => {
  begun ??= playOnLinux(allScripts(), outcome => awaited.get(outcome.script)!.resolve(outcome)).catch(
    error => {
      for (const { reject } of awaited.values()) reject(error);
    },
  );
};

for (const [script, { outcome }] of awaited)
  test(
    `${script.topic}: ${script.claim}`,
    async () => {
      begin();
      const { verdict } = await outcome;
      assert.is(verdict, undefined, verdict);
    },
    { missing: missingOracle, timeoutMs: LIMIT_MS },
  );

test(
  'no namespace is left behind',
  async () => {
    await begun;
    const mine = new RegExp(`^el-scripts-${process.pid}-.*`, 'm').exec(ip('netns', 'list'));
    assert.is(mine, null, mine?.[0]);
  },
  { missing: missingOracle, timeoutMs: LIMIT_MS },
);
