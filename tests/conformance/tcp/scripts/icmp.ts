/** ICMP errors and path MTU: RFC 1122 §4.2.3.9, RFC 5461, RFC 5927, RFC 1191, RFC 8201, RFC 4821. */
import { icmpError } from '../icmp.js';
import { topic } from '../script.js';
import { any, between } from '../want.js';

const script = topic('icmp and path mtu');

for (const family of [4, 6] as const) {
  const v = `IPv${family}`;
  const mss = family === 4 ? 1460 : 1440;

  script(
    `an established connection survives unreachable hosts (${v})`,
    { rfc: '1122 §4.2.3.9; 5461 §4', family },
    async t => {
      const app = await t.accepted();
      await app.writes(100);
      await t.gets('ACK', { seq: 1, len: 100 });
      for (const error of ['host unreachable', 'net unreachable', 'time exceeded'] as const)
        t.icmp({ error });
      await app.stateIs('ESTABLISHED');
      t.send('ACK', { ack: 101 });
      await t.silence(50);
      await app.writes(100);
      await t.gets('ACK', { seq: 101, len: 100 });
    },
  );

  script(`connect fails when the port is unreachable (${v})`, { rfc: '1122 §4.2.3.9', family }, async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.icmp({ error: 'port unreachable' });
    await app.stateIs('CLOSED');
    await app.errorIs('ECONNREFUSED');
  });

  script(
    `an error about a number that is not in flight is ignored (${v})`,
    { rfc: '5927 §4.1', family },
    async t => {
      const app = await t.connect();
      await t.gets('SYN', { mss: any });
      t.icmp({ error: 'port unreachable', seq: 5000 });
      await t.only('SYN', 30);
      await app.stateIs('SYN_SENT');
    },
  );

  script(
    `packet too big makes segments smaller and sends again at once (${v})`,
    { rfc: family === 4 ? '1191 §3' : '8201 §4', family },
    async t => {
      const app = await t.accepted({ mss });
      await app.writes(mss);
      await t.gets('ACK', { seq: 1, len: mss });
      t.icmp({ error: 'packet too big', mtu: 1300 });
      const small = mss - 200;
      await t.gets('ACK', { seq: 1, len: small, after: [0, 100] });
      const [rest] = await t.only('ACK', 50, { seq: 1 + small, len: 200 });
      t.send('ACK', { ack: 1 + small });
      if (!rest) await t.gets('ACK', { seq: 1 + small, len: 200 });
      t.send('ACK', { ack: 1 + mss });
      await app.writes(2 * small);
      await t.gets('ACK', { seq: 1 + mss, len: small });
      await t.gets('ACK', { seq: 1 + mss + small, len: small });
    },
  );

  script(
    `packet too big about a number that is not in flight is ignored (${v})`,
    { rfc: '5927 §7.2', family, seconds: 1 },
    async t => {
      const app = await t.accepted({ mss });
      await app.writes(mss);
      await t.gets('ACK', { seq: 1, len: mss });
      t.icmp({ error: 'packet too big', mtu: 1300, seq: 100_000 });
      t.icmp({ error: 'packet too big', mtu: 1300, seq: -100_000 });
      t.send('ACK', { ack: 1 + mss });
      await app.writes(mss);
      await t.gets('ACK', { seq: 1 + mss, len: mss });
    },
  );

  script(
    `packet too big that is larger than what is sent changes nothing (${v})`,
    { rfc: family === 4 ? '1191 §3' : '8201 §4', family },
    async t => {
      const app = await t.accepted({ mss: 1000 });
      await app.writes(1000);
      await t.gets('ACK', { seq: 1, len: 1000 });
      t.icmp({ error: 'packet too big', mtu: 1490 });
      await t.silence(50);
      t.send('ACK', { ack: 1001 });
      await app.writes(1000);
      await t.gets('ACK', { seq: 1001, len: 1000 });
    },
  );
}

script(
  'packet too big with a tiny MTU does not make tiny segments (IPv6)',
  { rfc: '8201 §4; 8200 §5', family: 6 },
  async t => {
    const app = await t.accepted({ mss: 1440 });
    await app.writes(1440);
    await t.gets('ACK', { seq: 1, len: 1440 });
    t.icmp({ error: 'packet too big', mtu: 100 });
    // Never below 1280 − 60.
    const got = await t.only('ACK', 100, { seq: any, len: any });
    t.send('ACK', { ack: 1441 });
    await app.writes(2000);
    const more = await t.only('ACK', 100, { seq: any, len: any });
    if ([...got, ...more].some(s => s.len < 100 && s.seq + s.len < 3441))
      t.fail('tiny segments', [], undefined);
  },
);

