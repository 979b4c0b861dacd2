/** Closing: RFC 9293 §3.6, every order of the FINs, and what comes afterwards. */

import type { App } from '../app.js';
import { topic } from '../script.js';
import type { Stage } from '../stage.js';
import { any, atLeast, oneOf } from '../want.js';

const script = topic('close');

/** The application closes first; its FIN has come and is not acknowledged. */
async function finWait1(t: Stage): Promise<App> {
  const app = await t.accepted();
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1, ack: 1 });
  await app.stateIs('FIN_WAIT_1');
  return app;
}

async function finWait2(t: Stage): Promise<App> {
  const app = await finWait1(t);
  t.send('ACK');
  await app.stateIs('FIN_WAIT_2');
  return app;
}

async function closeWait(t: Stage): Promise<App> {
  const app = await t.accepted();
  t.send('FIN ACK');
  await t.acked(2);
  await app.stateIs('CLOSE_WAIT');
  return app;
}

script(
  'the application closes first: FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT',
  { rfc: '9293 §3.6 case 1' },
  async t => {
    const app = await finWait2(t);
    await app.polls('', 'in hup err');
    t.send('FIN ACK');
    await t.gets('ACK', { seq: 2, ack: 2, after: [0, 200] });
    await app.stateIs('TIME_WAIT');
    await app.readsEnd();
    await app.polls('in hup', 'err');
  },
);

script('the peer closes first: CLOSE_WAIT, LAST_ACK, gone', { rfc: '9293 §3.6 case 2' }, async t => {
  const app = await closeWait(t);
  await app.polls('in rdhup out', 'hup err');
  await app.readsEnd();
  await app.close();
  await t.gets('FIN ACK', { seq: 1, ack: 2 });
  await app.stateIs('LAST_ACK');
  t.send('ACK');
  await app.stateIs('CLOSED');
  t.send('ACK');
  await t.gets('RST', { seq: 2 });
});

script('both close at once: CLOSING, then TIME_WAIT', { rfc: '9293 §3.6 case 3 figure 13' }, async t => {
  const app = await finWait1(t);
  t.send('FIN ACK', { ack: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('CLOSING');
  t.send('ACK', { ack: 2 });
  await app.stateIs('TIME_WAIT');
});

script(
  'a FIN that acknowledges the FIN leads from FIN_WAIT_1 to TIME_WAIT',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const app = await finWait1(t);
    t.send('FIN ACK', { ack: 2 });
    await t.gets('ACK', { seq: 2, ack: 2 });
    await app.stateIs('TIME_WAIT');
  },
);

script(
  'after shutdown the application still receives all that the peer sends',
  { rfc: '9293 §3.6' },
  async t => {
    const app = await finWait2(t);
    t.send('PSH ACK', { len: 1000 });
    await t.acked(1001);
    t.send('ACK', { len: 500 });
    t.send('FIN ACK');
    await t.acked(1502);
    await app.reads(1500);
    await app.readsEnd();
    await app.stateIs('TIME_WAIT');
  },
);

script('in CLOSE_WAIT the application still sends', { rfc: '9293 §3.6' }, async t => {
  const app = await closeWait(t);
  await app.writes(600);
  await t.gets('ACK', { seq: 1, ack: 2, len: 600 });
  t.send('ACK');
  await app.writes(400);
  await t.gets('ACK', { seq: 601, ack: 2, len: 400 });
  t.send('ACK');
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1001, ack: 2 });
});

script('the FIN of the application follows its last byte', { rfc: '9293 §3.10.4' }, async t => {
  const app = await t.accepted({ win: 2000 });
  // More than the window: the rest and the FIN wait.
  await app.writes(2500);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await app.close();
  await t.silence(50);
  t.send('ACK', { win: 3000 });
  const last = await t.gets('ACK or FIN ACK', { seq: 2001, len: 500 });
  if (!last.flags.includes('FIN')) await t.gets('FIN ACK', { seq: 2501 });
  t.send('ACK', { ack: 2502 });
  await app.stateIs('FIN_WAIT_2');
});

script('a FIN that nobody acknowledges is sent again', { rfc: '9293 §3.8.1', seconds: 3.5 }, async t => {
  const app = await finWait1(t);
  await t.gets('FIN ACK', { seq: 1, ack: 1, after: [900, 1500] });
  await t.gets('FIN ACK', { seq: 1, ack: 1, after: [1800, 2700] });
  t.send('ACK', { ack: 2 });
  await app.stateIs('FIN_WAIT_2');
});

script('data on a FIN is delivered before the end', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  t.send('FIN PSH ACK', { len: 123 });
  await t.acked(125);
  await app.reads(123);
  await app.readsEnd();
});

script(
  'a FIN beyond a hole does not end the stream before the hole is filled',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const app = await t.accepted();
    t.send('FIN ACK', { seq: 101, len: 50 });
    await t.gets('ACK', { ack: 1 });
    await app.stateIs('ESTABLISHED');
    await app.readsNothing();
    t.send('ACK', { seq: 1, len: 100 });
    await t.acked(152);
    await app.stateIs('CLOSE_WAIT');
    await app.reads(150);
    await app.readsEnd();
  },
);

script('a FIN that comes again in CLOSE_WAIT is acknowledged again', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await closeWait(t);
  t.send('FIN ACK', { seq: 1 });
  await t.gets('ACK', { seq: 1, ack: 2 });
  await app.stateIs('CLOSE_WAIT');
});

script('a FIN that comes again in LAST_ACK is acknowledged again', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await closeWait(t);
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1, ack: 2 });
  t.send('FIN ACK', { seq: 1, ack: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('LAST_ACK');
});

