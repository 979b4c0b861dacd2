/** The tutorial's transport: every datagram once and in order, whatever the wire does; a window; peers that are dead. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramNews } from '../../host/net/burst/datagrams.js';
import type { LinkSettings } from '../../host/nic/index.js';
import { AT, type Host, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { bench, OURS, THEIRS } from '../udp/rig.js';
import {
  ack,
  HEADERS,
  Kind,
  Receiver,
  readWindow,
  Sender,
  transfer,
  windowFrame,
  windowTransport,
} from './rig.js';

const test = suite('own: window');

/** Lets virtual time pass. */
async function pass(hosts: readonly Host[], ms: number): Promise<void> {
  const { engine } = hosts[0].stack;
  const end = engine.now() + BigInt(ms) * 1_000_000n;
  await until(hosts, () => engine.now() >= end || engine.nextDueNs() === undefined, ms + 1000);
}

/** Both hosts with the transport. */
const both = async ({ a, b }: { a: Host; b: Host }) => ({
  at: await a.stack.load(windowTransport()),
  bt: await b.stack.load(windowTransport()),
  hosts: [a, b],
});

for (const family of [4, 6] as const)
  test(`IPv${family}: a hundred datagrams, each sent once and acknowledged`, () =>
    wired(async w => {
      const { at, bt, hosts } = await both(w);
      const receiver = new Receiver(w.b.stack.burst.bind({ port: 7, transport: 'window' }));
      const socket = w.a.stack.burst.bind({ transport: 'window' });
      await transfer(hosts, [new Sender(socket, { address: AT.b[family], port: 7 }, 100)], [receiver]);
      await pass(hosts, 100);
      assert.equal(at.counters(), { OutDatagrams: 100, InAcks: 100 });
      assert.equal(bt.counters(), { InDatagrams: 100, OutAcks: 100 });
      assert.is(socket.queued, 0);
    }));

const FAULTS: Record<string, LinkSettings> = {
  'loss of 0.1 %': { loss: 0.001 },
  'loss of 1 %': { loss: 0.01 },
  'loss of 5 %': { loss: 0.05 },
  'packets that overtake': { reorder: 0.1, jitterNs: 300_000 },
  'packets that come twice': { duplicate: 0.2 },
  'bits that flip': { corrupt: 0.02 },
  'all of it': { loss: 0.02, reorder: 0.05, duplicate: 0.05, corrupt: 0.02, jitterNs: 200_000 },
};
for (const [what, faults] of Object.entries(FAULTS))
  test(`${what}: once and in order, both ways, of sizes from nothing but the number to the longest`, () =>
    wired(
      async w => {
        const { at, hosts } = await both(w);
        const n = 1000;
        const [x, y] = [w.a, w.b].map(host => host.stack.burst.bind({ port: 7, transport: 'window' }));
        const senders = [
          new Sender(x, { address: AT.b[4], port: 7 }, n, 1460),
          new Sender(y, { address: AT.a[4], port: 7 }, n, 8),
        ];
        const receivers = [new Receiver(x), new Receiver(y)];
        await transfer(hosts, senders, receivers, 600_000);
        // What is still under way changes nothing.
        await pass(hosts, 3000);
        for (const r of receivers) {
          r.take();
          assert.is(r.total, n);
        }
        const counters = at.counters();
        assert.is(counters.InDatagrams, n);
        assert.is(counters.OutDatagrams, n);
        assert.is(counters.GivenUp, undefined);
        if (faults.corrupt) assert.ok(counters.InCsumErrors > 0 || counters.InErrors > 0);
        if (faults.duplicate) assert.ok(counters.InDuplicates > 0);
        if (faults.loss && faults.loss >= 0.01) assert.ok(counters.OutAgain > 0 && counters.InAhead > 0);
      },
      { link: { ...faults } },
    ));

test('a window: 32 are under way, and one more for each that is acknowledged', () =>
  bench(async b => {
    await b.stack.load(windowTransport());
    const socket = b.stack.burst.bind({ port: 7, transport: 'window' });
    const sender = new Sender(socket, { address: THEIRS[4], port: 9 }, 100);
    sender.more();
    b.run();
    const first = b.sent().map(({ frame }) => readWindow(frame));
    assert.equal(
      first.map(({ kind, number }) => [kind, number]),
      Array.from({ length: 32 }, (_, i) => [Kind.DATA, i]),
    );
    b.run();
    assert.is(b.sent().length, 0);
    b.arrive(ack(first[0], 5, b.mac));
    assert.equal(
      b.sent().map(({ frame }) => readWindow(frame).number),
      [32, 33, 34, 35, 36],
    );
    // An answer to what was never sent, one of another epoch, one that goes back: nothing moves.
    b.arrive(ack(first[0], 38, b.mac), ack({ ...first[0], epoch: first[0].epoch + 1 }, 37, b.mac));
    b.arrive(ack(first[0], 4, b.mac));
    assert.is(b.sent().length, 0);
    // The same number three times more: what is under way goes again, once.
    for (let i = 0; i < 3; i++) b.arrive(ack(first[0], 5, b.mac));
    assert.equal(
      b.sent().map(({ frame }) => readWindow(frame).number),
      Array.from({ length: 32 }, (_, i) => i + 5),
    );
    b.arrive(ack(first[0], 5, b.mac));
    assert.is(b.sent().length, 0);
    b.arrive(ack(first[0], 37, b.mac));
    assert.is(b.sent().length, 32);
    // Nobody is to have it any more: the application's thread ends its socket at once.
    socket.close();
  }));

