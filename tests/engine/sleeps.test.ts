/** What lanes and host do while there is nothing to do: next to nothing, and they are not called dead for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Engine } from '../../host/engine/engine.js';
import { modelLink } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: sleeps');

const LANES = 2;
/** Of a sleep, ms: supervisor.ts. */
const REST_MS = 100;
/** Rounds of a wake: one that finds nothing, and the last look before the next sleep. */
const ROUNDS = 2;

async function idle(options: { hangMs?: number } = {}) {
  const { a, b } = modelLink({ firstLanes: [0, 1] });
  let polls = 0;
  a.poll = () => {
    polls++;
    return 0;
  };
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: LANES, frames: 256, mapBytes: 4096, warmMs: 0 },
    ...options,
  });
  await engine.start();
  // Whatever begins has begun.
  await sleep(300);
  const epochs = (): number[] => Array.from({ length: LANES }, (_, i) => engine.arena.lane(i).epoch);
  return { engine, epochs, polls: () => polls };
}

test('lanes with nothing to do wake ten times a second for their heartbeat, and sleep again at once', async () => {
  const { engine, epochs } = await idle();
  const before = epochs();
  const fromMs = performance.now();
  await sleep(1000);
  const made = epochs().map((epoch, i) => epoch - before[i]);
  const wakes = Math.ceil((performance.now() - fromMs) / REST_MS) + 1;
  await engine.stop();
  assert.ok(
    made.every(rounds => rounds <= ROUNDS * wakes),
    `${made} rounds in ${wakes} sleeps`,
  );
  assert.ok(
    made.every(rounds => rounds >= ROUNDS * 3),
    `${made} rounds: no heartbeat`,
  );
});

test('the host has no turns for ports that lanes drive alone, but some for what it answers for', async () => {
  const { engine, polls } = await idle();
  const before = polls();
  const fromMs = performance.now();
  await sleep(1000);
  const turns = polls() - before;
  const most = Math.ceil((performance.now() - fromMs) / REST_MS) + 1;
  await engine.stop();
  assert.ok(turns >= 3 && turns <= most, `${turns} turns, at most ${most}`);
});

test('a lane that sleeps is not called hung, however soon one that hangs is', async () => {
  const { engine, epochs } = await idle({ hangMs: 250 });
  const before = epochs();
  await sleep(1500);
  const made = epochs().map((epoch, i) => epoch - before[i]);
  const { crashes } = await engine.stop();
  assert.equal(crashes, []);
  // They look by themselves some times before they would be missed.
  assert.ok(
    made.every(rounds => rounds >= (ROUNDS * 1500) / 250),
    `${made} rounds`,
  );
});

test('a lane that sleeps long is woken by what it is sent', async () => {
  const { a, b } = modelLink({ names: ['one', 'two'] });
  const engine = await Engine.create({
    ...{ nics: [a], lanes: 1, frames: 256, mapBytes: 4096, warmMs: 0, pass: 'count' as const },
  });
  await engine.start();
  const lane = engine.arena.lane(0);
  let late = 0;
  const TIMES = 40;
  for (let i = 0; i < TIMES; i++) {
    while (lane.sleeping === 0) await sleep(1);
    await sleep(5);
    const packets = lane.packets;
    const fromMs = performance.now();
    assert.ok(b.send(new Uint8Array(60)));
    while (lane.packets === packets && performance.now() - fromMs < 5000) await sleep(0);
    if (performance.now() - fromMs > REST_MS / 2) late++;
  }
  await engine.stop();
  // A machine that is busy may keep it from its CPU; that a wake is lost would be seen each time.
  assert.ok(late < TIMES / 4, `${late} of ${TIMES} packets waited for the heartbeat`);
});
