/** Which segments count: the table of RFC 9293 §3.10.7.4 and what is done with those that do not. */
import { topic } from '../script.js';
import { atLeast, oneOf } from '../want.js';

const script = topic('acceptability');
const rfc = '9293 §3.10.7.4';

script('an empty segment at RCV.NXT is taken silently', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK');
  t.send('ACK');
  await t.silence(100);
  await t.alive(app);
});

script('an empty segment before the window is answered by an ACK', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 100 });
  await t.acked(101);
  t.send('ACK', { seq: 50 });
  await t.gets('ACK', { seq: 1, ack: 101 });
  await app.reads(100);
});

script('an empty segment behind the window is answered by an ACK', { rfc }, async t => {
  await t.accepted();
  t.send('ACK', { seq: 0x100000 });
  await t.gets('ACK', { seq: 1, ack: 1 });
});

script(
  'data that was all received before is answered by an ACK and not delivered again',
  { rfc },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 200 });
    await t.acked(201);
    t.send('ACK', { seq: 1, len: 200 });
    await t.gets('ACK', { ack: 201 });
    t.send('ACK', { seq: 51, len: 50 });
    await t.gets('ACK', { ack: 201 });
    await app.reads(200);
    await app.readsNothing();
  },
);

script('of data that was received in part the rest is delivered', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 200 });
  await t.acked(201);
  t.send('ACK', { seq: 101, len: 300 });
  await t.acked(401);
  await app.reads(400);
  await app.readsNothing();
});

script('data behind the window is answered by an ACK and not kept', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 1 });
  const { window } = await t.acked(2);
  t.send('ACK', { seq: 2 + window, len: 100 });
  await t.gets('ACK', { ack: 2 });
  t.send('ACK', { seq: 2, len: 99 });
  await t.acked(101);
  await app.reads(100);
  await app.readsNothing();
});

script(
  'data that reaches over the right edge is never acknowledged beyond it',
  { rfc, receiveBuffer: 4096 },
  async t => {
    const app = await t.accepted({ win: 65535 });
    t.send('ACK', { len: 1 });
    const { window } = await t.acked(2);
    const edge = 2 + window;
    // All but the last 200 bytes of the window, then 300 bytes.
    for (let at = 2; at < edge - 200; ) {
      const len = Math.min(1000, edge - 200 - at);
      t.send('ACK', { seq: at, len });
      at += len;
    }
    await t.drain(100);
    t.send('ACK', { seq: edge - 200, len: 300 });
    for (const { ack } of await t.only('ACK', 300))
      if (ack! > edge) t.fail('acknowledged beyond the window', [`${ack} > ${edge}`], undefined);
    await app.reads(window - 199);
    await t.only('ACK', 50);
  },
);

script('a segment without ACK in ESTABLISHED is dropped', { rfc }, async t => {
  const app = await t.accepted();
  t.send('', { seq: 1, len: 100 });
  t.send('PSH', { seq: 1, len: 100 });
  t.send('FIN', { seq: 1 });
  await t.silence(600);
  await app.stateIs('ESTABLISHED');
  await app.readsNothing();
  t.flow.next = 1;
  await t.alive(app);
});

script('an ACK that repeats the last is ignored', { rfc }, async t => {
  const app = await t.accepted();
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { ack: 101 });
  t.send('ACK', { ack: 101 });
  t.send('ACK', { ack: 101 });
  t.send('ACK', { ack: 50 });
  await t.silence(100);
  await app.writes(100);
  await t.gets('ACK', { seq: 101, len: 100 });
});

script('an empty ACK of what was never sent is answered by an ACK', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { ack: 2 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  t.send('ACK', { ack: 12 });
  await t.gets('ACK', { seq: 11, ack: 1 });
});

script('an ACK in the middle of a segment moves SND.UNA there', { rfc, seconds: 1.5 }, async t => {
  const app = await t.accepted();
  await app.writes(1000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  t.send('ACK', { ack: 501 });
  // What is sent again begins where the acknowledgment ended.
  await t.gets('ACK', { seq: 501, len: 500, after: [700, 1600] });
});

script('with a closed window ACKs are still taken', { rfc, receiveBuffer: 4096 }, async t => {
  const app = await t.accepted();
  let edge = 1;
  for (;;) {
    t.send('ACK', { seq: edge, len: 500 });
    const got = await t.drain(30);
    const last = got.at(-1);
    if (last) edge = last.ack!;
    else edge += 500;
    if (last?.window === 0) break;
    if (edge > 100_000) t.fail('the window never closes', [], undefined);
  }
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { seq: edge, ack: 101 });
  await t.silence(1300);
  t.send('RST', { seq: edge });
  await app.stateIs('CLOSED');
});

for (const [what, iss] of [
  ['at the SYN', 0xffffffff],
  ['in the first segment', 0xfffffe00],
  ['between two segments', 0xffffffff - 1000],
] as const)
  script(`sequence numbers of the peer wrap around ${what}`, { rfc: '9293 §3.4' }, async t => {
    t.flow = t.flowTo(7000, { iss });
    const app = await t.accepted();
    t.send('ACK', { len: 1000 });
    await t.acked(1001);
    t.send('ACK', { seq: 2001, len: 1000 });
    await t.gets('ACK', { ack: 1001 });
    t.send('ACK', { seq: 1001, len: 1000 });
    await t.acked(3001);
    await app.reads(3000);
    t.send('RST', { seq: 3001 + 500 });
    await t.gets('ACK', { ack: 3001 });
    t.send('FIN ACK', { seq: 3001 });
    await t.acked(3002);
    await app.readsEnd();
  });

script(
  'an old segment does not take the window back',
  { rfc: '9293 §3.10.7.4 (SND.WL1, SND.WL2)' },
  async t => {
    const app = await t.accepted({ win: 4000 });
    t.send('ACK', { len: 100, win: 8000 });
    await t.acked(101);
    // An older segment with a smaller window arrives late.
    t.send('ACK', { seq: 1, len: 100, win: 1000 });
    await t.gets('ACK', { ack: 101 });
    await app.writes(8000);
    for (let seq = 1; seq < 8001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
  },
);

script('a window update needs no acknowledgment of anything new', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted({ win: 2000 });
  await app.writes(4000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  t.send('ACK', { ack: 1, win: 4000 });
  await t.gets('ACK', { seq: 2001, len: 1000 });
  await t.gets('ACK', { seq: 3001, len: 1000 });
});

script(
  'data is delivered in ESTABLISHED, FIN_WAIT_1 and FIN_WAIT_2, not in CLOSE_WAIT',
  { rfc: '9293 §3.10.7.4 (segment text)' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 10 });
    await t.acked(11);
    await app.shutdown();
    await t.gets('FIN ACK', { seq: 1, ack: 11 });
    t.send('ACK', { len: 10, ack: 1 });
    await t.acked(21);
    t.send('ACK', { len: 10, ack: 2 });
    await t.acked(31);
    t.send('FIN ACK');
    await t.acked(32);
    t.send('ACK', { seq: 31, len: 10 });
    await t.gets('ACK', { ack: oneOf(32) });
    await app.reads(30);
    await app.readsEnd();
  },
);

script(
  'answers to unacceptable segments carry SND.NXT and RCV.NXT, also with data in flight',
  { rfc },
  async t => {
    const app = await t.accepted();
    await app.writes(1500);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 500 });
    t.send('ACK', { seq: 500_000, ack: 1 });
    await t.gets('ACK', { seq: 1501, ack: 1, win: atLeast(1) });
  },
);
