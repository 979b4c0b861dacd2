/** Datagrams on the wire: what is taken, what is refused and counted, what goes out, and ICMP both ways. */

import { takeStreamLedger } from '../../host/mem/streams.js';
import type { Datagram } from '../../host/net/burst/datagram.js';
import { checksum, packet, read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import { type Bench, bench, OURS, THEIRS } from './rig.js';

const test = suite('udp: the wire');

const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + n) & 255);
const l4At = (frame: Uint8Array): number => (frame[12] === 8 ? 34 : 54);
/** The frame with other bytes at an offset of the UDP header. */
const patched = (frame: Uint8Array, at: number, ...values: number[]): Uint8Array => {
  const copy = frame.slice();
  copy.set(values, l4At(frame) + at);
  return copy;
};
/** An ICMP error that quotes a packet, with right checksums. */
function icmpAbout(b: Bench, quoted: Uint8Array, type: number, code: number, from?: string): Uint8Array {
  const v6 = quoted[12] === 0x86;
  const ip = quoted.slice(14);
  const frame = packet({
    ...{ src: from ?? THEIRS[v6 ? 6 : 4], dst: OURS[v6 ? 6 : 4], protocol: 'icmp', type, code },
    ...{ payload: ip, smac: '02:00:00:00:00:02', dmac: b.mac },
  });
  // `packet` writes an identifier where errors have nothing: the sum is made anew.
  const at = l4At(frame);
  frame.set([0, 0, 0, 0, 0, 0], at + 2);
  const l4 = frame.subarray(at);
  const pseudo = v6
    ? Uint8Array.from([...frame.subarray(22, 54), 0, 0, ...be16(l4.length), 0, 0, 0, 58])
    : new Uint8Array(0);
  frame.set(be16(checksum(pseudo, l4)), at + 2);
  return frame;
}

