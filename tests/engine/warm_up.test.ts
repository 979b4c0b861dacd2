/** The pipeline is made warm while threads come up. */
import { warmUpPipeline, warmUpRounds } from '../../host/bpf/warm_up.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: warm-up of the pipeline');

test('it ends though the threads never come up, and sooner when they are up', async () => {
  const most = await warmUpRounds(new Promise(() => {}));
  assert.ok(most > 1 && most < 10, `${most} rounds`);
  assert.ok((await warmUpRounds(Promise.resolve())) < most);
  assert.ok((await warmUpRounds(Promise.reject(new Error('no thread')))) < most);
});

test('it is done once in a process', async () => {
  const never = new Promise(() => {});
  await warmUpPipeline(never);
  assert.is(await warmUpPipeline(never), 0);
});
