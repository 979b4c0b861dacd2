import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import type { EtherloomError } from '../../host/errors.js';
import { HostNic } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: residents');
const module = new URL('seated.mjs', import.meta.url);

const create = (more: Partial<EngineOptions>): Promise<Engine> =>
  Engine.create({ nics: [new HostNic()], lanes: 2, frames: 512, mapBytes: 4096, ...more });

async function refusal(work: Promise<unknown>): Promise<EtherloomError> {
  try {
    await work;
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('it was not refused');
}

test('each lane asks its own resident between its steps, and sleeps all the same when there is nothing to do', async () => {
  const data = new SharedArrayBuffer(24);
  const words = new Int32Array(data);
  const engine = await create({ resident: { module, data }, spinUs: 100 });
  await engine.start();
  await new Promise(done => setTimeout(done, 100));
  const report = await engine.stop();
  assert.ok(words[0] > 1 && words[3] > 1, `polled ${words[0]} and ${words[3]} times`);
  assert.equal([words[1], words[4]], [1, 1]);
  assert.ok(report.lanes.every(lane => lane.sleeps > 0));
});

test('what a resident throws ends its lane, and the one that replaces it seats it anew', async () => {
  const data = new SharedArrayBuffer(24);
  const words = new Int32Array(data);
  const engine = await create({ resident: { module: String(module), data } });
  const crashed = new Promise(done => engine.once('crash', done));
  await engine.start();
  Atomics.store(words, 5, 1);
  await crashed;
  await engine.settled();
  const before = Atomics.load(words, 3);
  for (let k = 0; k < 5000 && Atomics.load(words, 3) === before; k++)
    await new Promise(done => setTimeout(done, 1));
  assert.ok(Atomics.load(words, 3) > before, 'it is asked again');
  const report = await engine.stop();
  assert.equal([words[1], words[4]], [1, 2]);
  assert.match(report.crashes[0].reason, /asked to fail/);
});

test('a module that cannot be seated is named, and inline lanes have no seat', async () => {
  for (const [bad, why] of [
    [new URL('nowhere.mjs', import.meta.url), /nowhere\.mjs/],
    ['data:text/javascript,export default () => ({})', /has no poll/],
  ] as const) {
    const engine = await create({ resident: { module: bad } });
    const error = await refusal(engine.start());
    assert.is(error.code, 'ERR_LANE_START');
    assert.match((error.cause as Error).message, why);
    await engine.stop();
  }
  const refused = await refusal(create({ resident: { module }, inline: true }));
  assert.is(refused.code, 'ERR_ENGINE_OPTIONS');
  assert.is((await refusal(create({ resident: {} as never }))).code, 'ERR_ENGINE_OPTIONS');
});