test('what is not acknowledged goes again after 20 ms, then 40, 80 …; after 5 s the peer is dead', () =>
  bench(async b => {
    const handle = await b.stack.load(windowTransport());
    const socket = b.stack.burst.bind({ transport: 'window' });
    new Sender(socket, { address: THEIRS[4], port: 9 }, 1).more();
    const at: number[] = [];
    const news: DatagramNews[] = [];
    let error: string | undefined;
    for (let ms = 0; ms < 8000 && error === undefined; ms += 5) {
      b.later(ms === 0 ? 0 : 5);
      for (const _ of b.sent()) at.push(ms);
      if (b.stack.burst.news(news) > 0) error = news[0].error;
    }
    assert.is(error, 'ETIMEDOUT');
    assert.is(at[0], 0);
    const gaps = at.slice(1).map((t, i) => t - at[i]);
    for (const [i, gap] of gaps.entries()) {
      const wish = 20 << Math.min(i, 6);
      assert.ok(gap >= wish && gap <= wish + 10, `${gap} ms where ${wish} were due: ${at}`);
    }
    assert.is(handle.counters().GivenUp, 1);
    assert.is(socket.queued, 0);
  }));

test('who sends and acknowledges nothing is dead as well', () =>
  bench(async b => {
    const handle = await b.stack.load(windowTransport());
    const socket = b.stack.burst.bind({ port: 7, transport: 'window' });
    new Sender(socket, { address: THEIRS[4], port: 9 }, 1).more();
    const batch: Datagram[] = [];
    let number = 0;
    let deadMs = 0;
    for (let ms = 0; ms < 20_000 && deadMs === 0; ms += 100) {
      b.later(100);
      b.sent();
      const data = { src: THEIRS[4], dst: OURS[4], sport: 9, dport: 7, kind: Kind.DATA, epoch: 77 };
      b.arrive(windowFrame({ ...data, number, payload: Buffer.alloc(8) }, b.mac));
      number += socket.receive(batch);
      if (handle.counters().GivenUp) deadMs = ms;
    }
    assert.ok(number > 40, `${number} came`);
    assert.ok(deadMs >= 4500 && deadMs <= 6000, `${deadMs} ms`);
    socket.close();
  }));

test('of two peers one is dead: the other has all of its own meanwhile, and who comes to life begins anew', () =>
  wired(async w => {
    const { hosts } = await both(w);
    const alive = new Receiver(w.b.stack.burst.bind({ port: 7, transport: 'window' }));
    const socket = w.a.stack.burst.bind({ transport: 'window' });
    const dead = new Sender(socket, { address: AT.b[4], port: 8 }, 5, 100, 1);
    dead.more();
    await transfer(hosts, [new Sender(socket, { address: AT.b[4], port: 7 }, 20)], [alive]);
    const news: DatagramNews[] = [];
    await until(hosts, () => w.a.stack.burst.news(news) > 0 && news[0].error !== undefined, 10_000);
    assert.is(news[0].error, 'ETIMEDOUT');
    const late = new Receiver(w.b.stack.burst.bind({ port: 8, transport: 'window' }));
    await transfer(hosts, [new Sender(socket, { address: AT.b[4], port: 8 }, 50, 100, 2)], [late]);
    assert.equal([...late.got], [[2, 50]]);
  }));

