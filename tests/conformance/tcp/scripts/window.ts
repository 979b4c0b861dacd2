/** Windows: scaling (RFC 7323 §2), closing and probing (RFC 9293 §3.8.6), silly ones (RFC 9293 §3.8.6.2). */

import { topic } from '../script.js';
import type { Stage } from '../stage.js';
import { any, atLeast, between, none } from '../want.js';

const script = topic('window');

/** The peer fills the window to the last byte; returns RCV.NXT then. */
async function fill(t: Stage): Promise<number> {
  t.send('ACK', { len: 1 });
  let { ack: edge, window } = (await t.acked(2)) as { ack: number; window: number };
  for (let rounds = 0; window > 0; rounds++) {
    if (rounds > 100) t.fail('the window does not close', [], undefined);
    const len = Math.min(window, 1000);
    t.send('ACK', { seq: edge, len });
    const last = await t.acked(edge + len);
    edge = last.ack!;
    window = last.window;
  }
  return edge;
}

script('the window of the peer is multiplied by its scale', { rfc: '7323 §2.3' }, async t => {
  const app = await t.accepted({ wscale: 3, win: 500 });
  await app.writes(5000);
  for (let seq = 1; seq < 4001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
  await t.silence(50);
});

script('the window in a SYN is not scaled', { rfc: '7323 §2.2' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000, wscale: 7, win: 2000 });
  await t.gets('SYN ACK', { ack: 1, mss: any, wscale: any });
  t.flow.offered = 2001;
  t.send('ACK', { win: 2000 >> 7 });
  const app = await t.accept(listener);
  // 15 · 128.
  t.flow.offered = 1 + 15 * 128;
  await app.writes(5000);
  let end = 1;
  for (const s of await t.only('ACK', 100, { len: any, seq: any })) end = Math.max(end, s.seq + s.len);
  if (end === 1) t.fail('nothing was sent', [], undefined);
  if (end > t.flow.offered)
    t.fail('the window was scaled twice or not at all', [`sent up to ${end}`], undefined);
});

script('the window in a SYN-ACK is not scaled', { rfc: '7323 §2.2' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any, wscale: any });
  t.send('SYN ACK', { mss: 1000, wscale: 2, win: 2000 });
  await t.gets('ACK', { ack: 1 });
  t.flow.offered = 2001;
  await app.writes(9000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await t.silence(50);
  t.send('ACK', { ack: 2001, win: 1000 });
  for (let seq = 2001; seq < 6001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
});

script(
  'without agreement on scaling the window is as it stands',
  { rfc: '7323 §2.2', windowScaling: false },
  async t => {
    const app = await t.accepted({ wscale: 3, win: 2000 });
    await app.writes(5000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    await t.silence(50);
  },
);

script('a scale above 14 counts as 14', { rfc: '7323 §2.3' }, async t => {
  const app = await t.accepted({ wscale: 20, win: 1 });
  await app.writes(40_000);
  let end = 1;
  for (const s of await t.only('ACK', 100, { len: any, seq: any })) end = Math.max(end, s.seq + s.len);
  if (end <= 8000) t.fail('a window of 16384 was hardly used', [`sent up to ${end}`], undefined);
});

script(
  'the own window may be larger than 64 KiB with scaling',
  { rfc: '7323 §2', receiveBuffer: 1 << 20 },
  async t => {
    await t.accepted({ wscale: 7 });
    t.send('ACK', { len: 10 });
    await t.acked(11, { window: atLeast(1) });
  },
);

script(
  'data that nobody reads closes the window, and never more than that comes',
  { rfc: '9293 §3.8.6', receiveBuffer: 8192 },
  async t => {
    const app = await t.accepted();
    const edge = await fill(t);
    t.send('ACK', { seq: edge, len: 100 });
    await t.gets('ACK', { ack: edge, win: 0 });
    await app.reads(edge - 1);
    await t.only('ACK', 50, { ack: edge, win: atLeast(1) });
    await app.readsNothing();
  },
);

script(
  'reading from a closed window tells the peer that it is open',
  { rfc: '9293 §3.8.6.2.2', receiveBuffer: 8192 },
  async t => {
    const app = await t.accepted();
    const edge = await fill(t);
    await app.reads(edge - 1);
    await t.gets('ACK', { ack: edge, win: atLeast(1000), limitMs: 500 });
  },
);

script(
  'reading a little from a closed window does not advertise a silly one',
  { rfc: '9293 §3.8.6.2.2', receiveBuffer: 16384 },
  async t => {
    const app = await t.accepted();
    const edge = await fill(t);
    await app.reads(10);
    await t.silence(100);
    // Not even to a probe.
    t.send('ACK', { seq: edge - 1 });
    await t.gets('ACK', { ack: edge, win: 0 });
  },
);

script(
  'a probe of a closed window is answered with what is true now',
  { rfc: '9293 §3.8.6.1', receiveBuffer: 8192 },
  async t => {
    const app = await t.accepted();
    const edge = await fill(t);
    for (let i = 0; i < 3; i++) {
      t.send('ACK', { seq: edge, len: 1 });
      await t.gets('ACK', { ack: edge, win: 0 });
    }
    t.send('ACK', { seq: edge - 1, len: 0 });
    await t.gets('ACK', { ack: edge, win: 0 });
    await app.reads(edge - 1);
    await t.drain(50);
    t.send('ACK', { seq: edge, len: 1 });
    await t.acked(edge + 1, { win: atLeast(1) });
  },
);

script('a FIN is taken with a closed window', { rfc: '9293 §3.10.7.4', receiveBuffer: 8192 }, async t => {
  const app = await t.accepted();
  const edge = await fill(t);
  t.send('FIN ACK', { seq: edge });
  await t.acked(edge + 1);
  await app.reads(edge - 1);
  await app.readsEnd();
});

script('a closed window is not sent into', { rfc: '9293 §3.8.6.1' }, async t => {
  const app = await t.accepted();
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { win: 0 });
  await app.writes(3000);
  await t.silence(150);
});