for (const family of [4, 6] as const) {
  const most = family === 4 ? 1472 : 1452;

  test(`IPv${family}: every length from 0 to ${most} arrives whole, and goes out with right checksums`, () =>
    bench(b => {
      const socket = b.stack.burst.bind({ port: 53 });
      const got: Datagram[] = [];
      const lengths = [
        ...Array.from({ length: 130 }, (_, i) => i),
        511,
        512,
        513,
        1023,
        1024,
        1400,
        most - 1,
        most,
      ];
      for (const n of lengths) {
        b.arrive(b.datagram({ family, payload: bytes(n), ttl: 9 }));
        assert.is(socket.receive(got), 1, `${n} bytes`);
        const [d] = got;
        assert.equal([d.length, d.address, d.port, d.ttl, d.family], [n, THEIRS[family], 4000, 9, family]);
        assert.equal(d.data, bytes(n));
        socket.ttl = 77;
        assert.ok(socket.send(bytes(n), d));
        b.run();
        const [{ seen, frame }] = b.sent();
        assert.ok(seen.sound, `${n} bytes`);
        assert.equal(
          [seen.src, seen.dst, seen.sport, seen.dport, seen.protocol, seen.ttl, seen.smac],
          [OURS[family], THEIRS[family], 53, 4000, 17, 77, b.mac],
        );
        assert.equal(seen.l4.slice(8), bytes(n));
        assert.not.equal(seen.l4.slice(6, 8), new Uint8Array(2), 'a checksum is always sent');
        assert.is(frame.length, l4At(frame) + 8 + n);
      }
      assert.equal(b.counted(), { InDatagrams: lengths.length, OutDatagrams: lengths.length });
    }));

  test(`IPv${family}: a datagram that is longer than the port takes is EMSGSIZE`, () =>
    bench(b => {
      const socket = b.stack.burst.bind({});
      const to = socket.peer(THEIRS[family], 9);
      assert.throws(
        () => socket.send(bytes(most + 1), to),
        (e: { errno: string }) => e.errno === 'EMSGSIZE',
      );
      assert.ok(socket.send(bytes(most), to));
      b.run();
      assert.is(b.sent().length, 1);
    }));

  test(`IPv${family}: any wrong bit of a datagram is found by its checksum, and counted as Linux does`, () =>
    bench(b => {
      const socket = b.stack.burst.bind({ port: 53 });
      const good = b.datagram({ family, payload: bytes(33) });
      const at = l4At(good);
      const wrong: Uint8Array[] = [];
      // Not the lengths, and not the ports, whose socket would be another.
      for (let i = at; i < good.length; i++) {
        if (i >= at + 2 && i < at + 6) continue;
        const copy = good.slice();
        copy[i] ^= 1 << (i & 7);
        wrong.push(copy);
      }
      for (const f of wrong) b.arrive(f);
      assert.is(socket.readable, false);
      assert.equal(b.counted(), { InErrors: wrong.length, InCsumErrors: wrong.length });
      b.arrive(good);
      const got: Datagram[] = [];
      assert.is(socket.receive(got), 1, 'what was refused left nothing in the ring');
      assert.equal(got[0].data, bytes(33));
    }));

  test(`IPv${family}: lengths that lie are errors; one that says less than there is, is believed`, () =>
    bench(b => {
      const socket = b.stack.burst.bind({ port: 53 });
      const good = b.datagram({ family, payload: bytes(40) });
      for (const n of [0, 1, 7, 49, 65535]) b.arrive(patched(good, 4, ...be16(n)));
      b.arrive(good.slice(0, good.length - 1));
      b.arrive(good.slice(0, l4At(good) + 4));
      assert.is(socket.readable, false);
      assert.equal(b.counted(), { InErrors: 7 });
      // RFC 768: the length is UDP's; what stands behind it is padding of IP.
      const short = b.datagram({ family, payload: bytes(40) });
      const inner = b.datagram({ family, payload: bytes(10) });
      short.set(inner.subarray(l4At(inner), l4At(inner) + 18), l4At(short));
      const pseudoLen = patched(short, 6, ...inner.subarray(l4At(inner) + 6, l4At(inner) + 8));
      b.arrive(pseudoLen);
      const got: Datagram[] = [];
      assert.is(socket.receive(got), 1);
      assert.equal(got[0].length, 10);
    }));

  test(`IPv${family}: nobody at the port: ICMP port unreachable, NoPorts, and not for every datagram of a flood`, () =>
    bench(b => {
      b.arrive(b.datagram({ family, dport: 99 }));
      const [{ seen }] = b.sent();
      assert.equal(
        [seen.protocol, seen.l4[0], seen.l4[1], seen.dst],
        family === 4 ? [1, 3, 3, THEIRS[4]] : [58, 1, 4, THEIRS[6]],
      );
      assert.equal(b.counted(), { NoPorts: 1 });
      for (let i = 0; i < 500; i++) b.arrive(b.datagram({ family, dport: 99 }));
      assert.ok(b.sent().length < 100);
      assert.equal(b.counted(), { NoPorts: 500 });
    }));

  test(`IPv${family}: a port unreachable for a connected socket is ECONNREFUSED; for one that is not, and a forged one, nothing`, () =>
    bench(b => {
      const news: Parameters<typeof b.stack.burst.news>[0] = [];
      const heard = (): (string | undefined)[] => {
        b.run();
        return news.slice(0, b.stack.burst.news(news)).map(n => n.error);
      };
      const free = b.stack.burst.bind({ port: 60 });
      const connected = b.stack.burst.bind({ port: 61 });
      connected.connect(THEIRS[family], 9);
      free.send(bytes(5), free.peer(THEIRS[family], 9));
      connected.send(bytes(5));
      b.run();
      const [a, c] = b.sent();
      const [type, code] = family === 4 ? [3, 3] : [1, 4];
      heard();
      b.arrive(icmpAbout(b, a.frame, type, code));
      assert.equal(heard().filter(Boolean), []);
      const forged = c.frame.slice();
      forged[l4At(forged) + 3] ^= 1; // another port of the peer
      b.arrive(icmpAbout(b, forged, type, code));
      const spoilt = icmpAbout(b, c.frame, type, code);
      spoilt[spoilt.length - 1] ^= 1;
      b.arrive(spoilt);
      assert.equal(heard().filter(Boolean), []);
      b.arrive(icmpAbout(b, c.frame, type, code, family === 4 ? '10.0.0.77' : 'fd00::77'));
      assert.equal(heard(), ['ECONNREFUSED']);
      // Those that may pass are not told (Linux: not fatal).
      b.arrive(icmpAbout(b, c.frame, family === 4 ? 11 : 3, 0));
      assert.equal(heard(), []);
      b.arrive(icmpAbout(b, c.frame, family === 4 ? 3 : 2, family === 4 ? 4 : 0));
      assert.equal(heard(), ['EMSGSIZE']);
      assert.is(b.stack.counters('datagrams').ErrorsIn, 2);
    }));
}

