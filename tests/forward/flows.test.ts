/** How long flows live, what their limits do, and who gets their ports next. */
import { packet } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import {
  ACK,
  BACKEND,
  BACKEND_PORT,
  type Bench,
  bench,
  FIN_ACK,
  FIRST_PORT,
  input,
  one,
  PORT,
  REAR,
  RST,
  reply,
  request,
  SYN,
  SYN_ACK,
} from './rig.js';

const test = suite('forward: flows');

/** A whole connection's start; the backend's view of it. */
function handshake(b: Bench, sport = 40000) {
  const there = one(b.forth(request({ sport, flags: SYN })));
  one(b.back(reply(there, { flags: SYN_ACK })));
  one(b.forth(request({ sport, flags: ACK })));
  return there;
}

/** Both FINs and the last acknowledgement. */
function finish(b: Bench, there: ReturnType<typeof one>, sport = 40000): void {
  one(b.forth(request({ sport, flags: FIN_ACK })));
  one(b.back(reply(there, { flags: FIN_ACK })));
  one(b.forth(request({ sport, flags: ACK })));
}

const state = (b: Bench): string | undefined => b.forwarder.flows(0)[0]?.state;

test('a TCP flow opens with its third packet, and not by what a client says alone', () =>
  bench(b => {
    const there = one(b.forth(request({ flags: SYN })));
    assert.is(state(b), 'opening');
    one(b.forth(request({ flags: ACK })));
    assert.is(state(b), 'opening', 'no answer yet');
    one(b.back(reply(there, { flags: SYN_ACK })));
    assert.is(state(b), 'opening');
    one(b.forth(request({ flags: ACK })));
    assert.is(state(b), 'open');
    one(b.forth(request({ flags: FIN_ACK })));
    assert.is(state(b), 'closing');
    one(b.back(reply(there)));
    assert.is(state(b), 'closing');
    one(b.back(reply(there, { flags: FIN_ACK })));
    assert.is(state(b), 'closed');
  }));

const AGES: [what: string, seconds: number, make: (b: Bench) => ReturnType<typeof one>][] = [
  ['a connection that is being opened, 60 s', 60, b => one(b.forth(request({ flags: SYN })))],
  ['an open connection, 7440 s', 7440, b => handshake(b)],
  [
    'a connection with one FIN, 240 s',
    240,
    b => {
      const there = handshake(b);
      one(b.forth(request({ flags: FIN_ACK })));
      return there;
    },
  ],
  [
    'a closed connection, 60 s',
    60,
    b => {
      const there = handshake(b);
      finish(b, there);
      return there;
    },
  ],
  [
    'a reset connection, 60 s',
    60,
    b => {
      const there = handshake(b);
      one(b.back(reply(there, { flags: RST, seq: 2 })));
      return there;
    },
  ],
  ['UDP without an answer, 30 s', 30, b => one(b.forth(request({ protocol: 'udp' })))],
  [
    'UDP with an answer, 180 s',
    180,
    b => {
      const there = one(b.forth(request({ protocol: 'udp' })));
      one(b.back(reply(there)));
      return there;
    },
  ],
];

for (const [what, seconds, make] of AGES)
  test(`silence ends ${what}, and every packet begins it anew`, () =>
    bench(b => {
      const there = make(b);
      const flags = ACK;
      for (let i = 0; i < 2; i++) {
        b.advance(seconds - 1);
        // From the client: an answer would open what is being opened.
        one(b.forth(request({ protocol: there.protocol === 17 ? 'udp' : 'tcp', flags })));
      }
      assert.is(b.forwarder.flows(0).length, 1);
      b.advance(seconds + 0.001);
      assert.is(b.forwarder.flows(0).length, 0);
      assert.equal(b.back(reply(there, { flags: SYN_ACK })), [], 'an answer comes too late');
      if (there.protocol === 6) assert.equal(b.forth(request({ flags })), []);
    }));