script('a FIN that comes again in CLOSING is acknowledged again', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await finWait1(t);
  t.send('FIN ACK', { ack: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  t.send('FIN ACK', { seq: 1, ack: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  await app.stateIs('CLOSING');
});

script('data behind the end of the stream is not delivered', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await closeWait(t);
  t.send('ACK', { seq: 2, len: 100 });
  await t.only('ACK or RST or RST ACK', 50, { len: 0 });
  await app.readsEnd();
});

script(
  'FIN_WAIT_2 without a socket ends after its time',
  { rfc: '9293 §3.6 (half-closed by CLOSE)', finTimeoutMs: 1000, rtoMinMs: 200, seconds: 3.5 },
  async t => {
    const app = await t.accepted();
    await app.close();
    await t.gets('FIN ACK', { seq: 1, ack: 1 });
    t.send('ACK');
    await app.stateIs('FIN_WAIT_2');
    await t.sleep(3000);
    await app.stateIs('CLOSED');
    t.send('FIN ACK');
    await t.gets('RST', { seq: 2 });
  },
);

script(
  'closing with data that nobody read says RST instead of FIN',
  { rfc: '9293 §3.6; 2525 §2.17' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 10 });
    await t.acked(11);
    await app.close();
    await t.gets('RST ACK or RST', { seq: 1 });
    await app.stateIs('CLOSED');
  },
);

script('data that comes after close is answered by RST', { rfc: '9293 §3.6; 1122 §4.2.2.13' }, async t => {
  const app = await t.accepted();
  await app.close();
  await t.gets('FIN ACK', { seq: 1, ack: 1 });
  t.send('ACK', { len: 100 });
  await t.gets('RST or RST ACK', { seq: 2 });
  await app.stateIs('CLOSED');
});

script(
  'data that comes in FIN_WAIT_2 after close is answered by RST',
  { rfc: '9293 §3.6; 1122 §4.2.2.13' },
  async t => {
    const app = await t.accepted();
    await app.close();
    await t.gets('FIN ACK', { seq: 1, ack: 1 });
    t.send('ACK');
    await app.stateIs('FIN_WAIT_2');
    t.send('ACK', { len: 100 });
    await t.gets('RST or RST ACK', { seq: 2 });
    await app.stateIs('CLOSED');
  },
);

script('abort says RST at once and forgets the connection', { rfc: '9293 §3.10.5' }, async t => {
  const app = await t.accepted();
  await app.abort();
  await t.gets('RST or RST ACK', { seq: 1 });
  await app.stateIs('CLOSED');
  t.send('ACK', { len: 5 });
  await t.gets('RST', { seq: 1 });
});

script('abort throws away what was written and not sent', { rfc: '9293 §3.10.5' }, async t => {
  const app = await t.accepted({ win: 2000 });
  await app.writes(5000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await app.abort();
  await t.gets('RST or RST ACK', { seq: atLeast(2001) });
  await t.silence(1200);
});

script('abort in CLOSE_WAIT says RST', { rfc: '9293 §3.10.5' }, async t => {
  const app = await closeWait(t);
  await app.abort();
  await t.gets('RST or RST ACK', { seq: 1 });
});

script('abort in SYN_SENT says nothing', { rfc: '9293 §3.10.5' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  await app.abort();
  await t.silence(100);
  t.send('SYN ACK', { mss: 1000 });
  await t.gets('RST', { seq: 1 });
});

script('writing after shutdown fails with EPIPE', { rfc: '9293 §3.10.2' }, async t => {
  const app = await finWait2(t);
  await app.writeFails('EPIPE');
});

script('shutdown of a socket that is not connected fails with ENOTCONN', { rfc: '9293 §3.10.4' }, async t => {
  const listener = await t.listen();
  await t.handshake();
  const app = await t.accept(listener);
  t.send('RST', { seq: 1 });
  await app.stateIs('CLOSED');
  await app.readFails('ECONNRESET');
  await app.shutdownFails('ENOTCONN');
});

script(
  'closing a listener resets the connections that nobody accepted',
  { rfc: '9293 §3.10.4; 1122 §4.2.2.13' },
  async t => {
    const listener = await t.listen();
    await t.handshake();
    await listener.close();
    await t.gets('RST or RST ACK', { seq: 1 });
    await t.stateIs('CLOSED');
  },
);

script('closing a listener forgets half-open connections', { rfc: '9293 §3.10.4' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  await listener.close();
  t.send('ACK');
  await t.gets('RST', { seq: 1 });
});

script(
  'an ACK of the FIN together with data passes through FIN_WAIT_1',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const app = await finWait1(t);
    t.send('PSH ACK', { len: 40, ack: 2 });
    await t.acked(41);
    await app.stateIs('FIN_WAIT_2');
    await app.reads(40);
  },
);

script('data is acknowledged and delivered in FIN_WAIT_1', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await finWait1(t);
  t.send('PSH ACK', { len: 40, ack: 1 });
  await t.acked(41);
  await app.stateIs('FIN_WAIT_1');
  await app.reads(40);
  t.send('ACK', { ack: 2 });
});

script('in CLOSING an ACK of less than the FIN changes nothing', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await finWait1(t);
  t.send('FIN ACK', { ack: 1 });
  await t.gets('ACK', { seq: 2, ack: 2 });
  t.send('ACK', { ack: 1 });
  await t.only('ACK', 50, { seq: oneOf(1, 2) });
  await app.stateIs('CLOSING');
});

script('in LAST_ACK an ACK of less than the FIN changes nothing', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await closeWait(t);
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1, ack: 2 });
  t.send('ACK', { ack: 1 });
  await t.only('ACK', 50);
  await app.stateIs('LAST_ACK');
  t.send('ACK', { ack: 2 });
  await app.stateIs('CLOSED');
});
