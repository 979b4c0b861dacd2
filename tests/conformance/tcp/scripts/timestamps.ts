/** Timestamps and protection against wrapped sequence numbers: RFC 7323 §3, §4, §5. */
import { topic } from '../script.js';
import { any, atLeast, none, oneOf } from '../want.js';

const script = topic('timestamps');

script('a SYN-ACK echoes the timestamp of the SYN', { rfc: '7323 §3.2' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000, ts: [424242, 0] });
  await t.gets('SYN ACK', { ack: 1, mss: any, tsVal: any, tsEcr: 424242 });
});

script('a SYN offers timestamps with nothing to echo', { rfc: '7323 §3.2' }, async t => {
  await t.connect();
  await t.gets('SYN', { mss: any, tsVal: any, tsEcr: 0 });
});

script('timestamps that the SYN did not offer are not used', { rfc: '7323 §3.2' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10, tsVal: none });
});

script('timestamps that the SYN-ACK did not grant are not used', { rfc: '7323 §3.2' }, async t => {
  const app = await t.connected();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10, tsVal: none });
});

script(
  'a host without timestamps neither offers nor grants them',
  { rfc: '7323 §3.2', timestamps: false },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000, ts: [1, 0] });
    await t.gets('SYN ACK', { ack: 1, mss: any, tsVal: none });
    await t.connect();
    await t.gets('SYN', { mss: any, tsVal: none });
  },
);

script(
  'the timestamp option is taken from what fits into a segment',
  { rfc: '6691 §2; 7323 §3.2' },
  async t => {
    const app = await t.accepted({ ts: true });
    await app.writes(2000);
    await t.gets('ACK', { seq: 1, len: 988 });
    await t.gets('ACK', { seq: 989, len: 988 });
    await t.gets('ACK', { seq: 1977, len: 24 });
  },
);

script('an ACK echoes the timestamp of the data', { rfc: '7323 §4.3' }, async t => {
  await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [2000, t.flow.tsRecent] });
  await t.acked(101, { tsEcr: 2000 });
  t.send('ACK', { len: 100, ts: [2500, t.flow.tsRecent] });
  await t.acked(201, { tsEcr: 2500 });
});

script('of segments that one ACK covers the first is echoed', { rfc: '7323 §4.3 (A)' }, async t => {
  const app = await t.accepted({ ts: true });
  // A conversation, so that ACKs are worth delaying.
  for (let i = 0; i < 3; i++) {
    t.send('PSH ACK', { len: 10 });
    await app.reads(10);
    await app.writes(10);
    await t.drain(10);
    t.send('ACK');
  }
  t.send('ACK', { len: 10, ts: [3001, t.flow.tsRecent] });
  t.send('ACK', { len: 10, ts: [3002, t.flow.tsRecent] });
  // Whether it covers one or both.
  const first = await t.gets('ACK', { ack: oneOf(41, 51), tsEcr: 3001 });
  if (first.ack === 41) await t.acked(51, { tsEcr: 3002 });
});

script('a segment behind a hole does not change what is echoed', { rfc: '7323 §4.3 (B)' }, async t => {
  await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [2000, t.flow.tsRecent] });
  await t.acked(101, { tsEcr: 2000 });
  t.send('ACK', { seq: 201, len: 100, ts: [2100, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 101, tsEcr: 2000 });
  t.send('ACK', { seq: 301, len: 100, ts: [2200, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 101, tsEcr: 2000 });
});

script('the segment that fills a hole is echoed', { rfc: '7323 §4.3 (C)' }, async t => {
  await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [2000, t.flow.tsRecent] });
  await t.acked(101, { tsEcr: 2000 });
  t.send('ACK', { seq: 201, len: 100, ts: [2100, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 101, tsEcr: 2000 });
  t.send('ACK', { seq: 101, len: 100, ts: [2050, t.flow.tsRecent] });
  await t.acked(301, { tsEcr: 2050 });
});

script(
  'data with a timestamp of the past is dropped and answered by an ACK',
  { rfc: '7323 §5.3 R1' },
  async t => {
    const app = await t.accepted({ ts: true });
    t.send('ACK', { len: 100, ts: [5000, t.flow.tsRecent] });
    await t.acked(101);
    t.send('ACK', { seq: 101, len: 100, ts: [4000, t.flow.tsRecent] });
    await t.gets('ACK', { ack: 101, tsEcr: 5000 });
    await app.reads(100);
    await app.readsNothing();
    t.send('ACK', { seq: 101, len: 100, ts: [5001, t.flow.tsRecent] });
    await t.acked(201);
    await app.reads(100);
  },
);

script('a FIN with a timestamp of the past does not end the stream', { rfc: '7323 §5.3 R1' }, async t => {
  const app = await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [5000, t.flow.tsRecent] });
  await t.acked(101);
  t.send('FIN ACK', { seq: 101, ts: [4000, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 101 });
  await app.stateIs('ESTABLISHED');
});

script('a RST with a timestamp of the past resets', { rfc: '7323 §5.2' }, async t => {
  const app = await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [5000, t.flow.tsRecent] });
  await t.acked(101);
  t.send('RST', { seq: 101, ts: [10, 0] });
  await app.stateIs('CLOSED');
});

script('the same timestamp may come many times', { rfc: '7323 §5.3' }, async t => {
  const app = await t.accepted({ ts: true });
  for (let i = 0; i < 4; i++) t.send('ACK', { len: 100, ts: [5000, t.flow.tsRecent] });
  await t.acked(401);
  await app.reads(400);
});

script('timestamps of the peer may wrap around', { rfc: '7323 §5.2' }, async t => {
  t.flow.tsVal = 0xffffff00;
  const app = await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [0xfffffff0, t.flow.tsRecent] });
  await t.acked(101, { tsEcr: 0xfffffff0 });
  t.send('ACK', { len: 100, ts: [0x10, t.flow.tsRecent] });
  await t.acked(201, { tsEcr: 0x10 });
  t.send('ACK', { seq: 201, len: 100, ts: [0xfffffff8, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 201, tsEcr: 0x10 });
  await app.reads(200);
});

script(
  'after agreement a segment without timestamps is dropped',
  {
    rfc: '7323 §3.2',
    linux: { differs: 'it takes segments without the option, as RFC 1323 did' },
  },
  async t => {
    const app = await t.accepted({ ts: true });
    t.send('ACK', { len: 100, ts: false });
    await t.silence(100);
    await app.readsNothing();
  },
);

script('a retransmission carries a new timestamp', { rfc: '7323 §4.1', seconds: 1.5 }, async t => {
  const app = await t.accepted({ ts: true });
  await app.writes(100);
  const first = await t.gets('ACK', { seq: 1, len: 100, tsVal: any });
  await t.gets('ACK', { seq: 1, len: 100, tsVal: atLeast(first.tsVal! + 1) });
});

script('an ACK of the far past does not change what is echoed', { rfc: '7323 §4.3' }, async t => {
  await t.accepted({ ts: true });
  t.send('ACK', { len: 100, ts: [2000, t.flow.tsRecent] });
  await t.acked(101, { tsEcr: 2000 });
  t.send('ACK', { seq: 1, ts: [2500, t.flow.tsRecent] });
  await t.gets('ACK', { ack: 101, tsEcr: 2000 });
});
