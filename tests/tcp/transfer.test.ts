/** Our TCP with itself over a wire that loses, reorders and doubles, in virtual time: every byte, once, in order. */
import { CcAlgorithm } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { OptionFlag } from './options.js';
import { Pair, type Transfer } from './pair.js';

const test = suite('tcp: transfers');
const LIMIT = { timeoutMs: 60_000 };

async function moves(pair: Pair, t: Transfer): Promise<number> {
  const { ms, shas } = pair.transfer(t);
  assert.is(shas[0], shas[1], 'forth');
  assert.is(shas[2], shas[3], 'back');
  return ms;
}

test(
  'bytes go both ways over IPv4 and IPv6, and every order of closing ends in nothing',
  async () => {
    const pair = await Pair.create({ delayNs: 5_000_000 });
    for (const family of [4, 6] as const)
      for (const first of ['client', 'server', 'both'] as const)
        await moves(pair, { forth: 300_000, back: 200_000, family, first });
    await moves(pair, { forth: 3000, back: 2000, simultaneous: true });
    for (const host of [pair.a, pair.b]) {
      assert.is([...host.map('tcp4')].length + [...host.map('tcp6')].length, 0);
      assert.is(host.counters().RetransSegs, undefined);
      assert.is(host.counters().InCsumErrors, undefined);
    }
    assert.is(pair.a.apps.streamsOf(pair.a.app.number) + pair.a.apps.streamsOf(pair.b.app.number), 0);
    await pair.engine.stop();
  },
  LIMIT,
);

for (const [what, link] of [
  ['loses 1 of 100', { loss: 0.01 }],
  ['loses 1 of 20', { loss: 0.05 }],
  ['reorders 1 of 5', { reorder: 0.2 }],
  ['loses, reorders, doubles and corrupts', { loss: 0.02, reorder: 0.05, duplicate: 0.02, corrupt: 0.01 }],
  ['has 20 Mbit/s and a short buffer', { rate: 20_000_000, queueBytes: 30_000 }],
] as const)
  test(
    `a wire that ${what} delivers all, with SACK and timestamps and without`,
    async () => {
      const pair = await Pair.create({ delayNs: 5_000_000, seed: 3, ...link });
      const times: number[] = [];
      for (const flags of [0, OptionFlag.NO_SACK, OptionFlag.NO_TIMESTAMPS | OptionFlag.NO_WSCALE])
        times.push(
          await moves(pair, { forth: 1_000_000, back: 100_000, client: { flags }, limitMs: 300_000 }),
        );
      await pair.engine.stop();
    },
    LIMIT,
  );

test(
  'small rings, small writes and a peer that marks instead of losing',
  async () => {
    const pair = await Pair.create({
      ...{ delayNs: 1_000_000, rate: 50_000_000, queueBytes: 200_000, ecnBytes: 20_000 },
    });
    await moves(pair, { forth: 200_000, server: { rcvBytes: 4096 }, client: { sndBytes: 8192 } });
    await moves(pair, { forth: 3_000_000, client: { flags: OptionFlag.ECN } });
    assert.ok(pair.a.counters().TCPDeliveredCE > 0, 'marks were echoed');
    assert.is(pair.a.counters().RetransSegs, undefined);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'a window of more sends than the scoreboard has pieces: what a queue dropped is sent again once',
  async () => {
    const pair = await Pair.create({ delayNs: 50_000, rate: 10_000_000, queueBytes: 20_000, seed: 3 });
    await moves(pair, { forth: 1_250_000, client: { mss: 524, algorithm: 1 } });
    const { RetransSegs, TCPDSACKRecv, TCPLostRetransmit } = pair.a.counters();
    assert.ok(RetransSegs > 0, 'the queue dropped something');
    assert.equal([TCPDSACKRecv, TCPLostRetransmit], [undefined, undefined]);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'a large window of which a third is lost: more holes than the scoreboard has pieces, and all are filled',
  async () => {
    // Drawn until each stood still for ever with a scoreboard that makes no room (board_forget of spans.h).
    const paths = [
      { loss: 0.35, seed: 2, algorithm: CcAlgorithm.CUBIC },
      { loss: 0.35, seed: 4, algorithm: CcAlgorithm.CUBIC },
      { loss: 0.3, reorder: 0.1, seed: 1, algorithm: CcAlgorithm.TIMELY },
    ];
    for (const { algorithm, ...link } of paths) {
      const pair = await Pair.create({ delayNs: 5_000_000, rate: 100_000_000, streams: 8, ...link });
      await moves(pair, {
        forth: 300_000,
        client: { algorithm, mss: 536, sndBytes: 1 << 20, initialCwnd: 250 },
        server: { rcvBytes: 1 << 20 },
        limitMs: 3_000_000,
        // Where so much is lost, TIME_WAIT may be over before the last ACK gets through.
        enough: (_, server) => server?.bytes === 300_000,
      });
      assert.ok(pair.a.counters().ScoreboardFull > 0, 'the scoreboard was full');
      await pair.engine.stop();
    }
  },
  LIMIT,
);
