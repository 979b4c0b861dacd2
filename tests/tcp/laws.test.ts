/**
 * What the RFCs say of the window, seen from outside: our programs send, a wire in hand loses or marks the packets that the
 * RFC's text speaks of. The arithmetic alone is in tests/cc.
 */
import { CcAlgorithm } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { feed } from './bulk.js';

import { OptionFlag, type TcpOptions } from './options.js';
import { Traced } from './traced.js';

const test = suite('tcp: laws of the window');
const LIMIT = { timeoutMs: 60_000 };
const RTT = 100;
const RECOVERY = 3;

/** Window in segments at the end of each of `rounds` round trips; the sender has always something to send. */
async function rounds(flow: Traced, n: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < n; i++) {
    flow.run(
      () => false,
      RTT,
      () => feed(flow.from),
    );
    seen.push(flow.segments);
  }
  return seen;
}

const reno = (more: Partial<TcpOptions> = {}): Partial<TcpOptions> => ({
  algorithm: CcAlgorithm.RENO,
  ...more,
});

test(
  'ten segments first (RFC 6928), and twice as many each round trip (RFC 5681 §3.1)',
  async () => {
    const flow = await Traced.create(RTT, reno());
    assert.equal([flow.segments, ...(await rounds(flow, 4))], [10, 20, 40, 80, 160]);
    const burst = flow.sent.filter(p => p.at === flow.sent[0].at);
    assert.is(burst.length, 10);
    await flow.close();
  },
  LIMIT,
);

test(
  'a loss halves the flight (RFC 5681, equation 4); then one segment a round trip',
  async () => {
    const flow = await Traced.create(RTT, reno());
    await rounds(flow, 2);
    assert.is(flow.segments, 40);
    // One of the forty that go now.
    const lost = flow.sent.length + 5;
    flow.fate = p => (p.number === lost ? 'drop' : undefined);
    let before = 0;
    flow.run(
      () => flow.state === RECOVERY,
      1000,
      () => {
        feed(flow.from);
        if (flow.state !== RECOVERY) before = flow.field('snd_nxt') - flow.field('snd_una');
      },
    );
    const mss = flow.field('mss');
    const ssthresh = flow.field('cc.ssthresh');
    // The ACKs of the burst that told of the loss had taken some of the flight off.
    const flight = flow.field('recover_fs');
    assert.ok(flight <= before && flight >= before - 8 * mss, `${flight / mss} of ${before / mss} segments`);
    assert.ok(Math.abs(ssthresh - flight / 2) <= 1, `${ssthresh / mss} of ${flight / mss} segments`);
    flow.run(
      () => flow.state === 0,
      1000,
      () => feed(flow.from),
    );
    assert.is(flow.field('cc.cwnd'), ssthresh);
    // It grows when a window of bytes was acknowledged: between round trips it may be the next one's already.
    const seen = [flow.segments, ...(await rounds(flow, 6))];
    for (let i = 1; i < seen.length; i++) {
      const grown = Math.floor(seen[i]) - Math.floor(seen[i - 1]);
      assert.ok(grown >= 0 && grown <= 2, `${seen}`);
    }
    assert.ok(seen[6] - seen[0] >= 5 && seen[6] - seen[0] <= 7, `${seen}`);
    assert.is(flow.counters().TCPTimeouts, undefined);
    await flow.close();
  },
  LIMIT,
);

test(
  'in recovery PRR sends a segment for every two that were delivered (RFC 6937 §4: 20 in flight, the first is lost)',
  async () => {
    const flow = await Traced.create(RTT, reno({ initialCwnd: 20 }), { flags: OptionFlag.NO_DELACK });
    flow.fate = p => (p.number === 0 ? 'drop' : undefined);
    flow.run(
      () => flow.state === RECOVERY,
      1000,
      () => feed(flow.from),
    );
    flow.run(
      () => flow.state === 0,
      2000,
      () => feed(flow.from),
    );
    const mss = flow.field('mss');
    const after = flow.sent.slice(20);
    const during = after.filter(p => p.at < after[0].at + BigInt(RTT * 0.9e6));
    assert.is(flow.position(after[0]), 0, 'what was lost goes first');
    assert.is(during.length, 10, 'half of what was in flight, with it');
    assert.ok(Math.abs(flow.field('cc.cwnd') - 10 * mss) <= mss, `${flow.segments}`);
    await flow.close();
  },
  LIMIT,
);

