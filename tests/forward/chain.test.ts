/** What a forwarder does to packets: goldens through the whole engine, in virtual time. */
import { formatIp } from '../../host/wire/address.js';
import { checksum, packet, read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import {
  bytesOf,
  checkAt,
  fragments,
  icmpError,
  padding,
  partial,
  quotation,
  reassemble,
  withExtensions,
  withOptions,
  word,
} from './frames.js';
import {
  ACK,
  BACKEND,
  BACKEND_MAC,
  BACKEND_PORT,
  BACKEND6,
  bench,
  CLIENT,
  CLIENT_MAC,
  CLIENT6,
  FIRST_PORT,
  FRONT,
  FRONT6,
  input,
  one,
  PORT,
  REAR,
  REAR6,
  reply,
  request,
  SYN,
  SYN_ACK,
} from './rig.js';

const test = suite('forward: packets');
const FAMILIES = [
  { name: 'IPv4', client: CLIENT, front: FRONT, rear: REAR, backend: BACKEND },
  { name: 'IPv6', client: CLIENT6, front: FRONT6, rear: REAR6, backend: BACKEND6 },
] as const;
const PROTOCOLS = ['tcp', 'udp'] as const;
const bytes = (n: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (i * 31 + seed * 17 + (i >> 3)) & 255);

for (const f of FAMILIES)
  for (const protocol of PROTOCOLS)
    for (const hops of [1, 2, 4])
      test(`${protocol} over ${f.name}, ${hops} hops: there and back, from the forwarder's own address`, () =>
        bench(b => {
          const there = one(b.forth(request({ src: f.client, protocol, flags: SYN, payload: bytes(33) })));
          assert.equal(
            [there.src, there.dst, there.sport, there.dport, there.ttl],
            [f.rear, f.backend, FIRST_PORT, BACKEND_PORT, 64 - hops],
          );
          assert.is(there.dmac, BACKEND_MAC);
          assert.equal([...there.l4.subarray(protocol === 'tcp' ? 20 : 8)], [...bytes(33)]);
          const back = one(b.back(reply(there, { flags: SYN_ACK, payload: bytes(7) })));
          assert.equal(
            [back.src, back.dst, back.sport, back.dport, back.dmac],
            [f.front, f.client, PORT, 40000, CLIENT_MAC],
          );
          assert.is(one(b.forth(request({ src: f.client, protocol, flags: ACK }))).sport, FIRST_PORT);
          for (let hop = 0; hop < hops; hop++)
            assert.equal(b.counts(hop), { forth: 2, back: 1, opened: 1 }, `hop ${hop}`);
        }, input(hops)));

test('200 connections at once are 200 tuples at the backend, and each answer finds its client', () =>
  bench(b => {
    const seen = new Map<number, { src: string; sport: number }>();
    for (let i = 0; i < 200; i++) {
      const from = { src: `10.0.${i % 5}.${10 + (i % 7)}`, sport: 1024 + i, flags: SYN };
      const there = one(b.forth(request(from)));
      assert.not(seen.has(there.sport), `source port ${there.sport} twice`);
      seen.set(there.sport, from);
    }
    for (const [port, from] of seen) {
      const back = one(b.back(packet({ src: BACKEND, dst: REAR, sport: BACKEND_PORT, dport: port })));
      assert.equal([back.dst, back.dport], [from.src, from.sport]);
    }
    assert.is(b.counters().hops[2].flows, 200);
  }, input(3)));

test('TCP and UDP of the same client, port and service are two flows', () =>
  bench(b => {
    const tcp = one(b.forth(request({ flags: SYN })));
    const udp = one(b.forth(request({ protocol: 'udp' })));
    assert.is.not(tcp.sport, udp.sport);
    assert.is(one(b.back(reply(udp))).protocol, 17);
    assert.equal(b.back(packet({ src: BACKEND, dst: REAR, sport: BACKEND_PORT, dport: udp.sport })), []);
  }));

test('a UDP packet without checksum keeps none', () =>
  bench(b => {
    const sent = request({ protocol: 'udp' });
    sent.set([0, 0], checkAt(sent));
    const there = one(b.forth(sent));
    assert.is(word(there.bytes, checkAt(there.bytes)), 0);
  }, input(2)));

test('a UDP checksum that comes out as 0 is sent as ffff', () =>
  bench(b => {
    const template = request({ protocol: 'udp', payload: new Uint8Array(2) });
    const at = one(b.forth(template));
    // Whatever the sum is now, this payload makes it 0.
    const sum = word(at.bytes, checkAt(at.bytes));
    const payload = Uint8Array.of(sum >> 8, sum & 255);
    const there = one(b.forth(request({ protocol: 'udp', payload })));
    assert.is(word(there.bytes, checkAt(there.bytes)), 0xffff);
  }));

test('IP options stay, and what is behind them is found', () =>
  bench(b => {
    const options = [1, 1, 148, 4, 0, 0, 1, 0];
    const there = one(b.forth(withOptions(request({ flags: SYN }), options)));
    assert.equal([...there.bytes.subarray(34, 42)], options);
    assert.equal([there.src, there.sport, there.dport], [REAR, FIRST_PORT, BACKEND_PORT]);
    const back = one(b.back(withOptions(reply(there), options)));
    assert.equal([back.dst, back.dport], [CLIENT, 40000]);
  }, input(2)));

test('VLAN tags stay', () =>
  bench(b => {
    const there = one(b.forth(request({ flags: SYN, vlans: [7, 9] })));
    assert.equal([there.vlans, there.sport, there.dmac], [[7, 9], FIRST_PORT, BACKEND_MAC]);
  }, input(2)));

test('IPv6 extension headers stay; with segments left the packet is not touched', () =>
  bench(b => {
    const sent = request({ src: CLIENT6, flags: SYN });
    const extensions = [padding(0), padding(60, 3)];
    const [there] = b.forth(withExtensions(sent, extensions));
    assert.equal([...there.subarray(54, 86)], [...withExtensions(sent, extensions).subarray(54, 86)]);
    const plain = read(
      Uint8Array.from([...there.subarray(0, 20), 6, ...there.subarray(21, 54), ...there.subarray(86)]),
    );
    assert.is(plain.sport, FIRST_PORT);
    // The checksum is that of the packet without the extensions, whose length is another.
    const bare = Uint8Array.from([...there.subarray(0, 54), ...there.subarray(86)]);
    bare[20] = 6;
    bare.set([0, bare.length - 54], 18);
    assert.ok(read(bare).sound);
    const routed = (left: number) =>
      withExtensions(sent, [{ type: 43, body: [2, 4, left, 0, 0, 0, 0, ...new Uint8Array(16)] }]);
    assert.is(b.forth(routed(0)).length, 1);
    assert.is(b.forth(routed(1)).length, 0);
    assert.is(b.counts().not_ours, 1);
  }));

for (const f of FAMILIES)
  for (const protocol of PROTOCOLS)
    test(`${protocol} over ${f.name}: a checksum of the pseudo header only is completed, whatever the length`, () =>
      bench(b => {
        for (const n of [0, 1, 2, 3, 4, 18, 43, 44, 45, 46, 63, 64, 65, 127, 511, 1201, 1400]) {
          const whole = request({ src: f.client, protocol, flags: SYN, payload: bytes(n, n) });
          const left = partial(whole);
          assert.not.equal([...left], [...whole]);
          const there = one(b.forth(left), `${n} bytes forth`);
          assert.equal([...there.bytes], [...one(b.forth(whole)).bytes], 'as if it had been whole');
          const answer = partial(reply(there, { flags: SYN_ACK, payload: bytes(n, 3) }));
          one(b.back(answer), `${n} bytes back`);
        }
        assert.equal([b.counts(0).completed, b.counts(1).completed], [17, 17], 'where it came in, once');
      }, input(2)));

test('a wrong checksum is not made right', () =>
  bench(b => {
    const sent = request({ flags: SYN });
    sent[checkAt(sent)] ^= 0x55;
    const [there] = b.forth(sent);
    assert.not(read(there).sound);
  }, input(3)));

for (const f of FAMILIES)
  test(`fragments over ${f.name}: all of a packet, both ways, under a number of their own`, () =>
    bench(b => {
      const payload = bytes(1000);
      const sent = request({ src: f.client, protocol: 'udp', payload });
      const there = fragments(sent, 400, 77).flatMap(x => b.forth(x));
      assert.is(there.length, 3);
      const whole = reassemble(there);
      assert.ok(whole, 'one number, addresses and header checksums');
      const seen = one([whole]);
      assert.equal([seen.src, seen.sport, seen.dport], [f.rear, FIRST_PORT, BACKEND_PORT]);
      assert.equal([...seen.l4.subarray(8)], [...payload]);
      const back = fragments(reply(seen, { payload }), 400, 77).flatMap(x => b.back(x));
      const answer = one([reassemble(back)!]);
      assert.equal([answer.dst, answer.dport], [f.client, 40000]);
      assert.equal([b.counts().fragment, b.counts(1).fragment], [4, 4]);
    }, input(2)));

for (const f of FAMILIES)
  test(`fragments over ${f.name}: two clients with the same number stay two packets`, () =>
    bench(b => {
      const other = f.client === CLIENT ? '10.0.0.77' : 'fd00::77';
      const [a1, a2] = fragments(request({ src: f.client, protocol: 'udp', payload: bytes(200, 1) }), 104, 5);
      const [b1, b2] = fragments(request({ src: other, protocol: 'udp', payload: bytes(200, 2) }), 104, 5);
      const out = [a1, b1, b2, a2].map(x => b.forth(x)[0]);
      assert.equal([...read(reassemble([out[0], out[3]])!).l4.subarray(8)], [...bytes(200, 1)]);
      assert.equal([...read(reassemble([out[1], out[2]])!).l4.subarray(8)], [...bytes(200, 2)]);
      assert.is(reassemble([out[0], out[2]]), undefined);
    }));

test('a later fragment without its first, or half a minute late, is dropped and counted', () =>
  bench(b => {
    const [first, later] = fragments(request({ protocol: 'udp', payload: bytes(200) }), 104, 9);
    assert.equal(b.forth(later), []);
    assert.is(b.forth(first).length, 1);
    assert.is(b.forth(later).length, 1);
    b.advance(31);
    assert.equal(b.forth(later), []);
    assert.is(b.counts().no_fragment, 2);
  }));

test('a first fragment too short for its header is no way in', () =>
  bench(b => {
    const tiny = fragments(request({ flags: SYN, payload: bytes(80) }), 8, 3);
    assert.equal(
      tiny.flatMap(x => b.forth(x)),
      [],
    );
    assert.is(b.counts().opened, undefined);
  }));

for (const f of FAMILIES)
  for (const protocol of PROTOCOLS)
    for (const quoted of [f.name === 'IPv4' ? 28 : 48, 576])
      test(`ICMP errors over ${f.name} about ${protocol}, ${quoted} bytes quoted: both ways, the quotation as sent`, () =>
        bench(b => {
          const sent = request({ src: f.client, protocol, flags: SYN, payload: bytes(21) });
          const there = one(b.forth(sent));
          // A router before the backend complains to us; the client sees its own packet again.
          const router = f.name === 'IPv4' ? '10.1.0.99' : 'fd01::99';
          const back = one(
            b.back(icmpError(there.bytes, { src: router, dst: f.rear }, quoted)),
            'to the client',
          );
          assert.equal([back.src, back.dst, back.dmac], [f.front, f.client, CLIENT_MAC]);
          assert.is(back.l4[0], f.name === 'IPv4' ? 3 : 1);
          const seen = quotation(back.bytes);
          // As sent, but for the hops that it had behind it.
          const expected = sent.slice(0, seen.length);
          const hops = f.name === 'IPv4' ? 22 : 21;
          expected[hops] = seen[hops];
          if (f.name === 'IPv4') expected.set(seen.subarray(24, 26), 24);
          assert.equal([...seen.subarray(14)], [...expected.subarray(14)]);
          if (f.name === 'IPv4') assert.is(checksum(seen.subarray(14, 34)), 0, "the quotation's header");

          // The client complains about an answer; the backend sees its own packet.
          const answer = reply(there, { flags: SYN_ACK, payload: bytes(5) });
          const got = one(b.back(answer));
          const forth = one(
            b.forth(icmpError(got.bytes, { src: f.client, dst: f.front }, quoted)),
            'to the backend',
          );
          assert.equal([forth.src, forth.dst, forth.dmac], [f.rear, f.backend, BACKEND_MAC]);
          const said = quotation(forth.bytes);
          const meant = answer.slice(0, said.length);
          meant[hops] = said[hops];
          if (f.name === 'IPv4') meant.set(said.subarray(24, 26), 24);
          assert.equal([...said.subarray(14)], [...meant.subarray(14)]);
          assert.equal([b.counts(0).error, b.counts(1).error], [2, 2]);
        }, input(2)));

test('ICMP that is about no flow of ours is left to the host', () =>
  bench(b => {
    const stranger = packet({ src: FRONT, dst: CLIENT, sport: 1, dport: 2 });
    assert.equal(b.forth(packet({ protocol: 'icmp', src: CLIENT, dst: FRONT })), []);
    assert.equal(b.forth(icmpError(stranger, { src: CLIENT, dst: FRONT })), []);
    const elsewhere = icmpError(packet({ src: '10.9.9.9', dst: BACKEND }), { src: CLIENT, dst: '10.9.9.9' });
    assert.equal(b.forth(elsewhere), []);
    assert.equal(b.counts(), { not_ours: 3 });
    // About a port of ours that has no flow: nobody to tell.
    const old = packet({ src: REAR, dst: BACKEND, sport: FIRST_PORT, dport: BACKEND_PORT });
    assert.equal(b.back(icmpError(old, { src: BACKEND, dst: REAR })), []);
    assert.is(b.counts().no_flow, 1);
  }));

test('who is not asked answers nobody: other addresses, other ports, no SYN', () =>
  bench(b => {
    assert.equal(b.forth(request({ dst: '10.0.0.3', flags: SYN })), [], 'another address');
    assert.equal(b.forth(request({ dport: 81, flags: SYN })), [], 'no listener');
    for (const flags of [ACK, SYN_ACK, 17, 4])
      assert.equal(b.forth(request({ flags })), [], `flags ${flags}`);
    assert.equal(b.counts(), { not_ours: 1, no_listener: 1, no_flow: 4 });
    const there = one(b.forth(request({ flags: SYN })));
    for (const lie of [{ src: '10.1.0.9' }, { sport: 8001 }, { dport: there.sport + 1 }])
      assert.equal(b.back(reply(there, lie)), [], JSON.stringify(lie));
    assert.is(b.counts().no_flow, 7);
  }));

test('a packet that has no hop left ends here', () =>
  bench(b => {
    assert.is(b.forth(request({ flags: SYN, ttl: 5 })).length, 1);
    assert.equal(b.forth(request({ flags: SYN, ttl: 4 })), []);
    assert.is(b.counts(3).ttl, 1);
    assert.equal(b.forth(request({ src: CLIENT6, flags: SYN, ttl: 1 })), []);
    assert.is(b.counts(0).ttl, 1);
  }, input(4)));

test('what is for another port of ours is the host’s, whatever its hop limit and its flags', () =>
  bench(b => {
    for (const ttl of [0, 1, 2, 64])
      for (const flags of [SYN, ACK, SYN_ACK, 4])
        assert.equal(b.forth(request({ dport: 22, flags, ttl })), []);
    assert.equal(b.forth(request({ dport: 22, protocol: 'udp', ttl: 1 })), []);
    assert.equal(b.counts(), { no_listener: 17 });
  }));

test('a packet as long as a frame takes goes through all hops, if the interfaces take it', () =>
  bench(
    b => {
      const payload = bytes(1700);
      const there = one(b.forth(request({ flags: SYN, payload })));
      assert.is(there.l4.length, 1720);
      one(b.back(reply(there, { flags: SYN_ACK, payload })));
    },
    input(3),
    { links: { mtu: 1774 } },
  ));

test('an ICMP error about a packet with options, extension headers or a first fragment finds its flow', () =>
  bench(b => {
    const there = one(b.forth(request({ protocol: 'udp', payload: bytes(300) })));
    const there6 = one(b.forth(request({ src: CLIENT6, protocol: 'udp', payload: bytes(300) })));
    const strange = [
      withOptions(there.bytes, [1, 1, 148, 4, 0, 0, 1, 0]),
      fragments(there.bytes, 104, 5)[0],
      withExtensions(there6.bytes, [padding(0), padding(60, 2)]),
      fragments(there6.bytes, 104, 5)[0],
    ];
    for (const [i, frame] of strange.entries()) {
      const v6 = i >= 2;
      const back = one(
        b.back(icmpError(frame, { src: v6 ? BACKEND6 : BACKEND, dst: v6 ? REAR6 : REAR })),
        `kind ${i}`,
      );
      assert.equal([back.src, back.dst], v6 ? [FRONT6, CLIENT6] : [FRONT, CLIENT]);
      const quoted = quotation(back.bytes);
      // Addresses and ports are the client's; what lies between them is as it was.
      const [head, ports] = v6 ? [22, quoted.length] : [26, 14 + (quoted[14] & 15) * 4];
      assert.equal(
        [...quoted.subarray(head, head + (v6 ? 32 : 8))],
        v6 ? [...bytesOf(CLIENT6), ...bytesOf(FRONT6)] : [...bytesOf(CLIENT), ...bytesOf(FRONT)],
      );
      if (!v6) assert.equal([word(quoted, ports), word(quoted, ports + 2)], [40000, PORT]);
      else
        assert.ok(
          Buffer.from(quoted).includes(Buffer.from([40000 >> 8, 40000 & 255, PORT >> 8, PORT & 255])),
        );
    }
    const later = fragments(there6.bytes, 104, 5)[1];
    assert.equal(b.back(icmpError(later, { src: BACKEND6, dst: REAR6 })), [], 'a later one has no ports');
    assert.equal([b.counts().error, b.counts().not_ours], [4, 1]);
  }));

test('a later fragment over IPv6 may name another header than the first one did', () =>
  bench(b => {
    const [first, later] = fragments(request({ src: CLIENT6, protocol: 'udp', payload: bytes(200) }), 104, 7);
    assert.is(b.forth(first).length, 1);
    later[54] = 6;
    assert.is(b.forth(later).length, 1);
  }));

test('backends share the connections, and each connection stays with its backend', () =>
  bench(
    b => {
      const chosen = new Map<string, number>();
      const of = new Map<number, string>();
      for (let i = 0; i < 300; i++) {
        const { dst } = one(b.forth(request({ sport: 2000 + i, flags: SYN })));
        chosen.set(dst, (chosen.get(dst) ?? 0) + 1);
        of.set(2000 + i, dst);
      }
      assert.is(chosen.size, 3);
      for (const [backend, n] of chosen) assert.ok(n > 60, `${backend} has ${n} of 300`);
      for (const [sport, dst] of of) assert.is(one(b.forth(request({ sport }))).dst, dst);
    },
    input(1, {
      services: [{ ports: [PORT], backends: [1, 2, 3].map(n => `10.1.0.${n}:8000@02:00:00:00:01:0${n}`) }],
    }),
  ));

test('flows say who talks to whom', () =>
  bench(b => {
    const there = one(b.forth(request({ src: CLIENT6, flags: SYN })));
    const [flow] = b.forwarder.flows(1);
    assert.equal(
      [flow.protocol, flow.client, flow.port, flow.sourcePort, flow.backend, flow.backendPort, flow.state],
      ['tcp', FRONT6, PORT + 1, there.sport, BACKEND6, BACKEND_PORT, 'opening'],
    );
    assert.is(formatIp(Uint8Array.from([10, 0, 0, 1])), CLIENT);
  }, input(2)));
