/** What the timer helpers return and do, the same in the JIT, the interpreter and the real kernel. */
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { assert, suite } from '../../support/suite.js';
import {
  ABS,
  EBUSY,
  EDEADLK,
  EINVAL,
  ENOENT,
  EPERM,
  Here,
  InKernel,
  MONOTONIC,
  Op,
  PACER,
  type Timed,
} from './rig.js';

const test = suite('timers: semantics');
const kernel = kernelAvailable();

interface Script {
  claim: string;
  /** Map word; default an array of 8. */
  map?: string;
  run(t: Timed): Promise<number[]> | number[];
  expected: number[];
}

const make = (t: Timed, key = 0, callback = 0): void => {
  if (t.do(Op.INIT, key, MONOTONIC) || t.do(Op.CALLBACK, key, callback)) throw new Error('no timer');
};
const fired = (t: Timed, key = 0): number => t.do(Op.FIRED, key);
const LATER = 3_600_000_000_000n;
const HASH = 'm=hash/4/timer+16/8';
const LRU = 'm=lru_hash/4/timer+16/8';

const scripts: Script[] = [
  {
    claim: 'a timer is initialised once',
    run: t => [t.do(Op.INIT, 0, MONOTONIC), t.do(Op.INIT, 0, MONOTONIC), t.do(Op.INIT, 1, MONOTONIC)],
    expected: [0, EBUSY, 0],
  },
  {
    claim: 'clocks are REALTIME, MONOTONIC and BOOTTIME; every other flag of init is refused',
    run: t => [0, 1, 7, 2, 3, 4, 5, 6, 8, 15, 16, 1n << 32n].map((c, i) => t.do(Op.INIT, i % 8, c)),
    expected: [0, 0, 0, ...new Array(9).fill(EINVAL)],
  },
  {
    claim: 'what was not initialised has no callback, is not started and not cancelled',
    run: t => [t.do(Op.CALLBACK), t.do(Op.START, 0, 1000), t.do(Op.CANCEL)],
    expected: [EINVAL, EINVAL, EINVAL],
  },
  {
    claim: 'a timer without callback is not started; cancelling it is no error',
    run: t => [t.do(Op.INIT, 0, MONOTONIC), t.do(Op.START, 0, 1000), t.do(Op.CANCEL)],
    expected: [0, EINVAL, 0],
  },
  {
    claim: 'start knows the flags ABS and CPU_PIN',
    run: t => {
      make(t);
      return [0n, ABS, 2n, 3n, 4n, 8n, 1n << 31n, 1n << 36n, 1n << 63n].map(f => t.do(Op.START, 0, LATER, f));
    },
    expected: [0, 0, 0, 0, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL],
  },
  {
    claim: 'a started timer fires once',
    run: async t => {
      make(t);
      const start = t.do(Op.START, 0, 1_000_000);
      const before = fired(t);
      await t.wait(5);
      const once = fired(t);
      await t.wait(5);
      return [start, before, once, fired(t)];
    },
    expected: [0, 0, 1, 1],
  },
  {
    claim: 'a delay of 0 fires at once, and after that run',
    run: async t => {
      make(t);
      const start = t.do(Op.START, 0, 0);
      await t.wait(3);
      return [start, fired(t)];
    },
    expected: [0, 1],
  },
  {
    claim: 'an absolute time that is past fires at once',
    run: async t => {
      make(t);
      const start = t.do(Op.START, 0, 1, ABS);
      await t.wait(3);
      return [start, fired(t)];
    },
    expected: [0, 1],
  },
  {
    claim: 'a negative delay and a negative time never come',
    run: async t => {
      make(t);
      make(t, 1);
      const results = [t.do(Op.START, 0, -1n), t.do(Op.START, 1, -1n, ABS)];
      await t.wait(3);
      return [...results, fired(t), fired(t, 1), t.do(Op.CANCEL)];
    },
    expected: [0, 0, 0, 0, 1],
  },
  {
    claim: 'starting an armed timer moves it: later, and sooner',
    run: async t => {
      make(t);
      make(t, 1);
      t.do(Op.START, 0, 1_000_000);
      t.do(Op.START, 0, LATER);
      t.do(Op.START, 1, LATER);
      t.do(Op.START, 1, 1_000_000);
      await t.wait(5);
      return [fired(t), fired(t, 1), t.do(Op.CANCEL), t.do(Op.CANCEL, 1)];
    },
    expected: [0, 1, 1, 0],
  },
  {
    claim: 'cancel says whether it was armed, and forgets the callback',
    run: async t => {
      make(t);
      t.do(Op.START, 0, 1_000_000);
      const results = [t.do(Op.CANCEL), t.do(Op.CANCEL), t.do(Op.START, 0, 1_000_000)];
      t.do(Op.CALLBACK);
      results.push(t.do(Op.START, 0, 1_000_000));
      await t.wait(5);
      return [...results, fired(t)];
    },
    expected: [1, 0, EINVAL, 0, 1],
  },
  {
    claim: 'after it fired a timer is started again without more ado',
    run: async t => {
      make(t);
      t.do(Op.START, 0, 1000);
      await t.wait(3);
      const again = t.do(Op.START, 0, 1000);
      await t.wait(3);
      return [again, fired(t)];
    },
    expected: [0, 2],
  },
  {
    claim: 'another callback replaces the one before',
    run: async t => {
      make(t, 0, 2);
      t.do(Op.START, 0, 1_000_000);
      t.do(Op.CALLBACK, 0, 0);
      t.do(Op.SET_EXTRA, 0, 5);
      await t.wait(5);
      return [fired(t), t.do(Op.EXTRA)];
    },
    expected: [1, 5],
  },
  {
    claim: 'a callback that cancels its own timer is told -EDEADLK',
    run: async t => {
      make(t, 0, 2);
      t.do(Op.START, 0, 1000);
      await t.wait(3);
      return [fired(t), t.do(Op.EXTRA), t.do(Op.START, 0, LATER)];
    },
    expected: [1, EDEADLK, 0],
  },
  {
    claim: 'a callback that starts its own timer goes on until it is cancelled',
    run: async t => {
      t.do(Op.SET_EXTRA, 0, 1_000_000);
      make(t, 0, 1);
      t.do(Op.START, 0, 1000);
      await t.wait(20);
      const some = fired(t) >= 5 ? 1 : 0;
      const cancelled = t.do(Op.CANCEL);
      const then = fired(t);
      await t.wait(5);
      return [some, cancelled, fired(t) - then];
    },
    expected: [1, 1, 0],
  },
  ...[HASH, LRU].flatMap((map): Script[] => [
    {
      claim: `${map}: a deleted element's timer does not fire, and its next life begins without one`,
      map,
      run: async t => {
        t.do(Op.UPDATE);
        make(t);
        t.do(Op.START, 0, 1_000_000);
        const deleted = t.do(Op.DELETE);
        t.do(Op.UPDATE);
        await t.wait(5);
        return [deleted, fired(t), t.do(Op.START, 0, 1000), t.do(Op.INIT, 0, MONOTONIC)];
      },
      expected: [0, 0, EINVAL, 0],
    },
    {
      claim: `${map}: user space deletes an element, and its timer with it`,
      map,
      run: async t => {
        t.set(0);
        make(t);
        t.do(Op.START, 0, 1_000_000);
        const deleted = Number(t.delete(0));
        t.set(0);
        await t.wait(5);
        return [deleted, fired(t), t.do(Op.CANCEL)];
      },
      expected: [1, 0, EINVAL],
    },
    {
      claim: `${map}: a value that is replaced takes its timer with it`,
      map,
      run: async t => {
        t.set(0);
        make(t);
        t.do(Op.START, 0, 1_000_000);
        t.do(Op.UPDATE);
        const gone = t.do(Op.CANCEL);
        make(t);
        t.do(Op.START, 0, 1_000_000);
        t.set(0);
        await t.wait(5);
        return [gone, fired(t), t.do(Op.CANCEL)];
      },
      expected: [EINVAL, 0, EINVAL],
    },
    {
      claim: `${map}: a callback deletes its own element`,
      map,
      run: async t => {
        t.set(0);
        make(t, 0, 3);
        t.do(Op.START, 0, 1000);
        await t.wait(3);
        return [fired(t), Number(t.get(0) === undefined)];
      },
      expected: [ENOENT, 1],
    },
    {
      claim: `${map}: many elements, each with its timer`,
      map,
      run: async t => {
        for (let key = 0; key < 8; key++) {
          t.set(key);
          make(t, key);
          t.do(Op.START, key, 1000 * key);
        }
        await t.wait(5);
        return Array.from({ length: 8 }, (_, key) => fired(t, key));
      },
      expected: new Array(8).fill(1),
    },
  ]),
  {
    claim: 'array: an element that is written over loses its timer, whoever writes',
    run: async t => {
      make(t);
      t.do(Op.START, 0, 1_000_000);
      const updated = t.do(Op.UPDATE);
      const results = [updated, t.do(Op.CANCEL)];
      make(t);
      t.do(Op.START, 0, 1_000_000);
      t.set(0);
      await t.wait(5);
      return [...results, fired(t), t.do(Op.CANCEL)];
    },
    expected: [0, EINVAL, 0, EINVAL],
  },
  {
    claim: 'user space reads a timer as zeroes, and cannot write it',
    run: t => {
      make(t);
      t.do(Op.START, 0, LATER);
      const seen = t.get(0)!.subarray(0, 16);
      return [...seen];
    },
    expected: new Array(16).fill(0),
  },
  {
    claim: 'of a map that user space let go no timer can be made, and those that there were are gone',
    run: async t => {
      make(t);
      t.do(Op.START, 0, 1_000_000);
      t.letGo();
      await t.wait(5);
      const results = [t.do(Op.INIT, 1, MONOTONIC), fired(t)];
      return [...results, t.do(Op.START, 0, 1000), t.do(Op.CALLBACK)];
    },
    expected: [EPERM, 0, EINVAL, EINVAL],
  },
];

for (const { claim, map, run, expected } of scripts) {
  for (const engine of ['jit', 'interp'] as const)
    test(`${engine}: ${claim}`, async () => {
      const t = await Here.open(engine, map);
      assert.equal(await run(t), expected);
      await t.close();
    });
  test(
    `kernel: ${claim}`,
    async () => {
      const t = new InKernel(map);
      try {
        assert.equal(await run(t), expected);
      } finally {
        await t.close();
      }
    },
    { missing: kernel.ok ? undefined : kernel.reason },
  );
}

test('ours alone: eTran’s kinds are flags of start, too', async () => {
  const t = await Here.open('jit');
  make(t);
  assert.is(t.do(Op.START, 0, 1000, PACER), 0);
  t.advance(999n);
  assert.is(t.fired, 0);
  t.advance(1n);
  assert.is(t.fired, 1);
  await t.close();
});
