/** Explicit congestion notification: RFC 3168 §6.1. */
import { topic } from '../script.js';
import { any, oneOf } from '../want.js';

const script = topic('ecn');
const ECT0 = 2;
const CE = 3;

script(
  'a SYN that asks for ECN is granted it with ECE alone',
  { rfc: '3168 §6.1.1', ecn: 'passive' },
  async t => {
    await t.listen();
    t.send('SYN ECE CWR', { mss: 1000 });
    await t.gets('SYN ACK ECE', { ack: 1, mss: any, ecn: 0 });
  },
);

script('a SYN that does not ask is not granted ECN', { rfc: '3168 §6.1.1', ecn: 'on' }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script('a host without ECN does not grant it', { rfc: '3168 §6.1.1', ecn: 'off' }, async t => {
  await t.listen();
  t.send('SYN ECE CWR', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script('a SYN with ECE alone does not ask for ECN', { rfc: '3168 §6.1.1', ecn: 'on' }, async t => {
  await t.listen();
  t.send('SYN ECE', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
});

script(
  'connect asks for ECN when told to, and the SYN itself is not ECN-capable',
  { rfc: '3168 §6.1.1', ecn: 'on' },
  async t => {
    await t.connect();
    await t.gets('SYN ECE CWR', { mss: any, ecn: 0 });
  },
);

script(
  'connect does not ask for ECN when it only accepts it',
  { rfc: '3168 §6.1.1', ecn: 'passive' },
  async t => {
    await t.connect();
    await t.gets('SYN', { mss: any });
  },
);

script('without the grant nothing is marked ECN-capable', { rfc: '3168 §6.1.1', ecn: 'on' }, async t => {
  const app = await t.connect();
  await t.gets('SYN ECE CWR', { mss: any });
  t.send('SYN ACK', { mss: 1000 });
  await t.gets('ACK', { ack: 1 });
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100, ecn: 0 });
});

script(
  'a grant with both flags is no grant',
  {
    rfc: '3168 §6.1.1',
    ecn: 'on',
    linux: { differs: 'it takes any flags that AccECN knows (RFC 9768) for a grant' },
  },
  async t => {
    const app = await t.connect();
    await t.gets('SYN ECE CWR', { mss: any });
    t.send('SYN ACK ECE CWR', { mss: 1000 });
    await t.gets('ACK', { ack: 1 });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100, ecn: 0 });
  },
);

script(
  'after agreement data is ECN-capable, pure ACKs are not',
  { rfc: '3168 §6.1.2, §6.1.4', ecn: 'passive' },
  async t => {
    const app = await t.accepted({ ecn: true });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100, ecn: ECT0 });
    t.send('ACK', { len: 10, ecn: ECT0 });
    await t.acked(11, { ecn: 0 });
  },
);

script(
  'after agreement on the active side data is ECN-capable',
  { rfc: '3168 §6.1.2', ecn: 'on' },
  async t => {
    const app = await t.connected({ ecn: true });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100, ecn: ECT0 });
  },
);

script(
  'a retransmission is not ECN-capable',
  { rfc: '3168 §6.1.5', ecn: 'passive', seconds: 1.5 },
  async t => {
    const app = await t.accepted({ ecn: true });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100, ecn: ECT0 });
    await t.gets('ACK', { seq: 1, len: 100, ecn: 0, limitMs: 1600 });
  },
);

script(
  'congestion is echoed until the peer says that it heard',
  { rfc: '3168 §6.1.3', ecn: 'passive' },
  async t => {
    const app = await t.accepted({ ecn: true });
    t.send('ACK', { len: 100, ecn: ECT0 });
    await t.acked(101);
    t.send('ACK', { len: 100, ecn: CE });
    await t.gets('ACK ECE', { ack: 201 });
    for (let ack = 301; ack <= 501; ack += 100) {
      t.send('ACK', { len: 100, ecn: ECT0 });
      await t.gets('ACK ECE', { ack, limitMs: 600 });
    }
    t.send('ACK CWR', { len: 100, ecn: ECT0 });
    await t.gets('ACK', { ack: 601, limitMs: 600 });
    await app.reads(600);
  },
);

script('an echo stands on data, too', { rfc: '3168 §6.1.3', ecn: 'passive' }, async t => {
  const app = await t.accepted({ ecn: true });
  t.send('ACK', { len: 100, ecn: CE });
  await t.gets('ACK ECE', { ack: 101 });
  await app.writes(50);
  await t.gets('ACK ECE', { seq: 1, ack: 101, len: 50, ecn: ECT0 });
});

script('a mark on a CWR segment begins a new echo', { rfc: '3168 §6.1.3', ecn: 'passive' }, async t => {
  await t.accepted({ ecn: true });
  t.send('ACK', { len: 100, ecn: CE });
  await t.gets('ACK ECE', { ack: 101 });
  t.send('ACK CWR', { len: 100, ecn: CE });
  await t.gets('ACK ECE', { ack: 201, limitMs: 600 });
});