test('ages are the configuration’s', () =>
  bench(
    b => {
      one(b.forth(request({ protocol: 'udp' })));
      b.advance(1.4);
      assert.is(b.forwarder.flows(0).length, 1);
      b.advance(0.2);
      assert.is(b.forwarder.flows(0).length, 0);
    },
    input(1, { ages: { udpOpening: 1.5 } }),
  ));

test('a client that comes back after its flow has aged gets the same port again', () =>
  bench(b => {
    one(b.forth(request({ sport: 1, protocol: 'udp' })));
    const before = one(b.forth(request({ sport: 2, protocol: 'udp' })));
    b.advance(1000);
    assert.is(one(b.forth(request({ sport: 2, protocol: 'udp' }))).sport, before.sport);
    assert.is(b.forwarder.flows(0).length, 1);
  }));

test('a closed connection is opened again by its own client, on the same port', () =>
  bench(b => {
    const there = handshake(b);
    finish(b, there);
    const again = handshake(b);
    assert.is(again.sport, there.sport);
    assert.is(state(b), 'open');
    assert.equal([b.counts().opened, b.counts().reopened], [1, 1]);
  }));

test('a SYN inside an open connection changes nothing', () =>
  bench(b => {
    handshake(b);
    one(b.forth(request({ flags: SYN })));
    assert.is(state(b), 'open');
    assert.is(b.counts().reopened, undefined);
  }));

const few = (flows: number) => input(1, { flows });

test('when all ports are taken the next flow is dropped and counted, and those that are there go on', () =>
  bench(b => {
    const there = [0, 1, 2, 3].map(i => handshake(b, 100 + i));
    assert.equal(
      there.map(t => t.sport).sort(),
      [0, 1, 2, 3].map(i => FIRST_PORT + i),
    );
    assert.equal(b.forth(request({ sport: 200, flags: SYN })), []);
    assert.equal(b.forth(request({ sport: 200, protocol: 'udp' })), []);
    assert.is(b.counts().no_port, 2);
    for (const t of there) one(b.back(reply(t)));
    b.advance(7441);
    const next = one(b.forth(request({ sport: 200, flags: SYN })));
    assert.ok(next.sport >= FIRST_PORT && next.sport < FIRST_PORT + 4, 'an aged one');
    assert.is(b.forwarder.flows(0).length, 1);
  }, few(4)));

test('for want of others the port of the connection that was closed first is taken over', () =>
  bench(b => {
    const there = [0, 1, 2, 3].map(i => handshake(b, 100 + i));
    finish(b, there[2], 102);
    b.advance(5);
    finish(b, there[1], 101);
    assert.is(handshake(b, 200).sport, there[2].sport);
    assert.is(handshake(b, 201).sport, there[1].sport);
    assert.equal(b.forth(request({ sport: 202, flags: SYN })), [], 'open ones are not touched');
    assert.equal([b.counts().evicted, b.counts().no_port], [2, 1]);
    // Whose port it was has no flow any more; a new one is a new flow.
    assert.equal(b.forth(request({ sport: 102, flags: ACK })), []);
  }, few(4)));

test('a table that is always full stays right: 2,000 connections through 50 ports', () =>
  bench(b => {
    let refused = 0;
    for (let i = 0; i < 2000; i++) {
      b.advance(2);
      const sport = 1000 + (i % 700);
      const [there] = b.forth(request({ src: `10.0.0.${1 + (i % 3)}`, sport, flags: SYN }));
      if (!there) {
        refused++;
        continue;
      }
      const seen = one([there]);
      const back = one(b.back(reply(seen, { flags: SYN_ACK })));
      assert.equal([back.dst, back.dport], [`10.0.0.${1 + (i % 3)}`, sport], `connection ${i}`);
      if (i % 4 === 0) one(b.back(reply(seen, { flags: RST, seq: 2 })));
    }
    // 60 s of opening ones at one in 2 s: 30 of 50 ports.
    assert.is(refused, 0);
    assert.ok(b.counters().hops[0].flows <= 50);
  }, few(50)));

