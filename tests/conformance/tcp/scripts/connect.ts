/** Active opening, and both sides at once: RFC 9293 §3.5, §3.10.7.3. */
import { topic } from '../script.js';
import { any, atLeast, oneOf } from '../want.js';

const script = topic('connect');

script('connect sends a SYN, and the SYN-ACK is acknowledged at once', { rfc: '9293 §3.5' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any, win: atLeast(1) });
  await app.stateIs('SYN_SENT');
  await app.polls('', 'in err');
  t.send('SYN ACK', { mss: 1000 });
  await t.gets('ACK', { ack: 1, after: [0, 200] });
  await app.stateIs('ESTABLISHED');
  await app.polls('out', 'in err hup');
  await app.errorIs('none');
});

script('connect to a port where nobody listens is refused', { rfc: '9293 §3.10.7.3' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  t.send('RST ACK', { seq: 0, ack: 1, win: 0 });
  await app.stateIs('CLOSED');
  await app.polls('err hup');
  await app.errorIs('ECONNREFUSED');
});

script(
  'a RST in SYN_SENT that acknowledges something else is dropped',
  { rfc: '9293 §3.10.7.3' },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.send('RST ACK', { seq: 0, ack: 2 });
    t.send('RST ACK', { seq: 0, ack: 0 });
    t.send('RST', { seq: 0 });
    // A host may take them for a reason to send its SYN again soon.
    await t.only('SYN', 50);
    await app.stateIs('SYN_SENT');
    t.send('SYN ACK', { seq: 0, ack: 1, mss: 1000 });
    await t.gets('ACK', { seq: 1, ack: 1 });
  },
);

for (const [what, ack] of [
  ['nothing of it', 0],
  ['more than it', 2],
] as const)
  script(
    `a SYN-ACK that acknowledges ${what} is refused, and connect goes on`,
    { rfc: '9293 §3.10.7.3' },
    async t => {
      const app = await t.connect();
      await t.gets('SYN', { mss: any });
      t.send('SYN ACK', { seq: 0, ack, mss: 1000 });
      await t.gets('RST', { seq: ack });
      await t.only('SYN', 50);
      await app.stateIs('SYN_SENT');
      t.send('SYN ACK', { seq: 0, ack: 1, mss: 1000 });
      await t.gets('ACK', { ack: 1 });
      await app.stateIs('ESTABLISHED');
    },
  );

script('an ACK without SYN in SYN_SENT opens nothing', { rfc: '9293 §3.10.7.3' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  t.send('ACK', { seq: 5, ack: 1 });
  await t.silence(50);
  await app.stateIs('SYN_SENT');
  t.send('ACK', { seq: 5, ack: 900 });
  await t.gets('RST', { seq: 900 });
  await t.only('SYN', 30);
  await app.stateIs('SYN_SENT');
});

script(
  'data on a SYN-ACK is kept or asked for again, and delivered once',
  { rfc: '9293 §3.10.7.3' },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.send('SYN ACK', { seq: 0, ack: 1, len: 50, mss: 1000 });
    await t.gets('ACK', { ack: oneOf(1, 51) });
    t.send('ACK', { seq: 1, len: 50 });
    await t.acked(51);
    await app.reads(50);
    await app.readsNothing();
  },
);

script(
  'a SYN that nobody answers is sent again after 1, 2 and 4 seconds',
  { rfc: '9293 §3.8.1; 6298 §2.1, §5.5', seconds: 8 },
  async t => {
    await t.connect();
    await t.gets('SYN', { mss: any });
    await t.gets('SYN', { seq: 0, mss: any, after: [900, 1400] });
    await t.gets('SYN', { seq: 0, mss: any, after: [1800, 2500] });
    await t.gets('SYN', { seq: 0, mss: any, after: [3700, 4700] });
  },
);

script('connect gives up after the last SYN', { rfc: '9293 §3.8.3', synRetries: 1, seconds: 4 }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  await t.gets('SYN', { seq: 0, mss: any, after: [900, 1400] });
  await t.sleep(2600);
  await app.polls('err');
  await app.errorIs('ETIMEDOUT');
  await app.stateIs('CLOSED');
});

script(
  'a SYN-ACK after the second SYN opens as one after the first',
  { rfc: '9293 §3.5', seconds: 1.5 },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    await t.gets('SYN', { seq: 0, mss: any, after: [900, 1400] });
    t.send('SYN ACK', { mss: 1000 });
    await t.gets('ACK', { ack: 1 });
    await app.stateIs('ESTABLISHED');
  },
);

script('a SYN-ACK that comes again is acknowledged again', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.connected();
  t.send('SYN ACK', { seq: 0, ack: 1, mss: 1000 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  await app.stateIs('ESTABLISHED');
});

script(
  'closing while SYN_SENT ends silently, and a late SYN-ACK is refused',
  { rfc: '9293 §3.10.4' },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    await app.close();
    await app.stateIs('CLOSED');
    t.send('SYN ACK', { mss: 1000 });
    await t.gets('RST', { seq: 1 });
    await t.silence(1200);
  },
);

script('both sides may open at once', { rfc: '9293 §3.5 figure 7' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { seq: 0, ack: 1 });
  await app.stateIs('SYN_RECEIVED');
  t.send('SYN ACK', { seq: 0, ack: 1, mss: 1000 });
  await app.stateIs('ESTABLISHED');
  await t.drain(20);
  await app.writes(100);
  await t.gets('ACK', { seq: 1, ack: 1, len: 100 });
  t.send('ACK', { len: 20 });
  await t.acked(21);
  await app.reads(20);
});

script('opening at once, a bare ACK of the SYN establishes', { rfc: '9293 §3.5 figure 7' }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { seq: 0, ack: 1 });
  t.send('ACK', { seq: 1, ack: 1 });
  await app.stateIs('ESTABLISHED');
  await app.polls('out', 'err');
});

script(
  'opening at once, a RST is told as a refusal',
  {
    rfc: '9293 §3.10.7.4',
    linux: { differs: 'it says ECONNRESET, as for an established connection' },
  },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { seq: 0, ack: 1 });
    t.send('RST ACK', { seq: 1, ack: 1 });
    await app.stateIs('CLOSED');
    await app.errorIs('ECONNREFUSED');
  },
);

script(
  'when both open at once the window of the SYN-ACK is not scaled',
  { rfc: '7323 §2.2', linux: { differs: 'it shifts that window like any other' } },
  async t => {
    const app = await t.connect();
    await t.gets('SYN', { mss: any });
    t.flow.win = 2000;
    t.send('SYN', { mss: 1000, wscale: 7, win: 2000 });
    await t.gets('SYN ACK', { seq: 0, ack: 1 });
    t.send('SYN ACK', { seq: 0, ack: 1, mss: 1000, wscale: 7, win: 2000 });
    await app.stateIs('ESTABLISHED');
    await t.drain(20);
    await app.writes(8000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    await t.silence(50);
  },
);
