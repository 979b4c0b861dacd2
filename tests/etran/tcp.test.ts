/**
 * The capabilities of "implementing eTran" that its TCP shows: the control plane (7), the transport itself (8), and what an
 * application sees (10). Each has tests of its own in tests/tcp, tests/cc and tests/stream; these are the claims of the list.
 */
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import { assert, suite } from '../support/suite.js';
import { OptionFlag } from '../tcp/options.js';
import { Pair, pattern, sha, type Transfer } from '../tcp/pair.js';

const test = suite('eTran');
const LIMIT = { timeoutMs: 60_000 };
const [ESTABLISHED, SYN_SENT, CLOSE] = [1, 2, 7];
const ALGORITHM = { reno: 0, cubic: 1, dctcp: 2, dctcpRate: 3, timely: 4, bbr: 5 } as const;

/** Moves bytes and compares them. Returns ms of virtual time. */
function moves(pair: Pair, t: Transfer): number {
  const { ms, shas } = pair.transfer({ limitMs: 120_000, ...t });
  assert.equal([shas[1], shas[3]], [shas[0], shas[2]], 'every byte, once, in order');
  return ms;
}

test(
  '7: listen with a backlog, connect, accept, close; what is too much waits, what nobody listens to is refused',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const { a, b } = pair;
    const BACKLOG = 4;
    const slot = b.listen(4, 80, BACKLOG);
    const ends = Array.from({ length: 12 }, (_, i) => a.connect('10.0.0.1', 5000 + i, '10.0.0.2', 80));
    pair.run(() => false, 500);
    // Those that wait to be accepted are one more than the backlog, as in Linux.
    assert.is(b.accepted.length, BACKLOG + 1);
    const taken = new Set<number>();
    // Who was not let in asks again, and comes in as room is made.
    assert.ok(
      pair.run(
        () => taken.size === ends.length,
        60_000,
        () => {
          for (const id of b.accepted.splice(0)) {
            taken.add(id);
            b.took(slot);
          }
        },
      ),
    );
    assert.ok(ends.every(end => a.flow(end.id).state === ESTABLISHED));
    const refused = a.connect('10.0.0.1', 6000, '10.0.0.2', 81);
    pair.run(() => a.flow(refused.id).state === CLOSE, 1000);
    assert.is(a.flow(refused.id).error, 111, 'ECONNREFUSED');
    // The same four of addresses and ports are one connection's.
    const twice = a.connect('10.0.0.1', 5000, '10.0.0.2', 80);
    a.settle();
    assert.is(a.flow(twice.id).error, 98, 'EADDRINUSE');
    for (const host of [a, b])
      for (const end of host.ends.values()) {
        end.request(StreamRequest.CLOSE);
        end.release();
      }
    pair.run(() => false, 200_000);
    assert.is(a.apps.streamsOf(a.app.number) + b.apps.streamsOf(b.app.number), 0);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  '7: an application that dies takes its connections with it, their peers are told, and nobody else notices',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const { a, b, engine } = pair;
    const doomed = b.apps.open();
    const slot = b.listen(4, 80, 8);
    const key = [...b.map('tcp_listeners').keys()][0];
    const listener = b.map('tcp_listeners').get(key)!;
    // Its connections are another application's than those of the transfer beside.
    b.map('tcp_listeners').set(key, { ...listener, app: doomed.number });
    const theirs = [1, 2, 3].map(i => a.connect('10.0.0.1', 5000 + i, '10.0.0.2', 80));
    const accepted: number[] = [];
    const hear = (): void => {
      doomed.take((end, events) => {
        if (events & StreamEvent.ACCEPT) accepted.push(end.id);
      });
    };
    pair.run(() => accepted.length === 3, 1000, hear);
    assert.is(accepted.length, 3);
    for (const _ of accepted) b.took(slot);
    // Its bytes are in flight when it ends.
    for (const end of [...theirs, ...theirs]) {
      end.write(pattern(10_000, 3));
      a.settle();
    }
    let killed = false;
    const forth = 500_000;
    const data = pattern(forth, 1);
    b.listen(4, 90, 8);
    const mine = a.connect('10.0.0.1', 7000, '10.0.0.2', 90);
    const got: Uint8Array[] = [];
    let sent = 0;
    let bytes = 0;
    pair.run(
      () => bytes === forth,
      60_000,
      () => {
        hear();
        if (sent < forth) sent += mine.write(data.subarray(sent));
        const id = b.accepted[0];
        if (id !== undefined) {
          const into = new Uint8Array(b.ends.get(id)!.readable);
          b.ends.get(id)!.read(into);
          got.push(into);
          bytes += into.length;
        }
        if (!killed && bytes > forth / 4) {
          killed = true;
          b.apps.close(doomed.number);
        }
      },
    );
    assert.ok(killed);
    assert.is(sha(Buffer.concat(got)), sha(data));
    for (const end of theirs) assert.equal([a.flow(end.id).state, a.flow(end.id).error], [CLOSE, 104]);
    for (const end of theirs) end.release();
    pair.run(() => false, 100);
    assert.is(b.apps.streamsOf(doomed.number), 0);
    assert.is(b.apps.open().number, doomed.number, 'its number serves the next');
    assert.equal(engine.crashes, []);
    await engine.stop();
  },
  LIMIT,
);