test(
  'after a timeout one segment, and slow start up to half of what was in flight (RFC 5681 §3.1)',
  async () => {
    const flow = await Traced.create(RTT, reno({ flags: OptionFlag.NO_TLP | OptionFlag.NO_FRTO }));
    await rounds(flow, 2);
    let dead = true;
    flow.fate = () => (dead ? 'drop' : undefined);
    flow.run(
      () => (flow.counters().TCPTimeouts ?? 0) > 0,
      3000,
      () => feed(flow.from),
    );
    const mss = flow.field('mss');
    const flight = (flow.field('snd_nxt') - flow.field('snd_una')) >>> 0;
    assert.is(flow.segments, 1);
    assert.is(flow.field('cc.ssthresh'), Math.max(Math.floor(flight / 2), 2 * mss));
    dead = false;
    flow.run(
      () => flow.field('cc.cwnd') >= flow.field('cc.ssthresh'),
      5000,
      () => feed(flow.from),
    );
    assert.ok(flow.segments < flight / 2 / mss + 2, `${flow.segments}`);
    await flow.close();
  },
  LIMIT,
);

test(
  'CUBIC keeps seven tenths (RFC 9438 §4.6) and is back at the old window K = ∛((W − cwnd) / C) seconds later (§4.2)',
  async () => {
    const flow = await Traced.create(RTT, { algorithm: CcAlgorithm.CUBIC }, {});
    await rounds(flow, 4);
    const lost = flow.sent.length + 5;
    flow.fate = p => (p.number === lost ? 'drop' : undefined);
    flow.run(
      () => flow.state === RECOVERY,
      1000,
      () => feed(flow.from),
    );
    const before = flow.segments;
    const flight = flow.field('cc.ssthresh') / flow.field('mss') / 0.7;
    assert.ok(flight > 0.85 * before && flight <= before + 1, `${flight} segments of a window of ${before}`);
    flow.run(
      () => flow.state === 0,
      2000,
      () => feed(flow.from),
    );
    const begun = flow.ms;
    const mss = flow.field('mss');
    assert.ok(
      Math.abs(flow.field('cc.cwnd') - flow.field('cc.ssthresh')) <= mss,
      'but for the ACK that ended it',
    );
    const k = Math.cbrt((before - flow.segments) / 0.4);
    flow.run(
      () => flow.segments >= before,
      10_000,
      () => feed(flow.from),
    );
    const seconds = (flow.ms - begun) / 1000;
    assert.ok(Math.abs(seconds - k) <= 0.25, `${seconds.toFixed(2)} s, K is ${k.toFixed(2)} s`);
    await flow.close();
  },
  LIMIT,
);

test(
  'DCTCP follows the share of marks (RFC 8257 §3.3, §3.4): all of them take half of the window, a few a little of it',
  async () => {
    const options = { algorithm: CcAlgorithm.DCTCP, flags: OptionFlag.ECN };
    const kept: number[] = [];
    for (const every of [1, 20]) {
      const flow = await Traced.create(RTT, options, options);
      await rounds(flow, 2);
      flow.fate = p => (p.number % every === 0 ? 'mark' : undefined);
      // α takes some 50 round trips from 1 to 1/20, with g = 1/16.
      await rounds(flow, every === 1 ? 6 : 80);
      let last = flow.field('cc.cwnd');
      const drops: number[] = [];
      flow.run(
        () => drops.length >= 4,
        3000,
        () => {
          feed(flow.from);
          const now = flow.field('cc.cwnd');
          if (now < last) drops.push(now / last);
          last = now;
        },
      );
      kept.push(drops.reduce((a, b) => a + b, 0) / Math.max(drops.length, 1));
      assert.is(flow.counters().RetransSegs, undefined);
      await flow.close();
    }
    // Windows of a few segments grow by one in between.
    assert.ok(kept[0] < 0.7, `all marked: ${kept}`);
    assert.ok(kept[1] > 0.9, `one of twenty: ${kept}`);
  },
  LIMIT,
);

test(
  'after idleness the window begins where it began (RFC 5681 §4.1)',
  async () => {
    const flow = await Traced.create(RTT, reno());
    await rounds(flow, 4);
    assert.ok(flow.segments >= 80);
    flow.run(() => flow.from.unacknowledged === 0, 2000);
    flow.run(() => false, 2000);
    const before = flow.sent.length;
    flow.run(
      () => flow.sent.length > before,
      100,
      () => feed(flow.from),
    );
    assert.is(flow.segments, 10);
    assert.is(flow.sent.length - before, 10);
    await flow.close();
  },
  LIMIT,
);
