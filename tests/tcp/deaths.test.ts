/** A lane may die anywhere: connections go on in the next one, every byte once and in order, and nothing is lost track of. */
import { StreamLayout, StreamView } from '../../host/layout/layout.gen.js';
import { takeLedger } from '../../host/mem/frames.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { assert, suite } from '../support/suite.js';
import { drain, feed } from './bulk.js';
import { underKills } from './kills.js';
import { MortalLanes } from './mortal.js';
import { OptionFlag } from './options.js';
import { ADDRESSES, Pair, type PairOptions, type Transfer } from './pair.js';

const test = suite('tcp: deaths');
const LIMIT = { timeoutMs: 120_000 };

/** A pair whose lanes die when they are told to. */
async function mortal(options: PairOptions = {}): Promise<{ pair: Pair; lanes: MortalLanes }> {
  let lanes: MortalLanes | undefined;
  const pair = await Pair.create({
    ...options,
    rounds: (engine, hosts) => (lanes = new MortalLanes(engine, hosts)),
  });
  return { pair, lanes: lanes! };
}

/** Once all timeouts are over every frame, byte and number of a stream is where it should be, and no connection is left. */
function conserved(pair: Pair): void {
  pair.run(() => false, 300_000);
  const { engine, a, b } = pair;
  const { free, inFlight, total } = takeLedger(engine.arena, engine.fabric.holders());
  assert.is(free + Object.values(inFlight).reduce((x, y) => x + y, 0), total);
  const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(engine.arena);
  assert.equal(
    { lost, doubled, lostIds, open, closed, used },
    { lost: 0, doubled: 0, lostIds: 0, open: 0, closed: 0, used: 0 },
  );
  for (const host of [a, b]) assert.is([...host.map('tcp4')].length + [...host.map('tcp6')].length, 0);
}

const MOVES: readonly (readonly [what: string, transfer: Transfer, link?: PairOptions])[] = [
  ['a transfer both ways', { forth: 20_000, back: 6000 }],
  ['IPv6 and a server that closes first', { forth: 6000, back: 6000, family: 6, first: 'server' }],
  ['a simultaneous open', { forth: 3000, back: 3000, simultaneous: true }],
  ['a wire that loses and reorders', { forth: 30_000, back: 6000 }, { loss: 0.04, reorder: 0.1, seed: 5 }],
  // One segment: only the first brings the cookie back, and nobody knows of the connection before.
  ['cookies', { forth: 1000, back: 3000, server: { flags: OptionFlag.COOKIES } }],
  ['a peer without SACK', { forth: 20_000, client: { flags: OptionFlag.NO_SACK } }, { loss: 0.03, seed: 9 }],
];

for (const [what, transfer, link] of MOVES)
  test(
    `${what}: the lane may die before any call of a program`,
    async () => {
      const { pair, lanes } = await mortal({ delayNs: 1_000_000, ...link });
      pair.transfer(transfer);
      const calls = lanes.calls;
      const places = new Set<string>();
      // Another place each time, all over the transfer.
      for (let n = 1; n < calls; n += Math.max(1, Math.floor(calls / 60))) {
        const { deaths } = lanes;
        lanes.dieIn(n);
        const { shas, ms } = pair.transfer(transfer);
        assert.equal([shas[0], shas[2]], [shas[1], shas[3]], `death at call ${n}, ${lanes.before}`);
        assert.ok(ms < 30_000, `death at call ${n}, ${lanes.before}: ${ms} ms`);
        if (lanes.deaths > deaths) places.add(lanes.before);
        lanes.dieIn(Number.POSITIVE_INFINITY);
      }
      assert.ok(lanes.deaths > 30 && places.size > 8, `${lanes.deaths} deaths before ${[...places]}`);
      conserved(pair);
    },
    LIMIT,
  );

test(
  'a lane that dies again and again gets there, too',
  async () => {
    const { pair, lanes } = await mortal({ delayNs: 1_000_000, loss: 0.01, seed: 3 });
    for (const every of [1009, 401, 211]) {
      const work = lanes.step.bind(lanes);
      let seen = lanes.deaths;
      lanes.dieIn(every);
      lanes.step = () => {
        const n = work();
        if (lanes.deaths !== seen) lanes.dieIn(every);
        seen = lanes.deaths;
        return n;
      };
      const { shas } = pair.transfer({ forth: 200_000, back: 50_000 });
      lanes.step = work;
      assert.equal([shas[0], shas[2]], [shas[1], shas[3]], `every ${every} calls`);
    }
    lanes.dieIn(Number.POSITIVE_INFINITY);
    assert.ok(lanes.deaths > 20, `${lanes.deaths} deaths`);
    conserved(pair);
  },
  LIMIT,
);

test(
  'a lane that dies before it says how large the send ring is to be says it in its next life',
  async () => {
    const { pair, lanes } = await mortal({ delayNs: 1_000_000, rate: 1_000_000_000, queueBytes: 1 << 20 });
    pair.b.listen(4, 80, 8);
    const end = pair.a.connect(ADDRESSES[0], 5000, ADDRESSES[1], 80);
    assert.ok(pair.run(() => pair.b.accepted.length > 0, 5000));
    const to = pair.b.ends.get(pair.b.accepted.pop()!)!;
    const work = (): void => {
      feed(end);
      drain(to);
    };
    const goal = (): number =>
      new StreamView(pair.engine.arena.dv, pair.engine.arena.header.streamsAt + end.id * StreamLayout.size)
        .sndGoal;
    const room = (): number => 1 << (pair.a.flow(end.id) as unknown as { snd_room: number }).snd_room;
    pair.run(() => goal() > 16_384, 1000, work);
    lanes.dieIn(1, 'el_stream_snd_goal');
    assert.ok(pair.run(() => lanes.deaths > 0, 1000, work));
    assert.is(goal(), room());
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'worker lanes are killed in mid-transfer: all connections go on, sha256 equal, frames conserved',
  async () => {
    const report = await underKills({
      ...{ kills: 6, seed: 1, everyMs: 60 },
      crowd: { connections: 8, forth: 3_000_000, back: 1_000_000 },
    });
    assert.equal(report.wrong, []);
    assert.ok(report.kills >= 6, JSON.stringify(report));
  },
  LIMIT,
);
