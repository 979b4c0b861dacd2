/** What is damaged or hostile: RFC 9293 §3.1, §3.9.2; nothing of it may count or be answered wrongly. */

import { checksum } from '../../../support/packets.js';
import { topic } from '../script.js';
import { encode, flagBits, ipPacket, type Segment } from '../segment.js';
import type { Stage } from '../stage.js';
import { any } from '../want.js';

const script = topic('malformed');

/** A SYN from the script's port, for packets made by hand. */
const synTo = (t: Stage, dstPort: number): Segment => ({
  srcPort: t.flow.peerPort,
  dstPort,
  seq: 1,
  ack: 0,
  flags: flagBits('SYN'),
  window: 1000,
  urgent: 0,
  options: {},
  payload: new Uint8Array(0),
  ecn: 0,
});

script('a SYN with a wrong checksum is dropped', { rfc: '9293 §3.1 (MUST-3)' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000, bad: { checksum: 1 } });
  await t.silence(100);
  t.send('SYN', { seq: 0, mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script('data with a wrong checksum is dropped', { rfc: '9293 §3.1 (MUST-3)' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { seq: 1, len: 100, bad: { checksum: 0x100 } });
  await t.silence(100);
  await app.readsNothing();
  await t.alive(app);
});

script('a RST with a wrong checksum is dropped', { rfc: '9293 §3.1 (MUST-3)' }, async t => {
  const app = await t.accepted();
  t.send('RST', { seq: 1, bad: { checksum: 7 } });
  await t.silence(50);
  await app.stateIs('ESTABLISHED');
  await t.alive(app);
});

script('a checksum over an odd number of bytes is right', { rfc: '9293 §3.1' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 7 });
  await t.acked(8);
  await app.reads(7);
  await app.writes(9);
  await t.gets('ACK', { seq: 1, len: 9 });
});

for (const cut of [0, 4, 12, 19] as const)
  script(`a header of ${cut} bytes is dropped`, { rfc: '9293 §3.1' }, async t => {
    const app = await t.accepted();
    t.send('ACK', { seq: 1, len: 10, bad: { cut } });
    await t.silence(50);
    await app.stateIs('ESTABLISHED');
    await t.alive(app);
  });

for (const dataOffset of [0, 1, 4, 15] as const)
  script(`a data offset of ${dataOffset} words is dropped`, { rfc: '9293 §3.1' }, async t => {
    const app = await t.accepted();
    t.send('PSH ACK', { seq: 1, len: 10, bad: { dataOffset } });
    await t.silence(50);
    await app.readsNothing();
    t.send('PSH ACK', { seq: 1, len: 10 });
    await t.acked(11);
    await app.reads(10);
  });

script(
  'a SYN from its own address and port is not answered without end',
  { rfc: '9293 §3.10.7; CERT CA-1997-28' },
  async t => {
    await t.listen();
    const { address } = t.host;
    const land = encode({ src: address, dst: address }, { ...synTo(t, 7000), srcPort: 7000 });
    t.raw(land, 'SYN from the host itself');
    await t.silence(200);
    await t.handshake();
  },
);

for (const [what, flags] of [
  ['all flags', 'SYN FIN RST PSH ACK URG'],
  ['SYN and FIN', 'SYN FIN'],
  ['SYN and RST', 'SYN RST'],
] as const)
  script(`a segment with ${what} opens nothing`, { rfc: '9293 §3.10.7.2' }, async t => {
    const listener = await t.listen();
    t.send(flags, { seq: 0, ack: 0, mss: 1000 });
    await t.only('RST or RST ACK', 60, { seq: any });
    await t.acceptsNothing(listener);
    await t.stateIs('CLOSED');
    await t.handshake({}, t.flowTo());
  });

for (const [what, flags] of [
  ['no flags', ''],
  ['FIN, PSH and URG', 'FIN PSH URG'],
] as const)
  script(`a segment with ${what} does not disturb a connection`, { rfc: '9293 §3.10.7.4' }, async t => {
    const app = await t.accepted();
    t.send(flags, { seq: 1, len: 3 });
    await t.silence(50);
    await app.stateIs('ESTABLISHED');
    await app.readsNothing();
    t.flow.next = 1;
    await t.alive(app);
  });

