/** TCP on several lanes: a flow is one lane's, and its segments get there whatever queue they come in at. */
import { Engine } from '../../host/engine/engine.js';
import { Stack, type StackEvent } from '../../host/index.js';
import { modelLink, RSS_ENTRIES } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';
import { Crowd, type CrowdOptions } from './crowd.js';
import { ADDRESSES, Pair } from './pair.js';

const test = suite('tcp: lanes');
const LIMIT = { timeoutMs: 60_000 };
const LANES = 4;

const lanePair = (): Promise<Pair> =>
  Pair.create({
    ...{ streams: 256, delayNs: 100_000 },
    engine: { lanes: LANES, streams: { count: 256, bytes: 64 << 20 } },
  });

/** Moves bytes on many connections at a time, in an inline engine. */
function move(pair: Pair, o: CrowdOptions): Crowd {
  const { engine, a, b } = pair;
  const crowd = new Crowd(engine, a, b, o);
  const over = pair.run(
    () => crowd.done,
    60_000,
    () => crowd.work(),
  );
  assert.ok(over, crowd.report());
  assert.equal(crowd.wrong, []);
  b.unlistenAll();
  return crowd;
}

const otherLane = ({ a, b }: Pair): number => (a.counters().OtherLane ?? 0) + (b.counters().OtherLane ?? 0);

test(
  'listeners accept on every lane, and where RSS is known no segment comes to another lane than its flow’s',
  async () => {
    const pair = await lanePair();
    const crowd = move(pair, { connections: 64, forth: 20_000, back: 10_000 });
    assert.equal([...crowd.lanes].sort(), [0, 1, 2, 3]);
    assert.is(otherLane(pair), 0);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'segments that come in at the queue of another lane are handed over, in order',
  async () => {
    const pair = await lanePair();
    // The side that connects owns its flows anywhere but where their packets come in.
    move(pair, { connections: 16, forth: 100_000, back: 100_000, lane: i => i % LANES });
    const some = otherLane(pair);
    assert.ok(some > 100, `${some} segments`);
    for (const host of [pair.a, pair.b])
      assert.is(host.counters().RetransSegs, undefined, 'none was overtaken');
    // A table that changes under live connections sends segments of both sides astray, and some overtake others.
    let turn = 0;
    const { engine, a, b } = pair;
    const crowd = new Crowd(engine, a, b, {
      connections: 16,
      forth: 200_000,
      back: 200_000,
      firstPort: 4000,
    });
    const over = pair.run(
      () => crowd.done,
      60_000,
      () => {
        crowd.work();
        turn++;
        for (const { rss } of engine.ports)
          for (let i = 0; i < RSS_ENTRIES; i++) rss.set(i, (i + (turn >> 3)) % LANES);
      },
    );
    assert.ok(over, crowd.report());
    assert.equal(crowd.wrong, []);
    assert.ok(otherLane(pair) > some + 100, `${otherLane(pair) - some} segments`);
    for (const host of [a, b]) assert.is([...host.map('tcp4')].length, 0);
    await engine.stop();
  },
  LIMIT,
);

test(
  'all packets at one queue: one lane accepts, others own what they connect',
  async () => {
    const pair = await Pair.create({
      ...{ streams: 64, delayNs: 100_000, queues: 1 },
      engine: { lanes: 2, streams: { count: 64, bytes: 32 << 20 } },
    });
    const crowd = move(pair, { connections: 8, forth: 50_000, back: 50_000, lane: () => 1 });
    assert.equal([...crowd.lanes], [0]);
    assert.ok(otherLane(pair) > 0);
    await pair.engine.stop();
  },
  LIMIT,
);

test('a connection of a lane that was named gets a source port whose answers come in there', async () => {
  const { a, b } = modelLink();
  const engine = await Engine.create({
    ...{ nics: [a, b], inline: true, clock: 'virtual', lanes: LANES, frames: 4096, mapBytes: 16 << 20 },
    streams: { count: 256, bytes: 64 << 20, apps: 2 },
  });
  const [here, there] = ADDRESSES;
  const near = await Stack.create({ engine, ports: { [a.name]: { addresses: [`${here}/24`] } } });
  const far = await Stack.create({ engine, ports: { [b.name]: { addresses: [`${there}/24`] } } });
  await engine.start();
  far.burst.listen({ port: 80 });
  const made = Array.from({ length: 32 }, (_, i) =>
    near.burst.connect({ host: there, port: 80, lane: i % LANES }),
  );
  const events: StackEvent[] = [];
  let connected = 0;
  for (let i = 0; i < 1000 && connected < made.length; i++) {
    const n = near.burst.poll(events);
    for (const e of events.slice(0, n)) connected += e.connected ? 1 : 0;
    far.burst.poll(events);
    await near.burst.wait(1);
  }
  assert.is(connected, made.length);
  assert.is(near.counters().OtherLane, undefined);
  assert.is(far.counters().OtherLane, undefined);
  await near.close();
  await far.close();
  await engine.stop();
});
