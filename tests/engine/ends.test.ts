/** How lanes and engines end: together, early, at once, and with listeners that throw. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import type { EngineReport } from '../../host/engine/report.js';
import { ReplayNic } from '../../host/nic/index.js';
import { udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: ends');

/** Two lanes that have work for ever. */
async function busy(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const packets = Array.from({ length: 64 }, (_, i) => udpFrame(i, 64, i));
  const nic = new ReplayNic({ packets, count: 1e12, sink: true });
  const engine = await Engine.create({ lanes: 2, frames: 2048, mapBytes: 1 << 16, nics: [nic], ...options });
  engine.attach(await engine.load(verdict(3)), 1);
  return engine;
}

/** Stops within `ms`, or fails. Every frame is in the ledger. */
async function stopped(engine: Engine, ms: number): Promise<EngineReport> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`stop() is pending after ${ms} ms`)), ms);
  });
  const report = await Promise.race([engine.stop(), late]).finally(() => clearTimeout(timer));
  const inFlight = Object.values(report.ledger.inFlight).reduce((x, y) => x + y, 0);
  assert.is(report.ledger.free + inFlight, 2048);
  return report;
}

test('two lanes that die together are both replaced, and go on', async () => {
  const engine = await busy();
  await engine.start();
  for (let round = 1; round <= 3; round++) {
    await sleep(30);
    engine.killLane(0);
    engine.killLane(1);
    for (let k = 0; k < 8000 && engine.crashes.length < round * 2; k++) await sleep(1);
    assert.is(engine.crashes.length, round * 2);
    await engine.settled();
  }
  const taken = [0, 1].map(i => engine.arena.lane(i).packets);
  const goesOn = (): boolean => taken.every((n, i) => engine.arena.lane(i).packets > n);
  for (let k = 0; k < 5000 && !goesOn(); k++) await sleep(1);
  assert.ok(goesOn(), 'both lanes go on');
  const report = await stopped(engine, 4000);
  assert.equal(
    report.crashes.map(c => [c.how, c.replaced]),
    Array(6).fill(['terminated', true]),
  );
});

test('an engine stops at once although lanes were killed the moment before', async () => {
  for (const lanes of [[0], [0, 1], [1], [1, 0], [0], [1]]) {
    const engine = await busy();
    await engine.start();
    await sleep(20);
    for (const i of lanes) engine.killLane(i);
    const report = await stopped(engine, 4000);
    assert.is(report.crashes.length, lanes.length);
  }
});

test('a crash listener that throws is an uncaught exception, and the lane is replaced all the same', async () => {
  const engine = await busy();
  const caught: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback(e => caught.push(e));
  try {
    engine.on('crash', () => {
      throw new Error('of the listener');
    });
    await engine.start();
    await sleep(20);
    for (const i of [0, 1]) {
      engine.killLane(i);
      for (let k = 0; k < 5000 && caught.length <= i; k++) await sleep(1);
    }
    await engine.settled();
    const report = await stopped(engine, 4000);
    assert.equal(
      report.crashes.map(c => c.replaced),
      [true, true],
    );
    assert.equal(
      caught.map(e => (e as Error).message),
      ['of the listener', 'of the listener'],
    );
  } finally {
    process.setUncaughtExceptionCaptureCallback(null);
  }
});

test('an engine that is stopped while it starts stays stopped, and both calls end', async () => {
  const engine = await busy();
  const start = engine.start();
  const report = await stopped(engine, 15_000);
  await start;
  assert.is(engine.state, 'stopped');
  const packets = report.lanes.map(l => l.packets);
  await sleep(50);
  assert.equal(
    [0, 1].map(i => Number(engine.arena.lane(i).packets)),
    packets,
  );
  assert.is(await engine.stop(), report);
});

test('two calls of stop get the same report', async () => {
  const engine = await busy();
  await engine.start();
  const [one, two] = await Promise.all([engine.stop(), engine.stop()]);
  assert.is(one, two);
});