for (const protocol of ['tcp', 'udp'] as const)
  test(`${protocol}: a client’s port that is one of the hop’s own is kept, at every hop`, () =>
    bench(b => {
      for (const i of [17, 0, 1023, 500]) {
        const sport = FIRST_PORT + i;
        const there = one(b.forth(request({ protocol, sport, flags: SYN })));
        assert.is(there.sport, sport);
        assert.is(b.forwarder.flows(1).find(f => f.sourcePort === sport)?.port, PORT + 1);
        assert.is(one(b.back(reply(there, { flags: SYN_ACK }))).dport, sport);
      }
    }, input(3)));

test('another port leads to the same one after a restart, and 1,024 that Linux connects from to as many', async () => {
  const lives: number[][] = [];
  for (const order of [1, -1]) {
    const given: number[] = [];
    await bench(b => {
      for (let i = 0; i < 1024; i++) {
        const at = order > 0 ? i : 1023 - i;
        given[at] = one(b.forth(request({ sport: 32768 + 2 * at, flags: SYN }))).sport;
      }
    });
    assert.is(new Set(given).size, 1024);
    lives.push(given);
  }
  assert.equal(lives[0], lives[1]);
});

for (const [firstPort, flows] of [
  [FIRST_PORT, 1024],
  [FIRST_PORT + 1, 1024],
  [FIRST_PORT + 1, 1023],
])
  test(`UDP keeps the parity of its port, where ${flows} begin at ${firstPort}`, () =>
    bench(
      b => {
        for (let sport = 5000; sport < 5100; sport += 3)
          assert.is(one(b.forth(request({ protocol: 'udp', sport }))).sport & 1, sport & 1, `${sport}`);
      },
      input(1, { firstPort, flows }),
    ));

test('a port that another client has, or had until just now, is not taken while others are free', () =>
  bench(b => {
    const sport = FIRST_PORT + 9;
    const first = handshake(b, sport);
    const given = [one(b.forth(request({ src: '10.0.0.7', sport, flags: SYN }))).sport];
    finish(b, first, sport);
    given.push(one(b.forth(request({ src: '10.0.0.8', sport, flags: SYN }))).sport);
    assert.is(new Set([sport, ...given]).size, 3);
    assert.is(b.counts().evicted, undefined);
    b.advance(61);
    assert.is(one(b.forth(request({ src: '10.0.0.9', sport, flags: SYN }))).sport, sport, 'free again');
  }));

test('where the preferred port is taken: first what was never used, then what has been free longest', () =>
  bench(b => {
    const udp = (i: number) => one(b.forth(request({ protocol: 'udp', sport: FIRST_PORT + i })));
    const other = (host: number) =>
      one(b.forth(request({ src: `10.0.0.${host}`, protocol: 'udp', sport: FIRST_PORT + 3 }))).sport;
    handshake(b, FIRST_PORT + 3);
    udp(2);
    b.advance(10);
    udp(0);
    b.advance(25);
    assert.is(other(50), FIRST_PORT + 1, 'never used, though 2 is free');
    b.advance(10);
    assert.is(other(51), FIRST_PORT + 2, 'free for 15 s, 0 for 5');
    assert.is(other(52), FIRST_PORT);
    assert.is(other(53), FIRST_PORT + 1, 'none is free: that which has no answer longest');
  }, few(4)));

test('an answer to a port that is not given is dropped', () =>
  bench(b => {
    one(b.forth(request({ flags: SYN })));
    const stray = packet({ src: BACKEND, dst: REAR, sport: BACKEND_PORT, dport: FIRST_PORT + 7 });
    assert.equal(b.back(stray), []);
    assert.is(b.counts().no_flow, 1);
  }));