test('all that waits for a peer that is dead is lost at once, not a window of it each time', () =>
  wired(async w => {
    const { at, hosts } = await both(w);
    const alive = new Receiver(w.b.stack.burst.bind({ port: 7, transport: 'window' }));
    const socket = w.a.stack.burst.bind({ transport: 'window' });
    const dead = new Sender(socket, { address: AT.b[4], port: 8 }, 200, 100, 1);
    dead.more();
    assert.is(dead.sent, 200);
    const { engine } = w.a.stack;
    const beganNs = engine.now();
    await transfer(hosts, [new Sender(socket, { address: AT.b[4], port: 7 }, 20)], [alive], 60_000);
    assert.ok(engine.now() - beganNs < 6_000_000_000n, `${engine.now() - beganNs} ns`);
    await pass(hosts, 100);
    assert.is(at.counters().GivenUp, 1);
    assert.is(socket.queued, 0);
    // What is sent to it from now on is tried again.
    const late = new Receiver(w.b.stack.burst.bind({ port: 8, transport: 'window' }));
    await transfer(hosts, [new Sender(socket, { address: AT.b[4], port: 8 }, 50, 100, 2)], [late]);
    assert.equal([...late.got], [[2, 50]]);
  }));

test('two peers at once, each in order, and one socket that hears both', () =>
  wired(
    async w => {
      const { hosts } = await both(w);
      const bind = (host: Host, port = 0) => host.stack.burst.bind({ port, transport: 'window' });
      const [one, two] = [bind(w.a), bind(w.a)];
      const [x, y] = [new Receiver(bind(w.b, 7)), new Receiver(bind(w.b, 8))];
      const to = (port: number) => ({ address: AT.b[4], port });
      const senders = [
        new Sender(one, to(7), 300, 500, 1),
        new Sender(two, to(7), 300, 500, 2),
        new Sender(one, to(8), 300, 500, 3),
      ];
      await transfer(hosts, senders, [x, y], 120_000);
      assert.equal([...x.got].sort(), [
        [1, 300],
        [2, 300],
      ]);
      assert.equal([...y.got], [[3, 300]]);
    },
    { link: { loss: 0.02 } },
  ));

test('who does not read is no dead peer: all is there when it does', () =>
  wired(async w => {
    const { at, bt, hosts } = await both(w);
    const slow = w.b.stack.burst.bind({ port: 7, transport: 'window', receiveBuffer: 4096 });
    const socket = w.a.stack.burst.bind({ transport: 'window' });
    const sender = new Sender(socket, { address: AT.b[4], port: 7 }, 100, 500);
    sender.more();
    await pass(hosts, 20_000);
    assert.ok(bt.counters().InNoRoom > 10);
    assert.is(at.counters().GivenUp, undefined);
    await transfer(hosts, [sender], [new Receiver(slow)]);
  }));

test('what was sent before the socket is closed arrives, over a wire that loses; then its port is free', () =>
  wired(
    async w => {
      const { hosts } = await both(w);
      const receiver = new Receiver(w.b.stack.burst.bind({ port: 7, transport: 'window' }));
      for (let round = 0; round < 3; round++) {
        const socket = w.a.stack.burst.bind({ port: 9, transport: 'window' });
        const sender = new Sender(socket, { address: AT.b[4], port: 7 }, 100, 500, round);
        sender.more();
        assert.is(sender.sent, 100);
        socket.close();
        await until(hosts, () => {
          receiver.take();
          return receiver.got.get(round) === 100;
        });
        await pass(hosts, 1500);
      }
    },
    { link: { loss: 0.05 } },
  ));

test('a socket of another lane than its packets come in at, and one of another thread', () =>
  wired(
    async w => {
      const { hosts } = await both(w);
      const receiver = new Receiver(w.b.stack.burst.bind({ port: 7, transport: 'window', lane: 1 }));
      const sockets = [0, 1].map(lane => w.a.stack.burst.bind({ transport: 'window', lane }));
      const senders = sockets.map((s, i) => new Sender(s, { address: AT.b[4], port: 7 }, 200, 300, i));
      await transfer(hosts, senders, [receiver]);
      assert.equal([...receiver.got.values()], [200, 200]);
    },
    { engine: { lanes: 2 } },
  ));

test('bytes in a send ring that are no datagram end their socket, nobody else’s', () =>
  bench(async b => {
    await b.stack.load(windowTransport());
    const [bad, good] = [0, 1].map(() => b.stack.burst.bind({ transport: 'window' }));
    for (const socket of [bad, good]) new Sender(socket, { address: THEIRS[4], port: 9 }, 1).more();
    b.run();
    assert.is(b.sent().length, 2);
    bad.send(Buffer.alloc(64), { family: 4, port: 9, w0: 1, w1: 7, w2: 0, w3: 0 });
    b.run();
    const news: DatagramNews[] = [];
    const n = b.stack.burst.news(news);
    assert.ok(news.slice(0, n).some(e => e.socket === bad && e.error === 'EPROTO' && e.closed));
    new Sender(good, { address: THEIRS[4], port: 9 }, 2).more();
    b.run();
    assert.ok(b.sent().every(({ frame }) => frame.length >= HEADERS && readWindow(frame).dport === 9));
    assert.ok(OURS[4]);
  }));
