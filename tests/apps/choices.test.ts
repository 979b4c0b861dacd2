/** What a load asks for: the choices of a workload, and answers that are short. */
import { EchoCaller } from '../../host/apps/echo/caller.js';
import { echo, SHORT_BYTES } from '../../host/apps/echo/echo.js';
import { Workload } from '../../host/apps/kv/workload.js';
import { Answers } from '../../host/apps/service.js';
import { assert, suite } from '../support/suite.js';
import { answersTo } from './rig.js';

const test = suite('apps: what is asked for');

const keysOf = (w: Workload): number[] => Array.from({ length: 200 }, () => w.nextKey());
const opsOf = (w: Workload): boolean[] => Array.from({ length: 200 }, () => w.nextIsGet());

test('the seed of keys chooses keys only, that of operations only those; each thread has its own', () => {
  const first = new Workload({ keySeed: 7, opSeed: 9, gets: 0.5 });
  const [keys, ops] = [keysOf(first), opsOf(first)];
  const again = new Workload({ keySeed: 7, opSeed: 9, gets: 0.5 });
  assert.equal([keysOf(again), opsOf(again)], [keys, ops]);
  const others = new Workload({ keySeed: 8, opSeed: 9, gets: 0.5 });
  assert.not.equal(keysOf(others), keys);
  assert.equal(opsOf(others), ops);
  const otherOps = new Workload({ keySeed: 7, opSeed: 10, gets: 0.5 });
  assert.equal(keysOf(otherOps), keys);
  assert.not.equal(opsOf(otherOps), ops);
  const thread = new Workload({ keySeed: 7, opSeed: 9, gets: 0.5 }, 1);
  assert.not.equal(keysOf(thread), keys);
  assert.not.equal(opsOf(thread), ops);
});

test('a short answer follows each whole message, however it comes in pieces', () => {
  const caller = new EchoCaller(1000, true);
  const asked = new Answers();
  for (let i = 0; i < 5; i++) caller.ask(asked, 1);
  const sent = Buffer.from(asked.view());
  assert.is(sent.length, 5000);
  const whole = answersTo(echo(1000).open(), sent);
  assert.is(whole.length, 5 * SHORT_BYTES);
  assert.ok(answersTo(echo(1000).open(), sent, [1, 999, 1500, 37]).equals(whole));
  assert.is(answersTo(echo(1000).open(), sent.subarray(0, 1999)).length, SHORT_BYTES);
  assert.is(caller.take(whole.subarray(0, 250), 250), 2);
  assert.is(caller.take(whole.subarray(250), 250), 3);
});

test('a short answer that is lost, or altered, is no answer', () => {
  const answers = answersTo(echo(10).open(), Buffer.alloc(50));
  const lost = Buffer.concat([answers.subarray(0, 100), answers.subarray(200)]);
  assert.throws(() => new EchoCaller(10, true).take(lost, lost.length), /byte \d+ .*is not what was sent/);
  answers[123] ^= 1;
  assert.throws(() => new EchoCaller(10, true).take(answers, answers.length), /byte 123 is not/);
});
