/** TCP on several lanes: a flow is one lane's, and its segments get there whatever queue they come in at. */
import { laneOfFlow, portForLane, RSS_ENTRIES } from '../../host/nic/index.js';
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

test('a source port can be chosen for a lane', async () => {
  const pair = await lanePair();
  const { engine } = pair;
  const [port] = engine.ports;
  const [local, remote] = ADDRESSES;
  const flow = { local, remote, remotePort: 80 };
  const used = new Set<number>();
  for (let i = 0; i < 40; i++) {
    const lane = i % LANES;
    const localPort = portForLane(engine, port, flow, lane, 7, p => !used.has(p))!;
    assert.ok(!used.has(localPort) && localPort >= 32_768 && localPort < 61_000);
    used.add(localPort);
    assert.is(laneOfFlow(engine, port, { ...flow, localPort }), lane);
  }
  assert.is(
    portForLane(engine, port, flow, 0, 0, () => false),
    undefined,
  );
  assert.throws(() => laneOfFlow(engine, port, { ...flow, remote: 'fd00::2', localPort: 1 }), /one family/);
  await engine.stop();
});