script(
  'a closed window is probed, with ever longer pauses',
  { rfc: '9293 §3.8.6.1', rtoMinMs: 200, seconds: 4 },
  async t => {
    const app = await t.accepted();
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { win: 0 });
    await app.writes(1000);
    const probe = { seq: between(100, 101), len: between(0, 1) };
    const at = [t.last.at!];
    for (let i = 0; i < 3; i++) {
      at.push((await t.gets('ACK', { ...probe, limitMs: 8000 })).at);
      t.send('ACK', { ack: 101, win: 0 });
    }
    const [first, second, third] = at.slice(1).map((x, i) => x - at[i]);
    if (second < first * 1.3 || third < second * 1.3)
      t.fail(
        'the pauses do not grow',
        [[first, second, third].map(x => x.toFixed()).join(' ms, ')],
        undefined,
      );
    t.send('ACK', { ack: 101, win: 5000 });
    await t.gets('ACK', { seq: 101, len: 1000 });
  },
);

script('an opened window is sent into at once', { rfc: '9293 §3.8.6.1' }, async t => {
  const app = await t.accepted();
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { win: 0 });
  await app.writes(1500);
  await t.sleep(50);
  t.send('ACK', { win: 20_000 });
  await t.gets('ACK', { seq: 101, len: 1000, after: [0, 50] });
  await t.gets('ACK', { seq: 1101, len: 500 });
});

script(
  'probes that are answered keep a connection alive beyond its retries',
  { rfc: '9293 §3.8.6.1 (MUST-37)', rtoMinMs: 200, retries: 2, seconds: 6 },
  async t => {
    const app = await t.accepted();
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { win: 0 });
    await app.writes(1000);
    for (let i = 0; i < 4; i++) {
      await t.gets('ACK', { seq: between(100, 101), len: between(0, 1), limitMs: 8000 });
      t.send('ACK', { ack: 101, win: 0 });
    }
    await app.stateIs('ESTABLISHED');
  },
);

script(
  'a window that shrinks is not sent into, but what is in flight is still acknowledged',
  { rfc: '9293 §3.8.6 (MUST-34)' },
  async t => {
    const app = await t.accepted();
    await app.writes(3000);
    for (const seq of [1, 1001, 2001]) await t.gets('ACK', { seq, len: 1000 });
    // The right edge moves from 65536 back to 2001.
    t.send('ACK', { ack: 1001, win: 1000 });
    await app.writes(1000);
    await t.silence(100);
    t.send('ACK', { ack: 3001, win: 2000 });
    await t.gets('ACK', { seq: 3001, len: 1000 });
  },
);

script(
  'a window that opens by a few bytes is not filled with a few bytes',
  { rfc: '9293 §3.8.6.2.1' },
  async t => {
    const app = await t.accepted({ win: 8000 });
    await app.writes(8000);
    for (let seq = 1; seq < 8001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
    await app.writes(4000);
    t.send('ACK', { ack: 8001, win: 100 });
    await t.silence(150);
    t.send('ACK', { ack: 8001, win: 1000 });
    await t.gets('ACK', { seq: 8001, len: 1000, after: [0, 50] });
  },
);

script(
  'with less than a segment of window data still goes out in the end',
  { rfc: '9293 §3.8.6.2.1 (override timeout)', rtoMinMs: 200, seconds: 2 },
  async t => {
    const app = await t.accepted({ win: 8000 });
    await app.writes(8000);
    for (let seq = 1; seq < 8001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
    await app.writes(4000);
    t.send('ACK', { ack: 8001, win: 100 });
    await t.gets('ACK', { seq: 8001, len: between(1, 100), limitMs: 3000 });
  },
);

script(
  'a segment of the peer does not open a window beyond the buffer',
  { rfc: '9293 §3.8.6', receiveBuffer: 8192 },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 1 });
    const first = await t.acked(2);
    t.send('ACK', { len: 500 });
    const second = await t.acked(502);
    const moved = second.ack! + second.window - (first.ack! + first.window);
    if (moved < 0) t.fail('the right edge moved back', [`by ${-moved}`], undefined);
    await app.reads(501);
  },
);

