/** Trees, lists and kptrs at work: interpreter, JIT and kernel give the same answers, and those of a model. */
import type { ArrayMap } from '../../../host/bpf/maps/index.js';
import { missingKernel } from '../../support/helper_rig.js';
import { programEngines } from '../../support/program_rig.js';
import { assert, suite } from '../../support/suite.js';
import {
  answers,
  asking,
  type Command,
  chainOf,
  HEADS,
  MAX_COMMANDS,
  Model,
  NONE,
  Op,
  random,
  Search,
  treeOf,
} from './rig.js';

const test = suite('objects: at work');
const missing = missingKernel();

const XDP_TX = 3;
/** Seeded, so that a failure is the same the next time. */
const commands = (next: (below: number) => number, keys: number, adds: number): Command[] =>
  Array.from({ length: MAX_COMMANDS }, () => {
    const op = next(100) < adds ? [Op.ADD, Op.BOTH, Op.PUSH_BACK, Op.PUSH_FRONT][next(4)] : next(12);
    return [op, next(keys)] as const;
  });

test(
  'random commands have the same results in the interpreter, the JIT and the kernel',
  () => {
    const engines = programEngines('objects', { program: 'change', kernel: true });
    const next = random(0x5eed);
    const model = new Model();
    try {
      for (let round = 0; round < 60; round++) {
        const wanted = commands(next, 40, round % 2 ? 20 : 60);
        const expected = wanted.map(c => model.do(c));
        for (const engine of engines.all) {
          const { retval, data } = engine.run(asking(wanted));
          assert.is(retval, XDP_TX);
          assert.equal(
            answers(data, wanted.length),
            expected,
            `${engine.name}, round ${round}: ${wanted.join(' ')}`,
          );
        }
      }
    } finally {
      engines.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);

test('the tree stays red-black, list and tree what the model says, and nothing is lost', () => {
  const { jit } = programEngines('objects', { program: 'change', kernel: false });
  const at = jit.map<ArrayMap>('.data.items').dataAt!;
  for (const [seed, keys] of [
    [1, 8],
    [2, 300],
    [3, 60_000],
  ] as const) {
    const next = random(seed);
    const model = new Model();
    for (let round = 0; round < 250; round++) {
      // Grows for a while, shrinks for a while.
      const wanted = commands(next, keys, (round >> 4) & 1 ? 0 : 70);
      const expected = wanted.map(c => model.do(c));
      assert.equal(answers(jit.run(asking(wanted)).data, wanted.length), expected);
      assert.equal(treeOf(jit.arena, at + HEADS.tree), model.tree);
      assert.equal(chainOf(jit.arena, at + HEADS.list).keys, model.list);
    }
    const rest = [...model.tree.map(() => Op.TAKE_FIRST), ...model.list.map(() => Op.POP_FRONT), Op.UNSTASH];
    for (let i = 0; i < rest.length; i += MAX_COMMANDS)
      jit.run(asking(rest.slice(i, i + MAX_COMMANDS).map(op => [op, 0] as const)));
    assert.is(jit.core.exports.objects_live(), 0, 'every object was given back');
  }
});

test('rising and falling keys, which unbalance other trees, leave it balanced', () => {
  const { jit } = programEngines('objects', { program: 'change', kernel: false });
  const at = jit.map<ArrayMap>('.data.items').dataAt! + HEADS.tree;
  for (const key of [(i: number) => i, (i: number) => 5000 - i]) {
    for (let i = 0; i < 2000; i += MAX_COMMANDS)
      jit.run(asking(Array.from({ length: MAX_COMMANDS }, (_, k) => [Op.ADD, key(i + k)] as const)));
    treeOf(jit.arena, at);
  }
  for (let left = treeOf(jit.arena, at).length; left > 0; left -= MAX_COMMANDS) {
    jit.run(asking(Array.from({ length: MAX_COMMANDS }, () => [Op.TAKE_FIRST, 0] as const)));
    assert.is(treeOf(jit.arena, at).length, Math.max(0, left - MAX_COMMANDS));
  }
});

test('search, lower_bound, next and the least by another order find what a model finds', () => {
  const { jit, interp } = programEngines('objects', { program: 'change', kernel: false });
  for (const filler of [jit, interp]) {
    const search = filler.besides('search');
    const next = random(77);
    const added: number[] = [];
    for (let round = 0; round < 12; round++) {
      const keys = Array.from({ length: MAX_COMMANDS }, () => next(500) * 2);
      filler.run(asking(keys.map(k => [Op.ADD, k] as const)));
      added.push(...keys);
      const sorted = [...added].sort((a, b) => a - b);
      const asked = Array.from({ length: MAX_COMMANDS }, () => [next(4), next(1010)] as const);
      const expected = asked.map(([op, key]) => {
        const from = sorted.findIndex(k => k >= key);
        if (op === Search.LEAST) return added[0];
        if (from < 0) return NONE;
        if (op === Search.SEARCH) return sorted[from] === key ? key : NONE;
        return sorted[op === Search.NEXT ? from + 1 : from] ?? NONE;
      });
      assert.equal(answers(search(asking(asked)), asked.length), expected);
    }
  }
});
