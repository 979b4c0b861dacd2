/**
 * Somebody who is not on the path: he knows addresses and ports, guesses numbers, and sees no answer (RFC 5961, RFC 5927).
 * Whatever he sends, connections go on and carry what they carry.
 */
import { icmpError } from '../../conformance/tcp/icmp.js';
import { ipPacket } from '../../conformance/tcp/segment.js';
import { assert, suite } from '../../support/suite.js';
import { ADDRESSES } from '../pair.js';
import { type Forged, type Live, Scene } from './scene.js';

const test = suite('tcp: blind attacks');
const LIMIT = { timeoutMs: 60_000 };
const TRANSFER = { forth: 400_000, back: 300_000 };
/** Distances from the next number that are in the window, but no number of a segment to come. */
const NEAR = [3, 701, 5003, 30_001];
const FAR = [-1, -701, 0x100_0001, 0x4000_0001, -0x4000_0001];

/** What the victim knows, which he does not: the worst guesses are made with it. */
interface Numbers {
  next: number;
  una: number;
  sent: number;
  ts: number;
}

const numbers = (live: Live): Numbers => {
  const f = live.scene.pair.b.flow(live.server!.end.id) as unknown as Record<string, number>;
  return { next: f.rcv_nxt, una: f.snd_una, sent: f.snd_nxt, ts: f.ts_recent };
};

/** A transfer beside which `forge` makes segments of its connection again and again. */
async function beside(
  forge: (n: Numbers, send: (f: Partial<Forged> & { flags: string; seq: number }) => void) => void,
): Promise<Record<string, number>> {
  const scene = await Scene.create({ rate: 50_000_000 });
  const live = scene.live(TRANSFER);
  let sent = 0;
  scene.run(
    () => live.done,
    60_000,
    () => {
      if (live.server!.ended || live.client.ended || live.client.shut) return;
      forge(numbers(live), f => {
        sent++;
        scene.forge({ src: ADDRESSES[0], srcPort: live.from, dstPort: live.port, ...f });
      });
    },
  );
  scene.finish();
  assert.ok(sent > 500, `${sent} were forged`);
  const counters = scene.pair.b.counters();
  await scene.close();
  return counters;
}

test(
  'a reset counts only with the next number; others in the window are asked about, twice a second',
  async () => {
    const counters = await beside((n, send) => {
      for (const by of [...NEAR, ...FAR]) send({ flags: 'RST', seq: n.next + by });
      for (const by of NEAR) send({ flags: 'RST ACK', seq: n.next + by, ack: n.una });
    });
    assert.ok(counters.TCPACKSkippedChallenge > 100, 'challenges were due, and held back');
    assert.ok(counters.TCPChallengeACK <= 10, `${counters.TCPChallengeACK} were sent`);
    assert.is(counters.EstabResets, undefined);
  },
  LIMIT,
);

test(
  'a SYN resets nothing, wherever its number is',
  async () => {
    const counters = await beside((n, send) => {
      for (const by of [0, ...NEAR, ...FAR]) {
        send({ flags: 'SYN', seq: n.next + by, options: { mss: 1460, ts: [n.ts + 1, 0] } });
        send({ flags: 'SYN ACK', seq: n.next + by, ack: n.una, options: { mss: 1, ts: [n.ts + 1, 0] } });
      }
    });
    assert.ok(counters.TCPSYNChallenge > 100);
  },
  LIMIT,
);

test(
  'data and FINs with the right number do not count with an acknowledgment that cannot be',
  async () => {
    const payload = new Uint8Array(1000).fill(0x66);
    const counters = await beside((n, send) => {
      const options = { ts: [n.ts + 1, 0] as [number, number] };
      for (const by of [0, ...NEAR])
        for (const ack of [n.sent + 1, n.sent + 100_000, n.una - 0x200_0000, n.una + 0x8000_0000])
          for (const flags of ['ACK', 'PSH ACK', 'FIN ACK'])
            send({ flags, seq: n.next + by, ack, payload, options });
      for (const flags of ['', 'PSH', 'FIN', 'URG', 'FIN PSH URG'])
        send({ flags, seq: n.next, payload, options });
    });
    assert.is(counters.TCPTimeWait, undefined, 'the client closed first');
  },
  LIMIT,
);

test(
  'nor with an old timestamp, with none, or with a wrong checksum',
  async () => {
    const payload = new Uint8Array(1000).fill(0x66);
    const counters = await beside((n, send) => {
      const right = { seq: n.next, ack: n.una, payload };
      send({ ...right, flags: 'PSH ACK', options: { ts: [n.ts - 1, 0] } });
      send({ ...right, flags: 'FIN ACK', options: { ts: [n.ts - 0x4000_0000, 0] } });
      send({ ...right, flags: 'PSH ACK' });
      send({ ...right, flags: 'PSH ACK', options: { ts: [n.ts + 1, 0] }, damage: { checksum: 1 } });
    });
    assert.ok(counters.PAWSEstab > 100);
    assert.ok(counters.InCsumErrors > 100);
  },
  LIMIT,
);