test(
  '7: a connection belongs to one application, and no other gets hold of it',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const { a, b } = pair;
    b.listen(4, 80, 8);
    const end = a.connect('10.0.0.1', 5000, '10.0.0.2', 80);
    pair.run(() => b.accepted.length > 0 && a.flow(end.id).state === ESTABLISHED, 1000);
    const stranger = a.apps.open();
    assert.throws(() => stranger.end(end.id), /is not one of application/);
    // Who does not ask rings all the same: tests/stream shows that the lane does not hear it.
    assert.is(a.flow(end.id).state, ESTABLISHED);
    const server = b.ends.get(b.accepted[0])!;
    let said = 0;
    assert.ok(
      pair.run(
        () => server.readable === 1,
        1000,
        () => {
          if (!said) said = end.write(Uint8Array.of(1));
        },
      ),
    );
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  '8: ACKs are coalesced, data out of order is put together, and the window is never overrun',
  async () => {
    const pair = await Pair.create({ delayNs: 2_000_000, reorder: 0.1, seed: 5 });
    moves(pair, { forth: 500_000, back: 100, server: { rcvBytes: 16_384 } });
    const [a, b] = [pair.a.counters(), pair.b.counters()];
    assert.ok(b.TCPOFOQueue > 10, 'segments came out of order');
    assert.is(b.TCPRcvQDrop, undefined, 'none without room');
    const plain = await Pair.create({ delayNs: 2_000_000 });
    moves(plain, { forth: 2_000_000 });
    assert.ok(
      plain.b.counters().OutSegs < plain.a.counters().OutSegs * 0.75,
      `${plain.b.counters().OutSegs} ACKs of ${plain.a.counters().OutSegs} segments`,
    );
    assert.ok(a.OutSegs > 0);
    await pair.engine.stop();
    await plain.engine.stop();
  },
  LIMIT,
);

test(
  '8: what is lost is sent again, by reports if there are any, by the clock if there are none',
  async () => {
    const pair = await Pair.create({ delayNs: 5_000_000, loss: 0.03, seed: 4 });
    moves(pair, { forth: 1_000_000 });
    assert.ok(pair.a.counters().TCPFastRetrans > 5, 'fast retransmit');
    const dark = await Pair.create({ delayNs: 5_000_000, loss: 0.4, seed: 4 });
    moves(dark, { forth: 20_000, limitMs: 600_000 });
    assert.ok(dark.a.counters().TCPTimeouts > 0, 'retransmission timeout');
    await pair.engine.stop();
    await dark.engine.stop();
  },
  LIMIT,
);