test('without a checksum: taken over IPv4 (RFC 768), refused over IPv6 (RFC 8200)', () =>
  bench(b => {
    const socket = b.stack.burst.bind({ port: 53 });
    for (const family of [4, 6] as const)
      b.arrive(patched(b.datagram({ family, payload: bytes(9) }), 6, 0, 0));
    const got: Datagram[] = [];
    assert.is(socket.receive(got), 1);
    assert.is(got[0].family, 4);
    assert.equal(b.counted(), { InDatagrams: 1, InErrors: 1, InCsumErrors: 1 });
  }));

test('a checksum that comes out as 0 is sent as ffff', () =>
  bench(b => {
    const socket = b.stack.burst.bind({ port: 53 });
    const to = socket.peer(THEIRS[4], 9);
    // The last two bytes make up for all the rest: one value of them does it.
    const zero = (): Uint8Array => {
      socket.send(Uint8Array.of(0, 0), to);
      b.run();
      const [{ seen }] = b.sent();
      return seen.l4.slice(6, 8);
    };
    socket.send(zero(), to);
    b.run();
    const [{ seen }] = b.sent();
    assert.equal(seen.l4.slice(6, 8), Uint8Array.of(255, 255));
    assert.ok(seen.sound);
  }));

test('IPv6 options before UDP are walked; fragments and what is not for us pass by', () =>
  bench(b => {
    const socket = b.stack.burst.bind({ port: 53 });
    const plain = b.datagram({ family: 6, payload: bytes(20) });
    const withOption = (kind: number): Uint8Array => {
      const f = new Uint8Array(plain.length + 8);
      f.set(plain.subarray(0, 54));
      f.set([17, 0, 1, 4, 0, 0, 0, 0], 54);
      f.set(plain.subarray(54), 62);
      f[20] = kind;
      f.set(be16(plain.length - 54 + 8), 18);
      return f;
    };
    b.arrive(withOption(0), withOption(60));
    const got: Datagram[] = [];
    assert.is(socket.receive(got), 2);
    assert.equal(got[1].data, bytes(20));
    b.counted();
    b.arrive(b.datagram({ fragment: 0x2000 }), b.datagram({ fragment: 1 }), b.datagram({ dst: '10.0.0.9' }));
    b.arrive(b.datagram({ dst: '255.255.255.255', dmac: 'ff:ff:ff:ff:ff:ff' }));
    assert.is(socket.readable, false);
    assert.equal(b.counted(), {});
  }));

test('a full ring drops and counts: RcvbufErrors, drops of the socket; what was read makes room', () =>
  bench(b => {
    const socket = b.stack.burst.bind({ port: 53, receiveBuffer: 4096 });
    const n = Math.floor(4096 / (32 + 512));
    for (let i = 0; i < n + 5; i++) b.arrive(b.datagram({ payload: new Uint8Array(512).fill(i) }));
    assert.is(socket.drops, 5);
    assert.equal(b.counted(), { InDatagrams: n, InErrors: 5, RcvbufErrors: 5 });
    const got: Datagram[] = [];
    assert.is(socket.receive(got), n);
    for (let i = 0; i < n; i++) assert.ok(got[i].data.every(x => x === i));
    b.arrive(b.datagram({ payload: bytes(512) }));
    assert.is(socket.drops, 6, 'they are in use until they are given back');
    socket.done();
    for (let round = 0; round < 40; round++) {
      b.arrive(b.datagram({ payload: bytes(300 + round) }));
      assert.is(socket.receive(got), 1);
      assert.equal(got[0].data, bytes(300 + round), 'also where the ring begins anew');
    }
  }));