test(
  'a clock that somebody forged is not the peer’s: what the peer says next is not too old',
  async () => {
    const scene = await Scene.create();
    const live = scene.live({ forth: 100_000, back: 0 });
    scene.run(
      () => live.server!.bytes > 0,
      1000,
      () => {},
    );
    const before = numbers(live);
    for (const ack of [before.sent + 1000, before.una - 0x200_0000])
      scene.forge({
        ...{ src: ADDRESSES[0], srcPort: live.from, dstPort: live.port, flags: 'PSH ACK', ack },
        ...{ seq: before.next, payload: new Uint8Array(1), options: { ts: [before.ts + 0x1000_0000, 0] } },
      });
    scene.pair.b.settle();
    assert.ok((numbers(live).ts - before.ts) >>> 0 < 1000);
    scene.finish();
    await scene.close();
  },
  LIMIT,
);

test(
  'ICMP about what is not in flight changes nothing, hard errors end no connection, and no word makes dust of segments',
  async () => {
    const scene = await Scene.create({ rate: 20_000_000 });
    const live = scene.live({ forth: 50_000, back: 600_000 });
    const id = live.server!.end.id;
    const flow = () => scene.pair.b.flow(id) as unknown as Record<string, number>;
    scene.run(
      () => live.client.bytes > 50_000,
      10_000,
      () => {},
    );
    /** An error about a segment of the server's with this number. */
    const tell = (seq: number, error: Parameters<typeof icmpError>[3]['error'], mtu = 0): void => {
      const quoted = new Uint8Array(20);
      new DataView(quoted.buffer).setUint16(0, live.port);
      new DataView(quoted.buffer).setUint16(2, live.from);
      const lastPacket = ipPacket({ src: ADDRESSES[1], dst: ADDRESSES[0] }, 6, quoted);
      // As long as a full segment says it is.
      new DataView(lastPacket.buffer).setUint16(2, 1500);
      const about = { lastPacket, irs: 0 } as unknown as Parameters<typeof icmpError>[2];
      scene.frame(icmpError('10.66.0.9', ADDRESSES[1], about, { error, mtu, seq }));
      scene.pair.b.settle();
    };
    const { snd_una: una, snd_nxt: next, mtu, mss } = flow();
    assert.ok(next > una, 'something is in flight');
    for (const seq of [una - 1, next + 1, next + 100_000, una - 0x4000_0000])
      tell(seq >>> 0, 'packet too big', 600);
    assert.equal([flow().mtu, flow().mss], [mtu, mss]);
    for (const error of [
      'net unreachable',
      'host unreachable',
      'protocol unreachable',
      'port unreachable',
      'administratively prohibited',
      'time exceeded',
      'source quench',
    ] as const)
      tell(flow().snd_una, error);
    assert.is.not(flow().state, 7, 'it is over');
    // The worst that a guess can do: segments of 512 bytes, which is what every host must take.
    tell(flow().snd_una, 'packet too big', 68);
    assert.is(flow().mtu, 552);
    scene.finish();
    await scene.close();
  },
  LIMIT,
);

test(
  'two ends that disagree about numbers do not tell each other so without end',
  async () => {
    const scene = await Scene.create({ delayNs: 100_000 });
    const live = scene.live({ forth: 1000, back: 1000 });
    // On the path this time: bytes that the client never sent are taken for its own.
    live.client.work = () => {};
    live.server!.work = () => {};
    scene.pass(500);
    const { a, b } = scene.pair;
    const n = numbers(live);
    scene.forge({
      ...{ src: ADDRESSES[0], srcPort: live.from, dstPort: live.port, flags: 'PSH ACK' },
      ...{ seq: n.next, ack: n.una, payload: new Uint8Array(100), options: { ts: [n.ts, 0] } },
    });
    const before = (a.counters().OutSegs ?? 0) + (b.counters().OutSegs ?? 0);
    scene.pass(20_000);
    const after = (a.counters().OutSegs ?? 0) + (b.counters().OutSegs ?? 0);
    assert.ok(after - before > 2, 'they do disagree');
    // Two a second from either.
    assert.ok(after - before <= 90, `${after - before} segments in 20 s`);
    await scene.close();
  },
  LIMIT,
);

test(
  'a hundred thousand ACKs of anything are answered twice a second',
  async () => {
    const scene = await Scene.create();
    const live = scene.live({ forth: 1000, back: 1000 });
    live.client.work = () => {};
    live.server!.work = () => {};
    scene.pass(500);
    const { a, b } = scene.pair;
    const n = numbers(live);
    const heard = (): number => (a.flow(live.client.end.id) as unknown as { segs_in: number }).segs_in;
    const before = heard();
    const begun = scene.pair.engine.now();
    for (let i = 0; i < 100_000; i++) {
      const by = [0x100_0000 + i, -2000 - i][i & 1];
      const ts: [number, number] = [n.ts, 0];
      scene.forge({
        ...{ src: ADDRESSES[0], srcPort: live.from, dstPort: live.port, flags: 'ACK', options: { ts } },
        ...(i & 2 ? { seq: n.next + by, ack: n.una } : { seq: n.next, ack: n.sent + 1 + i }),
      });
      if (i % 100 === 99) {
        b.settle();
        scene.pair.engine.advance(1_000_000n);
      }
    }
    scene.pass(10);
    const seconds = Number(scene.pair.engine.now() - begun) / 1e9;
    assert.ok(heard() - before <= 2 * seconds + 2, `${heard() - before} answers in ${seconds} s`);
    assert.ok(b.counters().TCPACKSkippedSeq > 90_000);
    await scene.close();
  },
  LIMIT,
);