script(
  'packet too big with a tiny MTU does not make tiny segments (IPv4)',
  { rfc: '1191 §7.1; 5927 §7.1', family: 4 },
  async t => {
    const app = await t.accepted({ mss: 1460 });
    await app.writes(1460);
    await t.gets('ACK', { seq: 1, len: 1460 });
    t.icmp({ error: 'packet too big', mtu: 60 });
    const got = await t.only('ACK', 100, { seq: any, len: any });
    if (got.length && got[0].len < 100) t.fail('tiny segments', [`${got[0].len} bytes`], undefined);
  },
);

script('a source quench is ignored', { rfc: '6633 §4' }, async t => {
  const app = await t.accepted();
  await app.writes(10_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  t.icmp({ error: 'source quench' });
  t.send('ACK', { ack: 10_001 });
  await app.writes(10_000);
  const got = await t.only('ACK', 60, { seq: any, len: 1000 });
  if (got.length < 10) t.fail('the window became smaller', [`${got.length} segments`], undefined);
});

script(
  'protocol unreachable does not end an established connection',
  { rfc: '5461 §4; 5927 §5.2' },
  async t => {
    const app = await t.accepted();
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.icmp({ error: 'protocol unreachable' });
    t.icmp({ error: 'port unreachable' });
    t.icmp({ error: 'administratively prohibited' });
    await app.stateIs('ESTABLISHED');
    t.send('ACK', { ack: 101 });
  },
);

script(
  'an unreachable host while connecting does not end the attempt',
  { rfc: '1122 §4.2.3.9; 5461 §4', linux: { differs: 'connect fails at once with EHOSTUNREACH' } },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.icmp({ error: 'host unreachable' });
    await app.stateIs('SYN_SENT');
  },
);

script('packets say "do not fragment" as long as the path is searched', { rfc: '1191 §3' }, async t => {
  const app = await t.accepted({ mss: 1460 });
  await app.writes(1460);
  await t.gets('ACK', { seq: 1, len: 1460 });
  if (!(t.flow.lastPacket![6] & 0x40)) t.fail('DF is not set', [], undefined);
});

script(
  'a black hole is found without ICMP',
  { rfc: '4821 §7; 8899', mtuProbing: true, rtoMinMs: 200, seconds: 8 },
  async t => {
    const app = await t.accepted({ mss: 1460 });
    await app.writes(1460);
    const first = await t.gets('ACK', { seq: 1, len: between(500, 1460) });
    let len = first.len;
    const lost = len;
    for (let i = 0; i < 6 && len >= lost && lost > 1100; i++)
      len = (await t.gets('ACK', { seq: 1, len: any, limitMs: 6000 })).len;
    if (len > 1100) t.fail('segments did not become smaller', [`${len} bytes`], undefined);
  },
);

for (const family of [4, 6] as const)
  script(
    `a second connection to the same host knows the path (IPv${family})`,
    { rfc: family === 4 ? '1191 §5.2' : '8201 §5.2', family },
    async t => {
      const mss = family === 4 ? 1460 : 1440;
      const listener = await t.listen();
      await t.handshake({ mss });
      const one = await t.accept(listener);
      await one.writes(mss);
      await t.gets('ACK', { seq: 1, len: mss });
      t.icmp({ error: 'packet too big', mtu: 1300 });
      await t.only('ACK', 60, { seq: any, len: between(1, mss - 200) });
      const flow = t.flowTo();
      await t.handshake({ mss }, flow);
      const two = await t.accept(listener, flow);
      await two.writes(mss);
      await flow.gets('ACK', { seq: 1, len: mss - 200 });
      await flow.only('ACK', 30, { seq: 1 + mss - 200, len: 200 });
    },
  );

for (const family of [4, 6] as const)
  script(
    `an error with a wrong checksum is ignored (IPv${family})`,
    { rfc: family === 4 ? '792; 1122 §3.2.2' : '4443 §2.3', family },
    async t => {
      const mss = family === 4 ? 1460 : 1440;
      const app = await t.accepted({ mss });
      await app.writes(mss);
      await t.gets('ACK', { seq: 1, len: mss });
      const error = icmpError(t.host.peer, t.host.address, t.flow, { error: 'packet too big', mtu: 1300 });
      error[family === 4 ? 22 : 42] ^= 1;
      t.raw(error, 'packet too big with a wrong checksum');
      await t.silence(60);
      t.send('ACK', { ack: 1 + mss });
      await app.writes(mss);
      await t.gets('ACK', { seq: 1 + mss, len: mss });
    },
  );

script(
  'a router that takes less than TCP sends may cut the packets',
  { rfc: '1191 §3; 1122 §3.3.3' },
  async t => {
    const app = await t.accepted({ mss: 1400 });
    await app.writes(1400);
    await t.gets('ACK', { seq: 1, len: 1400 });
    t.icmp({ error: 'packet too big', mtu: 400 });
    await t.drain(60);
    const packet = t.flow.lastPacket!;
    if (packet.length > 400 && packet[6] & 0x40)
      t.fail('it is too long, and must not be cut', [`${packet.length} bytes, DF`], undefined);
  },
);
