/**
 * Peers that cheat: they acknowledge what they do not have, in crumbs, or ask for segments of nothing (Savage et al., "TCP
 * congestion control with a misbehaving receiver"; RFC 3465; CVE-2019-11477 … 11479).
 */
import { assert, suite } from '../../support/suite.js';
import { pattern } from '../pair.js';
import { Peer, type PeerOptions } from './peer.js';
import { Scene } from './scene.js';

const test = suite('tcp: greedy peers');
const LIMIT = { timeoutMs: 60_000 };

/** A host that sends `bytes` to a peer by hand. */
async function sender(bytes: number, how: PeerOptions) {
  const scene = await Scene.create();
  const { b } = scene.pair;
  b.listen(4, 80, 8, { sndBytes: 1 << 18 });
  const peer = new Peer(scene, 80, how);
  const id = peer.connect();
  const data = pattern(bytes, 5);
  const end = b.ends.get(id)!;
  let written = end.write(data);
  const write = (): void => {
    if (written < data.length) written += end.write(data.subarray(written));
  };
  b.settle();
  const first = peer.ack;
  /** What came, at its place. */
  const got = new Uint8Array(bytes);
  const segments = (): number[] => {
    write();
    return peer.got().map(s => {
      got.set(s.payload, (s.seq - first) >>> 0);
      return s.payload.length;
    });
  };
  const flow = () => b.flow(id) as unknown as { snd_nxt: number; snd_una: number; cc: { cwnd: number } };
  return { scene, peer, data, got, first, segments, flow, id };
}

test(
  'acknowledging byte by byte opens the window no faster than at once (RFC 3465)',
  async () => {
    const grown: number[] = [];
    for (const pieces of [1, 1000]) {
      const { scene, peer, segments, flow } = await sender(200_000, { options: { mss: 1000 } });
      segments();
      const before = flow().cc.cwnd;
      for (let i = 1; i <= pieces; i++) {
        peer.ack += 1000 / pieces;
        peer.send('ACK');
        if (i % 50 === 0) scene.pair.b.settle();
      }
      segments();
      grown.push(flow().cc.cwnd - before);
      await scene.close();
    }
    assert.ok(grown[1] <= grown[0], `${grown[1]} for crumbs, ${grown[0]} for the whole`);
  },
  LIMIT,
);

test(
  'acknowledging what was not sent yet does nothing; what was sent and did not arrive is the peer’s own loss',
  async () => {
    const { scene, peer, segments, flow, first } = await sender(400_000, {
      options: { mss: 1000, wscale: 3 },
    });
    segments();
    for (const ahead of [1, 1000, 100_000, 0x7fff_ffff]) {
      const { snd_una, snd_nxt } = flow();
      peer.send('ACK', { ack: snd_nxt + ahead });
      scene.pair.b.settle();
      assert.is(flow().snd_una, snd_una, `an acknowledgment ${ahead} ahead`);
    }
    // Optimistic: everything that was sent is said to have come at once, and nothing is looked at.
    for (let i = 0; i < 200 && flow().snd_una - first < 400_000; i++) {
      peer.ack = flow().snd_nxt;
      peer.send('ACK');
      segments();
      const { snd_nxt, snd_una, cc } = flow();
      assert.ok((snd_nxt - snd_una) >>> 0 <= Math.min(cc.cwnd + 1000, 65535 << 3), 'what is in flight fits');
    }
    assert.is((flow().snd_una - first) >>> 0, 400_000);
    await scene.close();
  },
  LIMIT,
);

for (const mss of [0, 1, 8, 48, 64])
  test(
    `a peer that asks for segments of ${mss} bytes gets no dust, and all of its bytes`,
    async () => {
      const bytes = 20_000;
      const { scene, peer, segments, got, data, flow, first } = await sender(bytes, {
        options: { mss, sackOk: true, ts: [1, 0] },
      });
      const sizes: number[] = [];
      for (let i = 0; i < 20_000 && flow().snd_una - first < bytes; i++) {
        sizes.push(...segments().filter(n => n > 0));
        peer.ack = flow().snd_nxt;
        peer.send('ACK', { options: { ts: [2 + i, 0] } });
        scene.pair.b.settle();
      }
      assert.equal(got, data);
      // All but the last, and what SACK blocks would take from it (Linux: tcp_min_snd_mss, 48 with options).
      assert.ok(
        sizes.slice(0, -1).every(n => n >= 36),
        `segments of ${Math.min(...sizes)}`,
      );
      await scene.close();
    },
    LIMIT,
  );