script('a window of 65535 is used without scaling', { rfc: '9293 §3.8.6', initialCwnd: 100 }, async t => {
  const app = await t.accepted({ win: 65535 });
  await app.writes(60_000);
  let end = 1;
  for (const s of await t.only('ACK', 200, { len: any, seq: any, wscale: none }))
    end = Math.max(end, s.seq + s.len);
  if (end !== 60_001) t.fail('not all was sent', [`up to ${end}`], undefined);
});

script(
  'a window that opens after probes: the first loss behind it waits for an RTO, not for their back-off',
  { rfc: '6298 §5.3; 9293 §3.8.6.1', rtoMinMs: 200, seconds: 20 },
  async t => {
    const app = await t.accepted({ win: 3000, rttMs: 10 });
    await app.writes(3000);
    for (let i = 0; i < 3; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    t.send('ACK', { ack: 3001, win: 0 });
    await app.writes(2000);
    for (let i = 0; i < 5; i++) {
      await t.gets('ACK', { seq: any, len: any, limitMs: 20_000 });
      t.send('ACK', { ack: 3001, win: 0 });
    }
    t.flow.win = 60_000;
    t.send('ACK', { ack: 3001, win: 60_000 });
    await t.gets('ACK', { seq: 3001, len: 1000 });
    await t.gets('ACK', { seq: 4001, len: 1000 });
    await t.gets('ACK', { seq: 3001, len: any, after: [150, 1500] });
  },
);

script(
  'a window taken back with data in flight does not end a connection whose peer answers',
  { rfc: '9293 §3.8.6.1', retries: 4, rtoMinMs: 200, seconds: 12 },
  async t => {
    const app = await t.accepted({ win: 5000, rttMs: 10 });
    await app.writes(3000);
    for (let i = 0; i < 3; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    t.send('ACK', { ack: 1, win: 0 });
    for (let i = 0; i < 100; i++) for (const _ of await t.drain(100)) t.send('ACK', { ack: 1, win: 0 });
    await app.stateIs('ESTABLISHED');
  },
);

script(
  'what was lost beyond a window that was taken back waits for the window, the first segment for nothing',
  { rfc: '9293 §3.8.6.1 (MUST-34)', rtoMinMs: 200, seconds: 3 },
  async t => {
    const app = await t.accepted({ win: 5000, rttMs: 10 });
    await app.writes(4000);
    for (let i = 0; i < 4; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    await t.gets('ACK', { seq: 1, len: 1000, after: [190, 1000] });
    // All others are lost, two may be sent (RFC 5681 §3.1), and one fits.
    t.send('ACK', { ack: 1001, win: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000, after: [0, 50] });
    await t.silence(100);
    // Nothing fits: the first asks.
    t.send('ACK', { ack: 2001, win: 0 });
    await t.gets('ACK', { seq: 2001, len: 1000, after: [0, 50] });
    await t.silence(100);
    t.send('ACK', { ack: 3001, win: 5000 });
    await t.gets('ACK', { seq: 3001, len: 1000, after: [0, 50] });
    t.send('ACK', { ack: 4001 });
    await t.alive(app);
  },
);

script(
  'tries into a window that was taken back are not counted: what is in flight goes again once it opens',
  { rfc: '9293 §3.8.6.1, §3.8.3', retries: 2, rtoMinMs: 200, seconds: 5 },
  async t => {
    const app = await t.accepted({ win: 5000, rttMs: 10 });
    await app.writes(1000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    t.send('ACK', { ack: 1, win: 0 });
    // As many as a peer that says nothing would be given, and one more.
    for (let i = 0; i < 3; i++) {
      await t.gets('ACK', { seq: 1, len: between(0, 1000), limitMs: 4000 });
      t.send('ACK', { ack: 1, win: 0 });
    }
    t.send('ACK', { ack: 1, win: 5000 });
    await t.gets('ACK', { seq: 1, len: 1000, limitMs: 4000 });
    t.send('ACK', { ack: 1001, win: 5000 });
    await t.alive(app);
  },
);

script(
  'a FIN for which the window is shut has its own time, however long the peer was silent before',
  { rfc: '9293 §3.8.6.1; 5482 §4.1', rtoMinMs: 200, seconds: 7 },
  async t => {
    const app = await t.accepted({ win: 3000, rttMs: 10, set: [['userTimeoutMs', 3000]] });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { ack: 101, win: 0 });
    await t.silence(4000);
    await app.shutdown();
    // The FIN, or a probe (whether a FIN goes into a shut window is open), and again.
    await t.drain(1000);
    await app.stateIs('FIN_WAIT_1');
    t.send('ACK', { ack: 101, win: 3000 });
    await t.gets('FIN ACK', { seq: 101, limitMs: 2500 });
    t.send('ACK', { ack: 102 });
    await app.stateIs('FIN_WAIT_2');
  },
);