script(
  'an echo halves the window and is answered by CWR on new data',
  { rfc: '3168 §6.1.2', ecn: 'passive' },
  async t => {
    const app = await t.accepted({ ecn: true });
    await app.writes(10_000);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000, ecn: ECT0 });
    await app.writes(20_000);
    for (let i = 1; i <= 10; i++) t.send('ACK ECE', { ack: 1 + i * 1000 });
    const got = await t.only('ACK or ACK CWR', 100, { seq: any, len: 1000 });
    if (got.length < 3 || got.length > 11)
      t.fail('the window was not reduced', [`${got.length} segments`], undefined);
    if (!got[0].flags.includes('CWR')) t.fail('the first new segment says CWR', [got[0].flags], undefined);
    if (got.filter(s => s.flags.includes('CWR')).length !== 1) t.fail('CWR is said once', [], undefined);
  },
);

script('echoes within one window reduce it once', { rfc: '3168 §6.1.2', ecn: 'passive' }, async t => {
  const app = await t.accepted({ ecn: true });
  await app.writes(10_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  for (let i = 1; i <= 10; i++) t.send('ACK ECE', { ack: 1 + i * 1000 });
  await t.silence(50);
  await app.writes(20_000);
  const got = await t.only('ACK or ACK CWR', 100, { seq: any, len: 1000 });
  // Ten times half of ten would be one.
  if (got.length < 4 || got.length > 6)
    t.fail('the window is not half', [`${got.length} segments`], undefined);
});

script('an echo does not send anything again', { rfc: '3168 §6.1.2', ecn: 'passive' }, async t => {
  const app = await t.accepted({ ecn: true });
  await app.writes(3000);
  for (const seq of [1, 1001, 2001]) await t.gets('ACK', { seq, len: 1000 });
  t.send('ACK ECE', { ack: 1001 });
  t.send('ACK ECE', { ack: 3001 });
  await t.silence(100);
});

script('a loss is answered by CWR, too', { rfc: '3168 §6.1.2', ecn: 'passive' }, async t => {
  const app = await t.accepted({ ecn: true });
  await app.writes(10_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  for (let i = 0; i < 9; i++) t.send('ACK', { ack: 1 });
  await t.gets('ACK or ACK CWR', { seq: 1, len: 1000, ecn: oneOf(0) });
  t.send('ACK', { ack: 10_001 });
  await t.silence(30);
  await app.writes(1000);
  await t.gets('ACK CWR', { seq: 10_001, len: 1000, ecn: ECT0 });
});

script(
  'a timeout after an echo that turns out to be spurious does not take back the answer to the echo',
  { rfc: '3168 §6.1.2; 3522 §3.2; 4015 §3.2', ecn: 'passive', seconds: 2 },
  async t => {
    const app = await t.accepted({ ecn: true, sackOk: true, ts: true });
    await app.writes(10 * 988);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 988, len: 988 });
    t.send('ACK ECE', { ack: 1 + 988 });
    const original = t.flow.tsRecent;
    await t.gets('ACK', { seq: 1 + 988, len: 988, after: [950, 1900] });
    // The ACKs of the originals were only late.
    t.send('ACK', { ack: 1 + 10 * 988, ts: [2000, original] });
    await t.silence(30);
    await app.writes(20_000);
    const got = await t.only('ACK or ACK CWR', 100, { seq: any, len: any });
    if (got.length < 1 || got.length > 6)
      t.fail('the window is more than half of ten', [`${got.length} segments`], undefined);
  },
);

script('marks without agreement are not echoed', { rfc: '3168 §6.1.1' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 100, ecn: CE });
  await t.acked(101);
  await app.reads(100);
});

script('ECE without agreement changes nothing', { rfc: '3168 §6.1.1' }, async t => {
  const app = await t.accepted();
  await app.writes(10_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  for (let i = 1; i <= 10; i++) t.send('ACK ECE', { ack: 1 + i * 1000 });
  await app.writes(20_000);
  const got = await t.only('ACK', 100, { seq: any, len: 1000 });
  if (got.length < 11) t.fail('the window was reduced', [`${got.length} segments`], undefined);
});

script(
  'a SYN that asked for ECN in vain is sent again without, in the end',
  { rfc: '3168 §6.1.1.1', ecn: 'on', seconds: 8 },
  async t => {
    await t.connect();
    await t.gets('SYN ECE CWR', { mss: any });
    for (let i = 0; i < 3; i++) {
      const again = await t.gets('SYN or SYN ECE CWR', { seq: 0, mss: any, limitMs: 5000 });
      if (again.flags === 'SYN') return;
    }
    t.fail('ECN is asked for again and again', [], undefined);
  },
);
