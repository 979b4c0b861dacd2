/** Keepalive (RFC 9293 §3.8.4) and the user timeout (RFC 9293 §3.8.3, RFC 5482). */
import type { SocketOption } from '../driver.js';
import { topic } from '../script.js';
import { oneOf } from '../want.js';

const script = topic('keepalive');
const KEEP: [SocketOption, number][] = [
  ['keepalive', 1],
  ['keepIdleS', 1],
  ['keepIntervalS', 1],
  ['keepCount', 2],
];

script(
  'an idle connection is not probed unless asked for',
  { rfc: '9293 §3.8.4 (MUST-25)', seconds: 2 },
  async t => {
    const app = await t.accepted();
    await t.silence(1800);
    await t.alive(app);
  },
);

script(
  'an idle connection is probed with a number below SND.NXT',
  { rfc: '9293 §3.8.4', seconds: 2 },
  async t => {
    await t.accepted({ set: KEEP });
    await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [900, 1600] });
  },
);

script('a probe that is answered keeps the connection', { rfc: '9293 §3.8.4', seconds: 5 }, async t => {
  const app = await t.accepted({ set: KEEP });
  for (let i = 0; i < 3; i++) {
    await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [900, 1700] });
    t.send('ACK');
  }
  await app.stateIs('ESTABLISHED');
});

script('probes that nobody answers end the connection', { rfc: '9293 §3.8.4', seconds: 5 }, async t => {
  const app = await t.accepted({ set: KEEP });
  await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [900, 1600] });
  await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [900, 1600] });
  await t.gets('RST or RST ACK', { seq: oneOf(0, 1), after: [900, 1600] });
  await app.stateIs('CLOSED');
  await app.errorIs('ETIMEDOUT');
});

script('a probe that is answered by RST ends the connection', { rfc: '9293 §3.8.4', seconds: 2 }, async t => {
  const app = await t.accepted({ set: KEEP });
  await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [900, 1600] });
  t.send('RST');
  await app.stateIs('CLOSED');
  await app.errorIs('ECONNRESET');
});

script('data puts the probe off', { rfc: '9293 §3.8.4', seconds: 3 }, async t => {
  await t.accepted({ set: KEEP });
  await t.sleep(600);
  t.send('ACK', { len: 10 });
  await t.acked(11);
  await t.silence(500);
  await t.gets('ACK', { seq: 0, ack: 11, len: oneOf(0, 1), after: [100, 1300] });
});

script('a keepalive probe of the peer is answered', { rfc: '9293 §3.8.4; §3.10.7.4' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { seq: 0 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  t.send('ACK', { seq: 0, len: 1 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  await app.readsNothing();
});

script(
  'data that nobody acknowledges within the user timeout ends the connection',
  { rfc: '9293 §3.8.3; 5482', rtoMinMs: 200, seconds: 3 },
  async t => {
    const app = await t.accepted({ set: [['userTimeoutMs', 1000]] });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    await t.only('ACK or RST ACK', 2500, { seq: oneOf(1, 101), len: oneOf(0, 100) });
    await app.stateIs('CLOSED');
    await app.errorIs('ETIMEDOUT');
  },
);

script(
  'data that is acknowledged in time begins the user timeout anew',
  { rfc: '9293 §3.8.3; 5482', seconds: 3 },
  async t => {
    const app = await t.accepted({ set: [['userTimeoutMs', 1500]] });
    for (let i = 0; i < 3; i++) {
      await app.writes(100);
      await t.gets('ACK', { len: 100 });
      await t.sleep(700);
      t.send('ACK');
    }
    await app.stateIs('ESTABLISHED');
  },
);

script(
  'a closed window that nobody opens ends at the user timeout',
  { rfc: '9293 §3.8.3; 5482', rtoMinMs: 200, seconds: 5 },
  async t => {
    const app = await t.accepted({ set: [['userTimeoutMs', 1000]] });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { win: 0 });
    await app.writes(100);
    await t.only('ACK or RST ACK or RST', 4000, { seq: oneOf(100, 101), len: oneOf(0, 1) });
    await app.stateIs('CLOSED');
    await app.errorIs('ETIMEDOUT');
  },
);

script(
  'segments that are not of the connection do not put the probe off',
  { rfc: '9293 §3.8.4; 5961 §5', seconds: 2 },
  async t => {
    await t.accepted({ set: KEEP });
    await t.sleep(700);
    t.send('ACK', { seq: 0x20000000, bad: {} });
    t.send('ACK', { seq: 1, len: 10, ack: -0x40000000, bad: {} });
    await t.only('ACK', 100, { seq: 1, ack: 1 });
    await t.gets('ACK', { seq: 0, ack: 1, len: oneOf(0, 1), after: [50, 800] });
  },
);

script(
  'the user timeout of a closed window begins when there is something to send',
  { rfc: '9293 §3.8.3; 5482', rtoMinMs: 200, seconds: 7 },
  async t => {
    const app = await t.accepted({ set: [['userTimeoutMs', 2000]] });
    t.send('ACK', { win: 0 });
    await t.silence(2500);
    await app.writes(100);
    await t.only('ACK', 1000, { seq: oneOf(0, 1), len: oneOf(0, 1) });
    await app.stateIs('ESTABLISHED');
    await t.only('ACK or RST ACK or RST', 3500, { seq: oneOf(0, 1), len: oneOf(0, 1) });
    await app.errorIs('ETIMEDOUT');
  },
);
