/**
 * Peers that want all of something: handshakes, connections, memory, time. Whoever is connected already does not notice,
 * and what was taken comes back.
 */

import { StreamRequest } from '../../../host/layout/layout.gen.js';
import { streamCounters } from '../../../host/streams/stream_apps.js';
import { assert, suite } from '../../support/suite.js';
import { OptionFlag } from '../options.js';
import { ADDRESSES } from '../pair.js';
import { Peer } from './peer.js';
import { Scene } from './scene.js';

const test = suite('tcp: exhaustion');
const LIMIT = { timeoutMs: 60_000 };
const address = (i: number): string => `10.66.${(i >> 8) & 255}.${i & 255}`;

test(
  'a flood of SYNs leaves nothing behind but a backlog of handshakes, and who comes meanwhile gets in by a cookie',
  async () => {
    const scene = await Scene.create({ streams: 128, rate: 50_000_000 });
    const { a, b } = scene.pair;
    const live = scene.live({ forth: 300_000, back: 300_000 });
    const BACKLOG = 16;
    const slot = b.listen(4, 80, BACKLOG);
    const opening = (): number => (b.map('tcp_backlogs').get(slot) as { opening: number }).opening;
    let sent = 0;
    const flood = (n: number): void => {
      for (let i = 0; i < n; i++, sent++)
        scene.forge({
          ...{ src: address(sent), srcPort: 1024 + (sent % 50_000), dstPort: 80, seq: sent * 77_777 },
          ...{ flags: 'SYN', options: { mss: 1460, ts: [sent, 0], wscale: 7, sackOk: true } },
        });
      b.settle();
      scene.taken();
      assert.ok(opening() <= BACKLOG, `${opening()} handshakes under way`);
    };
    scene.run(
      () => sent >= 50_000 || live.done,
      60_000,
      () => flood(100),
    );
    assert.ok(sent >= 20_000, `${sent} SYNs`);
    assert.is(opening(), BACKLOG);
    assert.ok(b.counters().SyncookiesSent >= sent - BACKLOG);
    const used = scene.streams();
    assert.ok(used <= BACKLOG + 2, `${used} streams`);
    // In the midst of it: a friend, who has all options that a cookie carries.
    const client = a.connect(ADDRESSES[0], 5555, ADDRESSES[1], 80);
    scene.run(
      () => a.flow(client.id).state === 1 && b.accepted.length > 0,
      5000,
      () => flood(20),
    );
    const id = b.accepted.pop()!;
    assert.is(b.counters().SyncookiesRecv, 1);
    const flow = b.flow(id) as unknown as Record<string, number>;
    assert.ok(
      flow.snd_wscale > 0 && (flow.flags & 3) === 3,
      'window scale, timestamps and SACK came through',
    );
    let said = 0;
    scene.run(
      () => b.ends.get(id)!.readable === 3,
      5000,
      () => {
        if (!said) said = client.write(Uint8Array.of(1, 2, 3));
        flood(20);
      },
    );
    assert.is(b.ends.get(id)!.readable, 3);
    scene.finish();
    // Handshakes that nobody ends are forgotten after a minute.
    scene.pass(100_000);
    assert.is(opening(), 0);
    const plain = new Peer(scene, 80, { options: { mss: 1460 } });
    plain.connect();
    assert.is(b.counters().SyncookiesRecv, 1, 'without a cookie again');
    await scene.close();
  },
  LIMIT,
);

test(
  'a flood where cookies are forbidden drops what is too much, and the connection that is there goes on',
  async () => {
    const scene = await Scene.create({ streams: 64, rate: 50_000_000 });
    const { b } = scene.pair;
    const live = scene.live({ forth: 200_000, back: 200_000 });
    b.listen(4, 80, 8, { flags: OptionFlag.NO_COOKIES });
    let sent = 0;
    scene.run(
      () => live.done || sent > 20_000,
      60_000,
      () => {
        for (let i = 0; i < 50; i++, sent++)
          scene.forge({
            ...{ src: address(sent), srcPort: 1024 + (sent % 50_000), dstPort: 80, seq: sent, flags: 'SYN' },
          });
        scene.look();
      },
    );
    assert.ok(b.counters().ListenDrops > 1000);
    assert.is(b.counters().SyncookiesSent, undefined);
    scene.finish();
    await scene.close();
  },
  LIMIT,
);