test(
  'reports of every second byte of a window of crumbs cost the host little, and it sends what is missing',
  async () => {
    const bytes = 60_000;
    const { scene, peer, segments, got, data, flow, first } = await sender(bytes, {
      options: { mss: 64, sackOk: true },
    });
    // The window opens over what is acknowledged properly.
    for (let i = 0; i < 30; i++) {
      segments();
      peer.ack = flow().snd_nxt;
      peer.send('ACK');
      scene.pair.b.settle();
    }
    const una = flow().snd_una;
    const blocks = (at: number): [number, number][] =>
      [0, 1, 2, 3].map(k => [una + at + k * 2 + 1, una + at + k * 2 + 2]);
    const started = process.cpuUsage();
    const REPORTS = 2000;
    for (let i = 0; i < REPORTS; i++) {
      const span = (flow().snd_nxt - una) >>> 0;
      peer.send('ACK', { ack: una, options: { sack: blocks((i * 8) % Math.max(8, span - 8)) } });
      if (i % 16 === 0) segments();
    }
    scene.pair.b.settle();
    const { user, system } = process.cpuUsage(started);
    // A wide bound: with work that grows by the square it is seconds.
    assert.ok((user + system) / REPORTS < 2000, `${((user + system) / REPORTS).toFixed(0)} µs a report`);
    for (let i = 0; i < 5000 && (flow().snd_una - first) >>> 0 < bytes; i++) {
      segments();
      peer.ack = flow().snd_nxt;
      peer.send('ACK');
      scene.pair.b.settle();
      scene.pair.engine.advance(100_000n);
    }
    segments();
    assert.equal(got, data);
    await scene.close();
  },
  LIMIT,
);

test(
  'segments from nobody, to everybody and from the host itself are not answered',
  async () => {
    const scene = await Scene.create();
    const { b, engine } = scene.pair;
    b.listen(4, 80, 8);
    b.listen(6, 80, 8);
    const sources = [
      '0.0.0.0',
      '0.1.2.3',
      '127.0.0.1',
      '224.0.0.1',
      '239.1.1.1',
      '255.255.255.255',
      '10.0.0.2',
    ];
    for (const src of sources) {
      for (const flags of ['SYN', 'ACK', ''])
        scene.forge({ src, srcPort: 80, dstPort: 80, seq: 1, ack: 1, flags });
      scene.forge({ src, srcPort: 80, dstPort: 9, seq: 1, flags: 'SYN' });
    }
    for (const src of ['::', '::1', 'ff02::1', 'fd00::2'])
      for (const dstPort of [80, 9])
        scene.forge({ src, dst: 'fd00::2', srcPort: 80, dstPort, seq: 1, flags: 'SYN' });
    b.settle();
    const answered = (): number => {
      let n = 0;
      scene.evil.drain(Number.POSITIVE_INFINITY, () => n++);
      return n;
    };
    assert.is(answered(), 0);
    assert.is(b.apps.streamsOf(b.app.number), 0);
    // To all stations of the link, with a good address.
    const { port } = new Peer(scene, 80);
    scene.forge({ srcPort: port, dstPort: 80, seq: 1, flags: 'SYN' });
    b.settle();
    assert.is(answered(), 1, 'the same to one station is');
    const send = scene.raw.bind(scene);
    scene.raw = frame => {
      frame.set([255, 255, 255, 255, 255, 255]);
      send(frame);
    };
    scene.forge({ srcPort: port + 1000, dstPort: 80, seq: 1, flags: 'SYN' });
    scene.forge({ srcPort: port + 1000, dstPort: 9, seq: 1, flags: 'SYN' });
    b.settle();
    assert.is(answered(), 0);
    assert.equal(engine.crashes, []);
    scene.pass(200_000);
    await scene.close();
  },
  LIMIT,
);
