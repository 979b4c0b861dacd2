/** The main ways of the other topics once more over IPv6: RFC 8200, RFC 9293 §3.1 (pseudo header). */
import { topic } from '../script.js';
import { any, atLeast } from '../want.js';
import { flight } from './recovery.js';

const script = topic('ipv6');
const family = 6;

script(
  'passive open, data both ways and close over IPv6',
  { rfc: '9293 §3.5, §3.6; 8200 §8.1', family },
  async t => {
    const app = await t.accepted();
    t.send('PSH ACK', { len: 700 });
    await t.acked(701);
    await app.reads(700);
    await app.writes(900);
    await t.gets('ACK', { seq: 1, len: 900, ack: 701 });
    t.send('FIN ACK');
    await t.acked(702);
    await app.close();
    await t.gets('FIN ACK', { seq: 901, ack: 702 });
    t.send('ACK');
    await app.stateIs('CLOSED');
  },
);

script('active open over IPv6', { rfc: '9293 §3.5', family }, async t => {
  const app = await t.connected();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
});

script(
  'a SYN to a port where nobody listens is refused over IPv6',
  { rfc: '9293 §3.10.7.1', family },
  async t => {
    t.flow = t.flowTo(7777);
    t.send('SYN', { mss: 1000 });
    await t.gets('RST ACK', { seq: 0, ack: 1 });
  },
);

script('all options are agreed on over IPv6', { rfc: '7323 §2.2, §3.2; 2018 §2', family }, async t => {
  await t.listen();
  t.send('SYN', { mss: 1440, sackOk: true, ts: [9, 0], wscale: 4 });
  await t.gets('SYN ACK', { ack: 1, mss: 1440, sackOk: true, tsEcr: 9, wscale: any });
});

script('holes are reported and filled over IPv6', { rfc: '2018 §4', family }, async t => {
  const app = await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 201, len: 100 });
  await t.gets('ACK', { ack: 1, sack: [[201, 301]] });
  t.send('ACK', { seq: 1, len: 200 });
  await t.acked(301);
  await app.reads(300);
});

script('three duplicate ACKs retransmit over IPv6', { rfc: '5681 §3.2', family }, async t => {
  const app = await t.accepted();
  await flight(t, app, 5);
  for (let i = 0; i < 3; i++) t.send('ACK', { ack: 1 });
  await t.gets('ACK', { seq: 1, len: 1000, after: [0, 50] });
});

script('a RST in the window gets a challenge ACK over IPv6', { rfc: '5961 §3.2', family }, async t => {
  const app = await t.accepted();
  t.send('RST', { seq: 500 });
  await t.gets('ACK', { ack: 1 });
  await app.stateIs('ESTABLISHED');
});

script('a wrong checksum is dropped over IPv6', { rfc: '9293 §3.1 (MUST-3); 8200 §8.1', family }, async t => {
  const app = await t.accepted();
  t.send('ACK', { seq: 1, len: 100, bad: { checksum: 1 } });
  await t.silence(50);
  await app.readsNothing();
  await t.alive(app);
});

script(
  'ECN is agreed on, marked and echoed over IPv6',
  { rfc: '3168 §6.1', family, ecn: 'passive' },
  async t => {
    const app = await t.accepted({ ecn: true });
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100, ecn: 2 });
    t.send('ACK', { len: 100, ecn: 3 });
    await t.gets('ACK ECE', { ack: 101 });
  },
);

script(
  'a SYN cookie is answered into a connection over IPv6',
  { rfc: '4987 §3.6', family, synCookies: 'always' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1440 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('ACK', { len: 100 });
    const app = await t.accept(listener);
    await t.acked(101);
    await app.reads(100);
  },
);

script(
  'a closed window is probed over IPv6',
  { rfc: '9293 §3.8.6.1', family, rtoMinMs: 200, seconds: 1 },
  async t => {
    const app = await t.accepted();
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { win: 0 });
    await app.writes(100);
    await t.gets('ACK', { seq: atLeast(100), len: any, limitMs: 3000 });
  },
);