test(
  'when every stream is taken by idle connections, those that were there go on, and room comes back with their end',
  async () => {
    const STREAMS = 48;
    const scene = await Scene.create({ streams: STREAMS, rate: 50_000_000 });
    const { b } = scene.pair;
    scene.live({ forth: 300_000, back: 300_000 });
    const slot = b.listen(4, 80, 128, { flags: OptionFlag.NO_COOKIES });
    const peers: Peer[] = [];
    const ids: number[] = [];
    for (let i = 0; i < STREAMS + 20; i++) {
      const peer = new Peer(scene, 80, { src: address(i), options: { mss: 1460 } });
      if (peer.syn()) peers.push(peer);
      peer.send('ACK');
      b.settle();
      for (const id of b.accepted.splice(0)) {
        ids.push(id);
        b.took(slot);
      }
    }
    // Two are the transfer's, number 0 is nobody's.
    assert.ok(peers.length >= STREAMS - 5 && peers.length <= STREAMS - 3, `${peers.length} came in`);
    assert.ok(b.counters().NoStream >= 20);
    assert.is(peers.at(-1)!.got().length, 0);
    scene.finish();
    for (const id of ids) {
      b.ends.get(id)!.request(StreamRequest.CLOSE);
      b.ends.get(id)!.release();
    }
    b.settle();
    // Every second one answers the FIN, the others never: they are given up.
    for (const [i, peer] of peers.entries()) {
      const fin = peer.got().find(s => s.flags & 1);
      assert.ok(fin, 'a FIN came');
      if (i & 1) continue;
      peer.ack = fin!.seq + 1;
      peer.send('FIN ACK');
    }
    scene.pass(300_000);
    assert.is(scene.streams(), 0);
    new Peer(scene, 80, { options: { mss: 1460 } }).connect();
    await scene.close();
  },
  LIMIT,
);

test(
  'when memory for buffers is spent, later ones are smaller, nobody is without, and all of it comes back',
  async () => {
    const scene = await Scene.create({ streams: 128, rate: 50_000_000 });
    const { a, b, engine } = scene.pair;
    const live = scene.live({ forth: 500_000, back: 500_000 });
    scene.run(
      () => live.client.bytes > 0 && live.server!.bytes > 0,
      1000,
      () => {},
    );
    // 16 MiB in all, and 256 KiB for the first byte of each.
    const slot = b.listen(4, 80, 128, { rcvBytes: 262_144 });
    const peers: Peer[] = [];
    for (let i = 0; i < 90; i++) {
      const peer = new Peer(scene, 80, { src: address(i), options: { mss: 1460 } });
      peer.connect();
      b.took(slot);
      peer.send('PSH ACK', { payload: Uint8Array.of(1) });
      b.settle();
      peers.push(peer);
    }
    const small = streamCounters(engine.arena, 0).small + streamCounters(engine.arena, 1).small;
    assert.ok(small > 0, 'some have smaller ones');
    assert.is(b.counters().TCPRcvQDrop ?? 0, 0);
    assert.is([...b.ends.values()].filter(end => end.readable === 1).length, 90);
    scene.finish();
    for (const peer of peers) peer.send('RST', { seq: peer.seq + 1 });
    for (const peer of peers) peer.send('RST');
    b.settle();
    for (const [id, end] of b.ends) if (b.flow(id).state === 7 && !end.released) end.release();
    for (const end of [...a.ends.values(), ...b.ends.values()]) if (!end.released) end.release();
    scene.pass(100);
    assert.is(scene.streams(), 0);
    // Enough for everybody again.
    const again = scene.live({ forth: 100_000, back: 100_000 });
    scene.finish();
    assert.ok(again.done);
    await scene.close();
  },
  LIMIT,
);