script(
  'a segment to a broadcast or multicast address is not answered',
  { rfc: '9293 §3.9.2.3 (MUST-57)' },
  async t => {
    await t.listen();
    for (const dst of ['10.99.255.255', '255.255.255.255', '224.0.0.1']) {
      t.raw(encode({ src: t.host.peer, dst }, synTo(t, 7000)), `SYN to ${dst}`);
    }
    await t.silence(100);
    await t.handshake();
  },
);

script('an IP packet without a TCP header is dropped', { rfc: '9293 §3.1' }, async t => {
  await t.listen();
  t.raw(ipPacket({ src: t.host.peer, dst: t.host.address }, 6, new Uint8Array(0)), 'no TCP header');
  t.raw(ipPacket({ src: t.host.peer, dst: t.host.address }, 6, new Uint8Array(3)), 'three bytes');
  await t.silence(50);
  await t.handshake();
});

script(
  'a thousand segments of noise leave a connection as it is',
  { rfc: '9293 §3.10.7.4; 5961', ackLimit: true },
  async t => {
    const app = await t.accepted();
    let state = 0x2545f491;
    const next = (): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    };
    const words = ['', 'ACK', 'PSH ACK', 'FIN', 'SYN', 'SYN ACK', 'URG', 'FIN PSH URG', 'RST'];
    for (let i = 0; i < 1000; i++) {
      const flags = words[next() % words.length];
      // Far from the window, so that nothing of it may count.
      t.send(flags, {
        seq: 0x10000000 + (next() % 0x40000000),
        ack: next() % 0x7fffffff,
        len: next() % 50,
        bad: {},
      });
    }
    await t.only('ACK', 200, { ack: 1, len: 0 });
    await app.stateIs('ESTABLISHED');
    t.send('ACK', { seq: 1, len: 100 });
    await t.acked(101);
    await app.reads(100);
  },
);

script(
  'a SYN from a broadcast or multicast address is not answered',
  { rfc: '9293 §3.9.2.3 (MUST-63)' },
  async t => {
    await t.listen();
    for (const src of ['255.255.255.255', '224.0.0.1', '0.0.0.0', '127.0.0.1'])
      t.raw(encode({ src, dst: t.host.address }, synTo(t, 7000)), `SYN from ${src}`);
    await t.silence(100);
    await t.handshake();
  },
);

script('IPv4 options before a segment are passed over', { rfc: '9293 §3.9.2.1 (MUST-50)' }, async t => {
  await t.listen();
  const plain = encode({ src: t.host.peer, dst: t.host.address }, { ...synTo(t, 7000), seq: t.flow.iss });
  // Three no-operations and the end of the list.
  const packet = Uint8Array.of(...plain.subarray(0, 20), 1, 1, 1, 0, ...plain.subarray(20));
  packet[0] = 0x46;
  packet[3] += 4;
  packet.set([0, 0], 10);
  const sum = checksum(packet.subarray(0, 24));
  packet.set([sum >> 8, sum & 255], 10);
  t.flow.sentSyn = {};
  t.flow.next = 1;
  t.raw(packet, 'SYN behind IPv4 options');
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script(
  'IPv6 destination options before a segment are passed over',
  { rfc: '8200 §4.6', family: 6 },
  async t => {
    await t.listen();
    const plain = encode({ src: t.host.peer, dst: t.host.address }, { ...synTo(t, 7000), seq: t.flow.iss });
    // Next header TCP, no more than eight bytes, PadN of four.
    const packet = Uint8Array.of(...plain.subarray(0, 40), 6, 0, 1, 4, 0, 0, 0, 0, ...plain.subarray(40));
    packet[5] += 8;
    packet[6] = 60;
    t.flow.sentSyn = {};
    t.flow.next = 1;
    t.raw(packet, 'SYN behind IPv6 destination options');
    await t.gets('SYN ACK', { ack: 1, mss: any });
  },
);

script('a segment behind a wrong IPv4 header checksum is dropped', { rfc: '1122 §3.2.1.2' }, async t => {
  await t.listen();
  const packet = encode({ src: t.host.peer, dst: t.host.address }, synTo(t, 7000));
  packet[10] ^= 1;
  t.raw(packet, 'SYN behind a wrong header checksum');
  await t.silence(60);
  await t.handshake();
});