test('a neighbour that is not known is asked for, and the datagram goes when it answers', () =>
  bench(
    b => {
      const socket = b.stack.burst.bind({});
      socket.send(bytes(10), socket.peer(THEIRS[4], 9));
      b.run();
      const asked = b.sent();
      assert.equal([...asked[0].frame.subarray(12, 14)], [8, 6]);
      b.later(5);
      const arp = Uint8Array.from([
        ...asked[0].frame.subarray(6, 12),
        ...[2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        ...[2, 0, 0, 0, 0, 2, 10, 0, 0, 2, ...asked[0].frame.subarray(6, 12), 10, 0, 0, 1],
      ]);
      b.arrive(arp);
      b.later(5);
      const out = b.sent().filter(p => p.frame[13] === 0);
      assert.is(out.length, 1);
      assert.equal(out[0].seen.l4.slice(8), bytes(10));
    },
    { known: false },
  ));

/** The answer of a neighbour to what the first of `asked` asked. */
const answerOf = (asked: Uint8Array): Uint8Array =>
  Uint8Array.from([
    ...asked.subarray(6, 12),
    ...[2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
    ...[2, 0, 0, 0, 0, 2, ...asked.subarray(38, 42), ...asked.subarray(6, 12), 10, 0, 0, 1],
  ]);
const isArp = ({ frame }: { frame: Uint8Array }): boolean => frame[13] === 6;

test('a neighbour that does not answer is asked three times: EHOSTUNREACH after 3 s for each datagram, and not before', () =>
  bench(
    b => {
      const socket = b.stack.burst.bind({ port: 53 });
      const news: Parameters<typeof b.stack.burst.news>[0] = [];
      const errors = () => news.slice(0, b.stack.burst.news(news)).flatMap(({ error }) => error ?? []);
      socket.send(bytes(10), socket.peer('10.0.0.7', 9));
      b.run();
      let requests = b.sent().filter(isArp).length;
      b.later(1000);
      socket.send(bytes(11), socket.peer('10.0.0.7', 9));
      for (let ms = 1000; ms < 2990; ms += 10) b.later(10);
      requests += b.sent().filter(isArp).length;
      assert.is(requests, 3);
      assert.is(socket.queued, 0, 'what waits for a neighbour is out of the ring');
      assert.equal(errors(), []);
      b.later(15);
      assert.equal(errors(), ['EHOSTUNREACH']);
      assert.equal(b.counted(), { OutNoRoutes: 2 }, 'the neighbour was asked for since the first of them');
      socket.send(bytes(12), socket.peer('10.0.0.7', 9));
      b.run();
      b.later(2900);
      assert.equal(b.counted(), {});
      b.later(200);
      assert.equal(b.counted(), { OutNoRoutes: 1 });
    },
    { known: false },
  ));

test('while one neighbour does not answer datagrams to others go at once, whatever the ring holds', () =>
  bench(b => {
    const socket = b.stack.burst.bind({ port: 53, sendBuffer: 4096 });
    const [silent, good] = [socket.peer('10.0.0.7', 9), socket.peer(THEIRS[4], 9)];
    assert.ok(socket.send(bytes(100), silent));
    for (let round = 0; round < 100; round++) {
      // Twenty times what the ring takes.
      for (let i = 0; i < 4; i++) assert.ok(socket.send(bytes(200), good), `no room in round ${round}`);
      b.run();
      assert.is(b.sent().filter(p => !isArp(p)).length, 4);
    }
    assert.equal(b.counted(), { OutDatagrams: 400 });
  }));

test('of two neighbours that are asked for the one that answers is served, in order, and once', () =>
  bench(
    b => {
      const socket = b.stack.burst.bind({});
      const [silent, good] = [socket.peer('10.0.0.7', 9), socket.peer(THEIRS[4], 9)];
      b.run();
      for (let i = 0; i < 6; i++) socket.send(bytes(10 + i), i & 1 ? good : silent);
      b.run();
      const asked = b.sent().filter(isArp);
      assert.is(asked.length, 2);
      b.later(500);
      b.arrive(answerOf(asked.find(({ frame }) => frame[41] === 2)!.frame));
      // Before the clock of those that wait: behind them it goes, though the neighbour is known.
      socket.send(bytes(40), good);
      b.run();
      b.later(5);
      const out = b.sent().filter(p => !isArp(p));
      assert.equal(
        out.map(({ seen }) => seen.l4.length - 8),
        [11, 13, 15, 40],
      );
      for (const { seen } of out) assert.ok(seen.sound && seen.dst === THEIRS[4]);
      for (const [i, n] of [11, 13, 15, 40].entries()) assert.equal(out[i].seen.l4.slice(8), bytes(n));
      b.later(3000);
      assert.equal(b.counted(), { OutDatagrams: 4, OutNoRoutes: 3 });
    },
    { known: false },
  ));

test('a hundred and one datagrams wait for one neighbour, of all sockets: the oldest goes for one more, and is counted', () =>
  bench(
    b => {
      const [one, two] = [b.stack.burst.bind({}), b.stack.burst.bind({})];
      for (let i = 0; i < 81; i++) one.send(bytes(10 + i), one.peer(THEIRS[4], 9));
      b.run();
      const asked = b.sent().filter(isArp);
      for (let i = 81; i < 105; i++) two.send(bytes(10 + i), two.peer(THEIRS[4], 9));
      b.run();
      assert.equal(b.counted(), { UnresolvedDiscards: 4 });
      b.arrive(answerOf(asked[0].frame));
      b.later(5);
      const sizes = b
        .sent()
        .filter(p => !isArp(p))
        .map(({ seen }) => seen.l4.length - 8);
      assert.equal(
        sizes.sort((x, y) => x - y),
        Array.from({ length: 101 }, (_, i) => 14 + i),
      );
    },
    { known: false },
  ));

test('a lane has room for 256 that wait for neighbours: of more the oldest goes', () =>
  bench(
    b => {
      const socket = b.stack.burst.bind({});
      for (let i = 0; i < 272; i++) socket.send(bytes(10), socket.peer(`fd00::${(256 + i).toString(16)}`, 9));
      b.run();
      b.run();
      assert.equal(b.counted(), { UnresolvedDiscards: 16 });
      b.later(3005);
      assert.equal(b.counted(), { OutNoRoutes: 256 });
    },
    { known: false },
  ));

test('a socket that is closed sends what waits for a neighbour still, and is gone when it gave up', () =>
  bench(
    b => {
      const open = () => b.engine.arena.header.streamCount && takeStreamLedger(b.engine.arena).open;
      const before = open();
      const socket = b.stack.burst.bind({});
      socket.send(bytes(10), socket.peer(THEIRS[4], 9));
      socket.send(bytes(10), socket.peer('10.0.0.7', 9));
      b.run();
      socket.close();
      b.later(100);
      assert.is(open(), before + 1);
      b.arrive(answerOf(b.sent().filter(isArp)[0].frame));
      b.later(5);
      assert.is(b.sent().filter(p => !isArp(p)).length, 1);
      b.later(3000);
      assert.is(open(), before);
      // Its number, and the slot, are another's now.
      const next = b.stack.burst.bind({});
      b.later(10);
      assert.equal(b.counted(), { OutDatagrams: 1, OutNoRoutes: 1 });
      next.close();
    },
    { known: false },
  ));

test('what an application writes into its ring that is no datagram is dropped, and the lane lives', () =>
  bench(b => {
    const { arena } = b.engine;
    for (let seed = 1; seed <= 200; seed++) {
      const socket = b.stack.burst.bind({ sendBuffer: 4096 });
      b.run();
      const view = b.engine.arena.dv;
      const at = arena.header.streamsAt + socket.id * 128;
      const [sndAt, sndBytes] = [view.getUint32(at + 32, true), view.getUint32(at + 36, true)];
      assert.is(sndBytes, 4096);
      let x = seed;
      for (let i = 0; i < sndBytes; i += 4) {
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        view.setUint32(sndAt + i, seed & 1 ? x : x & 0x3ff, true);
      }
      Atomics.store(arena.u32, (at + 64) >> 2, seed % 4097);
      socket.end.ring();
      b.run();
      socket.close();
      b.run();
    }
    for (const { seen } of b.sent()) assert.ok(seen.sound && seen.protocol === 17);
    assert.is(b.engine.crashes.length, 0);
  }));

test('20,000 datagrams and errors, some with bits changed or cut: the others arrive, and no frame is lost', () =>
  bench(b => {
    const sockets = [53, 54].map(port => b.stack.burst.bind({ port }));
    sockets[1].connect(THEIRS[4], 4000);
    let x = 12345;
    const random = (n: number): number => {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      return (x >>> 8) % n;
    };
    const got: Datagram[] = [];
    let intact = 0;
    let arrived = 0;
    for (let round = 0; round < 2000; round++) {
      for (let i = 0; i < 10; i++) {
        const family = random(2) ? 4 : 6;
        const dport = 53 + random(3);
        const about = random(4) === 0;
        const base = about
          ? icmpAbout(b, b.datagram({ family, payload: bytes(random(40)) }), random(16), random(16))
          : b.datagram({ family, dport, payload: bytes(random(200)) });
        const cut = random(8) === 0;
        const f = cut ? base.slice(0, 14 + random(base.length - 14)) : base.slice();
        const flips = random(4);
        for (let k = flips; k > 0; k--) f[random(f.length)] ^= 1 << random(8);
        if (!about && !cut && flips === 0 && (dport === 53 || (dport === 54 && family === 4))) intact++;
        b.nic.send(f);
      }
      b.run();
      for (const s of sockets) {
        const n = s.receive(got);
        arrived += n;
        for (let i = 0; i < n; i++) assert.ok(got[i].data.length <= 200);
      }
      b.nic.receive();
    }
    assert.ok(intact > 1000 && arrived >= intact, `${arrived} of ${intact}`);
    assert.is(b.engine.crashes.length, 0);
  }));

test('read of the rig itself: what it makes is sound', () =>
  bench(b => {
    for (const family of [4, 6] as const) assert.ok(read(b.datagram({ family })).sound);
  }));