test(
  'holes without number and bytes one by one: what is kept is bounded, what was promised is kept',
  async () => {
    const scene = await Scene.create({ rate: 50_000_000 });
    const { b } = scene.pair;
    scene.live({ forth: 200_000, back: 200_000 });
    b.listen(4, 80, 8, { rcvBytes: 65_536 });
    const peer = new Peer(scene, 80, { options: { mss: 1460, sackOk: true } });
    const id = peer.connect();
    const data = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 31) >> 3);
    const byte = (at: number): void =>
      peer.send('ACK', { seq: peer.seq + at, payload: data.subarray(at, at + 1) });
    // Every second byte, from behind, from the front, and all over the window.
    for (let i = 0; i < 10_000; i++) {
      byte([1 + i * 2, 59_999 - i * 2, 1 + ((i * 7919) % 59_000)][i % 3]);
      if (i % 64 === 63) b.settle();
    }
    const flow = b.flow(id) as unknown as { ooo: { count: number }; rcv_nxt: number };
    assert.ok(flow.ooo.count <= 32, `${flow.ooo.count} pieces`);
    assert.is(b.ends.get(id)!.readable, 0);
    assert.ok(b.counters().TCPOFODrop > 1000);
    // What it says it has, it has: everything else is sent, and all is there.
    const claimed = new Set<number>();
    for (const s of peer.got().slice(-1))
      for (const [from, to] of s.options.sack ?? [])
        for (let p = from; p !== to; p = (p + 1) >>> 0) claimed.add((p - peer.seq) >>> 0);
    assert.ok(claimed.size > 0, 'something was claimed');
    for (let at = 0; at < data.length; ) {
      if (claimed.has(at)) {
        at++;
        continue;
      }
      let to = at;
      while (to < data.length && to - at < 1400 && !claimed.has(to)) to++;
      peer.send('ACK', { seq: peer.seq + at, payload: data.subarray(at, to) });
      b.settle();
      at = to;
    }
    const into = new Uint8Array(data.length);
    assert.is(b.ends.get(id)!.read(into), data.length);
    assert.equal(into, data);
    scene.finish();
    await scene.close();
  },
  LIMIT,
);

test(
  'a window that is shut for ever holds memory as long as the application wants it, and no longer',
  async () => {
    const scene = await Scene.create();
    const { b } = scene.pair;
    b.listen(4, 80, 8);
    b.listen(4, 81, 8, { userTimeoutMs: 30_000 });
    const peers = [80, 80, 81].map(port => new Peer(scene, port, { options: { mss: 1000 }, window: 2000 }));
    const ids = peers.map(p => p.connect());
    // The first write finds no ring yet.
    for (const id of [...ids, ...ids]) {
      b.ends.get(id)!.write(new Uint8Array(50_000));
      b.settle();
    }
    // Each takes 2000 bytes, and then answers every probe and takes nothing.
    const answer = (): void => {
      for (const peer of peers)
        for (const s of peer.got()) {
          if (s.flags & 4) continue;
          const end = s.seq + s.payload.length;
          if (((end - peer.ack) | 0) > 0) peer.ack = end;
          peer.send('ACK', { window: 0 });
        }
    };
    scene.pass(5000, answer);
    b.ends.get(ids[1])!.request(StreamRequest.CLOSE);
    b.ends.get(ids[1])!.release();
    scene.pass(600_000, answer);
    const states = ids.map(id => b.flow(id).state);
    assert.is(states[0], 1, 'its application still wants it: for ever (RFC 9293 §3.8.6.1)');
    assert.is(states[1], 7, 'nobody does');
    assert.equal([states[2], b.flow(ids[2]).error], [7, 110], 'its user timeout is over');
    assert.ok(b.counters().TCPWinProbe > 20);
    assert.ok(b.counters().TCPAbortOnTimeout >= 2);
    await scene.close();
  },
  LIMIT,
);