for (const [name, algorithm] of Object.entries(ALGORITHM))
  test(
    `8: ${name} fills a marked bottleneck and leaves it fit for others`,
    async () => {
      // Of a data centre: Timely holds every round trip beyond 150 µs for a queue.
      const rate = 1_000_000_000;
      const pair = await Pair.create({ delayNs: 10_000, rate, queueBytes: 150_000, ecnBytes: 30_000 });
      const forth = 8_000_000;
      const options = { algorithm, flags: OptionFlag.ECN };
      const ms = moves(pair, { forth, client: options, server: options });
      const share = (forth * 8) / (ms / 1000) / rate;
      // Timely gives way to every µs of queue; the others fill the link.
      assert.ok(share > (name === 'timely' ? 0.03 : 0.6), `${(share * 100).toFixed(0)} % of the link`);
      const { TCPDeliveredCE = 0, OutSegs } = pair.a.counters();
      if (name.startsWith('dctcp')) assert.ok(TCPDeliveredCE > 0, 'marks were echoed');
      assert.ok(OutSegs < (forth / 1400) * 1.2, `${OutSegs} segments`);
      await pair.engine.stop();
    },
    LIMIT,
  );

test(
  '8: congestion control changes hands on a live connection, and no byte is lost',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000, rate: 100_000_000 });
    const { a, b } = pair;
    b.listen(4, 80, 8);
    const end = a.connect('10.0.0.1', 5000, '10.0.0.2', 80);
    const data = pattern(3_000_000, 9);
    const got: Uint8Array[] = [];
    let sent = 0;
    let bytes = 0;
    let next = 0;
    assert.ok(
      pair.run(
        () => bytes === data.length,
        60_000,
        () => {
          if (sent < data.length) sent += end.write(data.subarray(sent));
          if (bytes > (next + 1) * 400_000 && next < 6) a.setOptions(end.id, { algorithm: next++ }, 0);
          const id = b.accepted[0];
          if (id === undefined) return;
          const into = new Uint8Array(b.ends.get(id)!.readable);
          b.ends.get(id)!.read(into);
          got.push(into);
          bytes += into.length;
        },
      ),
    );
    assert.is(next, 6);
    assert.is(sha(Buffer.concat(got)), sha(data));
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  '8: a paced connection sends at its rate: no burst is longer than a millisecond of it',
  async () => {
    const rate = 1_250_000;
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const forth = 1_000_000;
    const ms = moves(pair, { forth, client: { rate, flags: OptionFlag.PACE } });
    const ideal = (forth * 1.045 * 1000) / rate;
    assert.ok(Math.abs(ms - ideal) / ideal < 0.05, `${ms.toFixed(1)} ms, ${ideal.toFixed(1)} expected`);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  '10: readiness of many connections comes in batches, each told once, as epoll tells it at its edges',
  async () => {
    const CONNECTIONS = 24;
    const pair = await Pair.create({ delayNs: 1_000_000, streams: 64 });
    const { a, b } = pair;
    const slot = b.listen(4, 80, 64);
    const ends = Array.from({ length: CONNECTIONS }, (_, i) =>
      a.connect('10.0.0.1', 5000 + i, '10.0.0.2', 80),
    );
    assert.is(a.flow(ends[0].id).state === SYN_SENT || a.flow(ends[0].id).state === 0, true);
    assert.ok(pair.run(() => b.accepted.length === CONNECTIONS, 1000));
    for (const _ of b.accepted) b.took(slot);
    pair.run(() => false, 100);
    b.events.clear();
    // The first write makes the ring.
    for (const [i, end] of ends.entries()) if (i % 3 === 0) end.write(pattern(100 + i, i));
    a.app.flush();
    pair.engine.step();
    for (const [i, end] of ends.entries())
      if (i % 3 === 0) assert.is(end.write(pattern(100 + i, i)), 100 + i);
    a.app.flush();
    // One look of the application after the burst: all that are ready, no other, none twice.
    const told: number[] = [];
    pair.engine.run({ untilNs: pair.engine.now() });
    pair.engine.advance(1_100_000n);
    pair.engine.run({ untilNs: pair.engine.now() });
    b.app.take((end, events) => {
      assert.ok(events & StreamEvent.IN);
      told.push(end.id);
    });
    assert.is(new Set(told).size, CONNECTIONS / 3);
    assert.is(told.length, CONNECTIONS / 3);
    b.app.take(end => assert.unreachable(`stream ${end.id} was told again`));
    for (const id of told) {
      const end = b.ends.get(id)!;
      assert.ok(end.readable >= 100);
      // Views into the ring: nothing is copied.
      const seen = end.readViews().reduce((n, v) => n + v.length, 0);
      end.consume(seen);
      assert.is(end.readable, 0);
    }
    await pair.engine.stop();
  },
  LIMIT,
);
