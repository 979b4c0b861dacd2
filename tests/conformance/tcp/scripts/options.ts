/** Options of the handshake: RFC 9293 §3.1 and §3.7.1, RFC 7323 §2, RFC 2018 §2. */
import { topic } from '../script.js';
import { any, atMost, between, none } from '../want.js';

const script = topic('options');

script('the MSS offered over IPv4 is the MTU less 40', { rfc: '9293 §3.7.1; 6691 §2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: 1460 });
});

script(
  'the MSS offered over IPv6 is the MTU less 60',
  { rfc: '9293 §3.7.1; 6691 §2', family: 6 },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: 1440 });
  },
);

script('connect offers an MSS, too', { rfc: '9293 §3.7.1' }, async t => {
  await t.connect();
  await t.gets('SYN', { mss: 1460 });
});

script('a small MTU offers a small MSS', { rfc: '9293 §3.7.1; 6691 §2', mtu: 900 }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1460 });
  await t.gets('SYN ACK', { ack: 1, mss: 860 });
});

script('without an MSS option segments over IPv4 hold 536 bytes', { rfc: '9293 §3.7.1' }, async t => {
  const listener = await t.listen();
  t.send('SYN');
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('ACK');
  const app = await t.accept(listener);
  await app.writes(1000);
  await t.gets('ACK', { seq: 1, len: 536 });
  await t.gets('ACK', { seq: 537, len: 464 });
});

script(
  'without an MSS option segments over IPv6 hold at most 1220 bytes',
  { rfc: '9293 §3.7.1', family: 6 },
  async t => {
    const listener = await t.listen();
    t.send('SYN');
    await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('ACK');
    const app = await t.accept(listener);
    await app.writes(400);
    await t.gets('ACK', { seq: 1, len: atMost(1220) });
  },
);

script('segments are as long as the MSS of the peer', { rfc: '9293 §3.7.1' }, async t => {
  const app = await t.accepted({ mss: 700 });
  await app.writes(2000);
  for (const seq of [1, 701]) await t.gets('ACK', { seq, len: 700 });
  await t.gets('ACK', { seq: 1401, len: 600 });
});

script(
  'an MSS larger than the link does not make segments larger than the link',
  { rfc: '9293 §3.7.1' },
  async t => {
    const app = await t.accepted({ mss: 9000 });
    await app.writes(3000);
    await t.gets('ACK', { seq: 1, len: 1460 });
    await t.gets('ACK', { seq: 1461, len: 1460 });
    await t.gets('ACK', { seq: 2921, len: 80 });
  },
);

script(
  'a tiny MSS does not make segments of a few bytes without end',
  { rfc: '9293 §3.7.1; 6691 §2' },
  async t => {
    const app = await t.accepted({ mss: 8, set: [['nodelay', 1]] });
    t.flow.sentSyn!.mss = 100; // A host may refuse to go below a floor of its own.
    await app.writes(400);
    const { len } = await t.gets('ACK', { seq: 1, len: between(8, 100) });
    await t.only('ACK', 50, { len: between(1, Math.max(len, 100)), seq: any });
  },
);

script('SACK is granted when the SYN offers it', { rfc: '2018 §2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000, sackOk: true });
  await t.gets('SYN ACK', { ack: 1, mss: any, sackOk: true });
});

script('SACK is not granted when the SYN does not offer it', { rfc: '2018 §2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any, sackOk: none });
});

script('a host without SACK neither offers nor grants it', { rfc: '2018 §2', sack: false }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000, sackOk: true });
  await t.gets('SYN ACK', { ack: 1, mss: any, sackOk: none });
  await t.connect();
  await t.gets('SYN', { mss: any, sackOk: none });
});

script('connect offers SACK, timestamps and window scaling', { rfc: '2018 §2; 7323 §2.2, §3.2' }, async t => {
  await t.connect();
  await t.gets('SYN', { mss: any, sackOk: true, tsVal: any, wscale: between(0, 14) });
});

script('all that a SYN offers is granted', { rfc: '2018 §2; 7323 §2.2, §3.2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1460, sackOk: true, ts: [1, 0], wscale: 7 });
  await t.gets('SYN ACK', { ack: 1, mss: 1460, sackOk: true, tsVal: any, tsEcr: 1, wscale: between(0, 14) });
});

script('the order of options does not matter', { rfc: '9293 §3.1' }, async t => {
  await t.listen();
  t.send('SYN', { wscale: 3, ts: [77, 0], sackOk: true, mss: 1200 });
  await t.gets('SYN ACK', { ack: 1, mss: any, sackOk: true, tsEcr: 77, wscale: any });
});

script('window scaling is not granted when the SYN does not offer it', { rfc: '7323 §2.2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any, wscale: none });
});

script(
  'a host without window scaling neither offers nor grants it',
  { rfc: '7323 §2.2', windowScaling: false },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000, wscale: 7 });
    await t.gets('SYN ACK', { ack: 1, mss: any, wscale: none });
    await t.connect();
    await t.gets('SYN', { mss: any, wscale: none });
  },
);

script('an unknown option in a SYN is passed over', { rfc: '9293 §3.1 (MUST-6)' }, async t => {
  await t.listen();
  t.send('SYN', { raw: [253, 6, 1, 2, 3, 4, 2, 4, 4, 0] });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script('an MSS behind an unknown option is read', { rfc: '9293 §3.1 (MUST-6)' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { raw: [254, 4, 9, 9, 1, 1, 2, 4, 600 >> 8, 600 & 255] });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('ACK');
  t.flow.sentSyn!.mss = 600;
  const app = await t.accept(listener);
  await app.writes(1000);
  await t.gets('ACK', { seq: 1, len: 600 });
  await t.gets('ACK', { seq: 601, len: 400 });
});

script('an unknown option on data is passed over', { rfc: '9293 §3.1 (MUST-6)' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 100, raw: [253, 8, 1, 2, 3, 4, 5, 6] });
  await t.acked(101);
  await app.reads(100);
});

script('nothing is read behind the end of options', { rfc: '9293 §3.1' }, async t => {
  const listener = await t.listen();
  // MSS 700, END, and behind it what would be MSS 200.
  t.send('SYN', { raw: [2, 4, 700 >> 8, 700 & 255, 0, 2, 4, 200, 0, 0, 0, 0] });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.flow.sentSyn!.mss = 700;
  t.send('ACK');
  const app = await t.accept(listener);
  await app.writes(700);
  await t.gets('ACK', { seq: 1, len: 700 });
});

script(
  'an option of length 0 or 1 ends the reading, not the host',
  { rfc: '9293 §3.1 (MUST-7)' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 10, raw: [253, 0, 1, 1] });
    t.send('ACK', { len: 10, raw: [253, 1, 1, 1] });
    await t.drain(100);
    // Taken or dropped, the connection goes on.
    t.send('ACK', { seq: 1, len: 20 });
    await t.only('ACK', 100);
    t.send('ACK', { seq: 21, len: 5 });
    await t.acked(26);
    await app.reads(25);
  },
);

script('an option that leaves the header does not harm', { rfc: '9293 §3.1 (MUST-7)' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { raw: [2, 40, 1, 1] });
  const answers = await t.only('SYN ACK', 100, { seq: 0 });
  if (answers.length === 0) t.send('SYN', { seq: 0, mss: 536 });
  if (answers.length === 0) await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('ACK');
  await t.accept(listener);
});

script('forty bytes of options are read', { rfc: '9293 §3.1' }, async t => {
  await t.listen();
  const raw = [...new Array<number>(36).fill(1), 2, 4, 2, 0];
  t.send('SYN', { raw });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});
