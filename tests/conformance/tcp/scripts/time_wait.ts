/** TIME_WAIT: RFC 9293 §3.6.1, §3.10.7.4; RFC 1122 §4.2.2.13; RFC 6191. Its end is a minute away and not played. */
import type { App } from '../app.js';
import { topic } from '../script.js';
import type { Opening, Stage } from '../stage.js';
import { any } from '../want.js';

const script = topic('time wait');

async function timeWait(t: Stage, opening: Opening = {}): Promise<App> {
  const app = await t.accepted(opening);
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1, ack: 1 });
  t.send('ACK');
  t.send('FIN ACK');
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('TIME_WAIT');
  return app;
}

script('a FIN that comes again in TIME_WAIT is acknowledged again', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await timeWait(t);
  t.send('FIN ACK', { seq: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('TIME_WAIT');
});

script(
  'a SYN with a higher number opens a connection anew out of TIME_WAIT',
  { rfc: '9293 §3.6.1; 1122 §4.2.2.13' },
  async t => {
    const app = await timeWait(t);
    const old = t.flow.irs!;
    t.flow = t.flowTo(7000, { peerPort: t.flow.peerPort, iss: t.flow.iss + 100_000 });
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    if (((t.flow.irs! - old) | 0) <= 2)
      t.fail(
        'the new initial number must lie above what the old connection used',
        [`${old} → ${t.flow.irs}`],
        undefined,
      );
    t.send('ACK');
    await app.stateIs('ESTABLISHED');
  },
);

script('a SYN with an old number does not disturb TIME_WAIT', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await timeWait(t);
  t.send('SYN', { seq: -5000, mss: 1000 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('TIME_WAIT');
});

script(
  'a SYN with a later timestamp opens a connection anew, though its number is lower',
  { rfc: '6191 §2' },
  async t => {
    const app = await timeWait(t, { ts: true });
    const { peerPort, iss, tsVal } = t.flow;
    t.flow = t.flowTo(7000, { peerPort, iss: iss - 100_000 });
    await t.sleep(1100);
    t.send('SYN', { mss: 1000, ts: [tsVal + 2000, 0] });
    await t.gets('SYN ACK', { ack: 1, mss: any, tsEcr: tsVal + 2000 });
    t.send('ACK', { ts: [tsVal + 2001, t.flow.tsRecent] });
    await app.stateIs('ESTABLISHED');
  },
);

script(
  'data in TIME_WAIT is answered by an ACK, if at all, and the state stays',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const app = await timeWait(t);
    t.send('ACK', { seq: 1, len: 10 });
    await t.only('ACK', 60, { seq: 2, ack: 2 });
    await app.stateIs('TIME_WAIT');
  },
);

script(
  'a RST in the window does not end TIME_WAIT unless it has the next number',
  { rfc: '1337; 5961 §3.2' },
  async t => {
    const app = await timeWait(t);
    for (const seq of [3, 100, 5000]) t.send('RST', { seq, bad: {} });
    await t.only('ACK', 60, { seq: 2, ack: 2 });
    await app.stateIs('TIME_WAIT');
  },
);
