/** Half-open connections and ghosts of old ones: RFC 9293 §3.5 (figures 8 to 11), §3.5.1. */
import { topic } from '../script.js';
import { any } from '../want.js';

const script = topic('half-open');

script(
  'an old SYN is answered, its RST ends that, and the new SYN opens',
  { rfc: '9293 §3.5 figure 8' },
  async t => {
    const listener = await t.listen();
    const { peerPort, iss } = t.flow;
    t.send('SYN', { mss: 1000 });
    const ghost = await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('RST', { seq: ghost.ack });
    t.flow = t.flowTo(7000, { peerPort, iss: iss + 5000 });
    await t.handshake();
    await t.accept(listener);
  },
);

script(
  'a peer that was started anew learns of its half-open connection, and opens it again',
  { rfc: '9293 §3.5.1 figure 9; 5961 §4.2' },
  async t => {
    const listener = await t.listen();
    await t.handshake();
    const old = await t.accept(listener);
    const { peerPort, iss } = t.flow;
    // It knows nothing of the old connection and takes the same port.
    t.send('SYN', { seq: 1_000_000, mss: 1000 });
    const { ack } = await t.gets('ACK', { seq: 1, ack: 1 });
    t.send('RST', { seq: ack });
    await old.stateIs('CLOSED');
    t.flow = t.flowTo(7000, { peerPort, iss: iss + 2_000_000 });
    await t.handshake();
    await t.accept(listener);
    await old.readFails('ECONNRESET');
  },
);

script(
  'data to a peer that forgot the connection is reset by it',
  { rfc: '9293 §3.5.1 figure 10' },
  async t => {
    const app = await t.accepted();
    await app.writes(10);
    const { seq } = await t.gets('ACK', { seq: 1, len: 10 });
    t.send('RST', { seq: 1, ack: seq });
    await app.readFails('ECONNRESET');
  },
);

script(
  'a listener whose connection was reset goes on listening',
  { rfc: '9293 §3.10.7.4 (second, RST)' },
  async t => {
    const listener = await t.listen();
    for (let i = 0; i < 3; i++) {
      const flow = t.flowTo();
      flow.send('SYN', { mss: 1000 });
      await flow.gets('SYN ACK', { ack: 1, mss: any });
      flow.send('RST', { seq: 1 });
    }
    await t.handshake();
    await t.alive(await t.accept(listener));
  },
);

for (const [what, option] of [
  ['MSS', { mss: 100 }],
  ['window scale', { wscale: 10 }],
] as const)
  script(
    `an option ${what} on a segment that is no SYN changes nothing`,
    { rfc: '9293 §3.1; 7323 §2.2' },
    async t => {
      const app = await t.accepted({ wscale: 0, win: 3000 });
      t.send('ACK', { len: 10, ...option });
      await t.acked(11);
      await app.writes(4000);
      for (const seq of [1, 1001, 2001]) await t.gets('ACK', { seq, len: 1000 });
      await t.silence(50);
    },
  );

script('SACK-permitted on a segment that is no SYN changes nothing', { rfc: '2018 §2' }, async t => {
  await t.accepted();
  t.send('ACK', { len: 10, sackOk: true });
  await t.acked(11);
  // The standing rule: no report without agreement.
  t.send('ACK', { seq: 111, len: 10 });
  await t.gets('ACK', { ack: 11 });
});

script('timestamps that were not agreed on are passed over', { rfc: '7323 §3.2' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 10, ts: [900, 0] });
  await t.acked(11);
  t.send('ACK', { len: 10, ts: [5, 0] });
  await t.acked(21);
  await app.reads(20);
});

script('data in flight both ways at a simultaneous close arrives', { rfc: '9293 §3.6 case 3' }, async t => {
  const app = await t.accepted();
  await app.writes(700);
  await t.gets('ACK', { seq: 1, len: 700 });
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 701 });
  t.send('FIN PSH ACK', { len: 300, ack: 1 });
  await t.acked(302);
  await app.stateIs('CLOSING');
  await app.reads(300);
  await app.readsEnd();
  t.send('ACK', { ack: 702 });
  await app.stateIs('TIME_WAIT');
});

script(
  'lost data in front of a FIN comes again before the FIN counts',
  { rfc: '9293 §3.8.1', seconds: 1.5 },
  async t => {
    const app = await t.accepted();
    await app.writes(700);
    await t.gets('ACK', { seq: 1, len: 700 });
    await app.shutdown();
    await t.gets('FIN ACK', { seq: 701 });
    const again = await t.gets('ACK or FIN ACK', { seq: 1, len: 700, after: [900, 1500] });
    if (again.flags === 'ACK') {
      t.send('ACK', { ack: 701 });
      await app.stateIs('FIN_WAIT_1');
      await t.gets('FIN ACK', { seq: 701 });
    }
    t.send('ACK', { ack: 702 });
    await app.stateIs('FIN_WAIT_2');
  },
);

script(
  'a FIN waits behind data that a closed window holds back',
  { rfc: '9293 §3.10.4, §3.8.6.1' },
  async t => {
    const app = await t.accepted();
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    t.send('ACK', { win: 0 });
    await app.writes(500);
    await app.shutdown();
    await t.silence(100);
    t.send('ACK', { win: 5000 });
    const data = await t.gets('ACK or FIN ACK', { seq: 101, len: 500 });
    if (data.flags === 'ACK') await t.gets('FIN ACK', { seq: 601 });
    t.send('ACK', { ack: 602 });
    await app.stateIs('FIN_WAIT_2');
  },
);
