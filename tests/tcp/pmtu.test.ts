/** The path's MTU where nobody tells it (RFC 4821, RFC 8899) and where it becomes larger again (RFC 8201 §4). */
import { icmpError } from '../conformance/tcp/icmp.js';
import { assert, suite } from '../support/suite.js';
import { OptionFlag } from './options.js';
import { ADDRESSES, ADDRESSES6, pattern, sha } from './pair.js';
import { Relay } from './relay.js';

const test = suite('tcp: path MTU');
const LIMIT = { timeoutMs: 60_000 };
const ETH = 14;

interface Flow {
  mtu: number;
  mss: number;
  state: number;
  cc: { cwnd: number; ssthresh: number };
}

/** A connection from a to b that has bytes to send as long as it is asked. */
async function path(family: 4 | 6, flags: number) {
  const relay = await Relay.create();
  const { a, b } = relay;
  const [local, remote] = family === 6 ? ADDRESSES6 : ADDRESSES;
  b.listen(family, 80, 8);
  const end = a.connect(local, 5000, remote, 80, { flags });
  assert.ok(relay.run(() => b.accepted.length === 1, 1000));
  const server = b.ends.get(b.accepted[0])!;
  const data = pattern(65_536, 7);
  const sent: Uint8Array[] = [];
  const got: Uint8Array[] = [];
  let owed = 0;
  const work = (): void => {
    if (owed > 0) {
      const n = end.write(data.subarray(0, Math.min(owed, data.length)));
      if (n) sent.push(data.subarray(0, n));
      owed -= n;
    }
    if (!server.readable) return;
    const into = new Uint8Array(server.readable);
    server.read(into);
    got.push(into);
  };
  const length = (list: Uint8Array[]): number => list.reduce((n, x) => n + x.length, 0);
  /** Moves so many bytes, all of which must arrive. */
  const moves = (bytes: number, limitMs = 120_000): void => {
    owed += bytes;
    assert.ok(
      relay.run(() => owed === 0 && length(got) === length(sent), limitMs, work),
      `${length(got)} of ${length(sent) + owed} bytes arrived`,
    );
    assert.is(sha(Buffer.concat(got)), sha(Buffer.concat(sent)));
  };
  const flow = (): Flow => a.flow(end.id) as unknown as Flow;
  return { relay, moves, flow, end };
}

for (const family of [4, 6] as const)
  test(
    `a connection that probes finds what the link carries, and what a silent router in between lets through (IPv${family})`,
    async () => {
      for (const carried of [1500, 1400, 1337]) {
        const { relay, moves, flow } = await path(family, OptionFlag.PROBE_MTU);
        assert.is(flow().mtu, family === 4 ? 1064 : 1280, 'where it begins');
        relay.path = frame => (frame.length - ETH > carried ? [] : [frame]);
        moves(2_000_000);
        const { mtu, cc } = flow();
        assert.ok(mtu <= carried && mtu > carried - 8, `${mtu} found, ${carried} carried`);
        const counters = relay.a.counters();
        assert.ok(counters.TCPMTUPSuccess > 0);
        if (carried === 1500) assert.is(counters.TCPMTUPFail, undefined);
        // Probes that are lost say nothing of congestion.
        assert.is(counters.TCPSackRecovery, undefined);
        assert.is(counters.TCPTimeouts, undefined);
        assert.ok(cc.ssthresh > 0x7fff_0000, 'the window was never cut');
        await relay.engine.stop();
      }
    },
    LIMIT,
  );

test(
  'a black hole is climbed out of step by step, and the path is searched upwards behind it',
  async () => {
    const { relay, moves, flow } = await path(4, 0);
    moves(50_000);
    assert.is(flow().mtu, 1500);
    relay.path = frame => (frame.length - ETH > 600 ? [] : [frame]);
    // Two round trips for each step of the search.
    moves(1_500_000);
    assert.ok(flow().mtu <= 600 && flow().mtu > 592, `${flow().mtu} found, 600 carried`);
    // The path is whole again: it is noticed ten minutes later, at the next transfer.
    relay.path = frame => [frame];
    relay.run(() => false, 700_000);
    moves(300_000);
    assert.is(flow().mtu, 1500);
    await relay.engine.stop();
  },
  LIMIT,
);

for (const family of [4, 6] as const)
  test(
    `what ICMP made smaller is tried again after ten minutes, not before (IPv${family})`,
    async () => {
      const { relay, moves, flow } = await path(family, 0);
      const [local, remote] = family === 6 ? ADDRESSES6 : ADDRESSES;
      let told = 0;
      const router: typeof relay.path = (frame, from) => {
        if (frame.length - ETH <= 1300) return [frame];
        if (from === 'a') {
          told++;
          const about = { lastPacket: frame.slice(ETH), irs: 0 } as unknown as Parameters<
            typeof icmpError
          >[2];
          const packet = icmpError(family === 6 ? 'fd00::99' : '10.0.0.99', local, about, {
            error: 'packet too big',
            mtu: 1300,
          });
          const error = new Uint8Array(ETH + packet.length);
          error.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, ...(family === 6 ? [0x86, 0xdd] : [8, 0])]);
          error.set(packet, ETH);
          relay.inject(error, 'a');
        }
        return [];
      };
      relay.path = router;
      moves(300_000);
      assert.is(flow().mtu, 1300);
      assert.ok(told > 0);
      relay.path = frame => [frame];
      moves(300_000);
      assert.is(flow().mtu, 1300, 'not yet');
      relay.run(() => false, 610_000);
      moves(300_000);
      assert.is(flow().mtu, 1500);
      // Who comes next is told of it.
      const next = relay.a.connect(local, 5001, remote, 80);
      relay.run(() => relay.b.accepted.length === 2, 1000);
      assert.is((relay.a.flow(next.id) as unknown as Flow).mtu, 1500);
      await relay.engine.stop();
    },
    LIMIT,
  );

test(
  'a probe that is lost with others is congestion, and no word about the path',
  async () => {
    const { relay, moves, flow } = await path(4, OptionFlag.PROBE_MTU);
    let lost = 0;
    // The first large segment, and two behind it.
    relay.path = (frame, from) => {
      if (from === 'b') return [frame];
      if (lost === 0 && frame.length - ETH <= 1064) return [frame];
      return ++lost <= 3 ? [] : [frame];
    };
    moves(1_000_000);
    assert.ok(relay.a.counters().TCPSackRecovery >= 1);
    assert.is(relay.a.counters().TCPMTUPFail, undefined);
    assert.is(flow().mtu, 1500);
    await relay.engine.stop();
  },
  LIMIT,
);

test(
  'who forbids the search, or has no reports, sends no probe',
  async () => {
    for (const flags of [OptionFlag.NO_PMTUD, OptionFlag.PROBE_MTU | OptionFlag.NO_SACK]) {
      const { relay, moves, flow } = await path(4, flags);
      const before = flow().mtu;
      moves(500_000);
      assert.is(flow().mtu, before);
      assert.is(relay.a.counters().TCPMTUPSuccess, undefined);
      await relay.engine.stop();
    }
  },
  LIMIT,
);
