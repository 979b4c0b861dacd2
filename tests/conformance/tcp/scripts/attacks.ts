/** Peers that mean harm: RFC 4953, RFC 4987, RFC 5961 §7; what they send must cost them more than the host. */
import { topic } from '../script.js';
import { any, atMost, between, none } from '../want.js';

const script = topic('attacks');

script(
  'a flood of SYNs does not stop a connection that is there, nor one that is opened meanwhile',
  { rfc: '4987 §3.6', synCookies: 'overflow' },
  async t => {
    const listener = await t.listen({ backlog: 4 });
    await t.handshake();
    const app = await t.accept(listener);
    const flood = Array.from({ length: 200 }, () => t.flowTo());
    for (const flow of flood) flow.send('SYN', { mss: 1000 });
    await t.alive(app);
    const friend = t.flowTo();
    await t.handshake({}, friend);
    await t.alive(await t.accept(listener, friend), friend);
    // Those that are remembered would say it again.
    for (const flow of flood) flow.send('RST', { seq: 1 });
    for (const flow of flood) await flow.only('SYN ACK', 0, { seq: 0, ack: 1 });
  },
);

script(
  'ACKs of numbers that are not in the window are not answered one by one',
  { rfc: '5961 §7; 9293 §3.10.7.4', ackLimit: true, seconds: 1 },
  async t => {
    const app = await t.accepted();
    for (let i = 0; i < 100; i++) t.send('ACK', { seq: 0x200000 + i });
    const answers = await t.only('ACK', 300, { seq: 1, ack: 1 });
    if (answers.length > 20)
      t.fail('an ACK for an ACK, and so on without end', [`${answers.length}`], undefined);
    t.flow.next = 1;
    await t.alive(app);
  },
);

script('crumbs with holes between them do not exhaust the reassembly', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  for (let i = 0; i < 1000; i++) t.send('ACK', { seq: 3 + i * 2, len: 1 });
  await t.only('ACK', 100, { ack: 1 });
  // Then all of it in two segments: nothing is missing, whatever was kept.
  t.send('ACK', { seq: 1, len: 1000 });
  t.send('ACK', { seq: 1001, len: 1001 });
  await t.acked(2002);
  await app.reads(2001);
  await t.alive(app);
});

script(
  'ACKs ahead of the data do not make the host send faster',
  { rfc: '5681 §3.1; 9293 §3.10.7.4', initialCwnd: 4 },
  async t => {
    const app = await t.accepted();
    await app.writes(40_000);
    for (let i = 0; i < 4; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    // Of the segment that is not sent yet, and of the one after it.
    t.send('ACK', { ack: 5001 });
    t.send('ACK', { ack: 6001 });
    await t.only('ACK', 60, { seq: 4001, len: 0 });
    t.send('ACK', { ack: 4001 });
    const got = await t.only('ACK', 60, { seq: any, len: 1000 });
    if (got.length > 8) t.fail('more than the window was sent', [`${got.length} segments`], undefined);
  },
);

script('a window of one byte is not fed byte by byte', { rfc: '9293 §3.8.6.2.1' }, async t => {
  const app = await t.accepted({ win: 4000 });
  await app.writes(4000);
  for (let i = 0; i < 4; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  await app.writes(4000);
  let fed = 0;
  for (let i = 0; i < 10; i++) {
    t.send('ACK', { ack: t.flow.theirs, win: 1 });
    fed += (await t.only('ACK', 10, { len: between(0, 1), seq: any })).length;
  }
  if (fed > 2) t.fail('each byte of window got a segment', [`${fed} segments`], undefined);
});

script('a hundred reports of the same hole send it again once', { rfc: '6675 §5; 8985 §6.2' }, async t => {
  const app = await t.accepted({ sackOk: true, rttMs: 200 });
  await app.writes(10_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  await t.sleep(200);
  for (let i = 0; i < 100; i++) t.send('ACK', { ack: 1, sack: [[1001, 10_001]] });
  const again = await t.only('ACK', 100, { seq: 1, len: 1000 });
  if (again.length !== 1) t.fail('the hole is filled once', [`${again.length} times`], undefined);
});

script(
  'reports of every second byte do not confuse what is kept for retransmission',
  { rfc: '2018 §3; 6675 §3' },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await app.writes(10_000);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    for (let i = 0; i < 50; i++) {
      const at = 1 + i * 200;
      t.send('ACK', {
        ack: 1,
        sack: [
          [at + 1, at + 2],
          [at + 51, at + 52],
          [at + 101, at + 102],
        ],
      });
    }
    await t.drain(60);
    t.send('ACK', { ack: 10_001 });
    await t.drain(60);
    await t.alive(app);
  },
);

script(
  'cookies that come back all at once make no more connections than the backlog holds',
  { rfc: '4987 §3.6', synCookies: 'always', seconds: 1 },
  async t => {
    const listener = await t.listen({ backlog: 1 });
    const flows = Array.from({ length: 6 }, () => t.flowTo());
    for (const flow of flows) {
      flow.send('SYN', { mss: 1000 });
      await flow.gets('SYN ACK', { ack: 1, mss: any });
    }
    for (const flow of flows) flow.send('ACK');
    await t.silence(100);
    const [first, second, third] = flows;
    const app = await t.accept(listener, first);
    await t.accept(listener, second);
    await t.acceptsNothing(listener);
    // There is room again, and the cookie is still good.
    third.send('ACK');
    await t.alive(await t.accept(listener, third), third);
    await t.alive(app, first);
  },
);

script(
  'a number that somebody guessed, with an acknowledgment that he did not, leaves nothing behind',
  { rfc: '5961 §5.2; 7323 §5.3' },
  async t => {
    const app = await t.accepted({ ts: true });
    const clock = t.flow.tsVal;
    for (const ack of [0x40000000, -0x40000000]) {
      // Taken for the peer's clock, this would make everything that the peer says too old.
      t.send('PSH ACK', { seq: 1, len: 10, ack, ts: [clock + 0x10000000, t.flow.tsRecent], bad: {} });
      await t.only('ACK', 60, { seq: 1, ack: 1, tsEcr: atMost(clock) });
    }
    t.flow.tsVal = clock;
    await app.readsNothing();
    await t.alive(app);
  },
);

script(
  'what is refused for its timestamp is not reported as received',
  { rfc: '7323 §5.3; 2018 §4' },
  async t => {
    const app = await t.accepted({ ts: true, sackOk: true });
    t.send('PSH ACK', { len: 100 });
    await t.acked();
    await app.reads(100);
    const old = t.flow.tsVal - 500;
    // Believed, it would never be sent: the peer would take it for there.
    t.send('PSH ACK', { seq: 101, len: 100, ts: [old, t.flow.tsRecent], bad: {} });
    await t.gets('ACK', { ack: 101, sack: none });
    t.send('PSH ACK', { seq: 101, len: 100 });
    await t.acked();
    await app.reads(100);
  },
);
