/** Passive opening: RFC 9293 §3.5, and what a host says when there is nothing to open. */
import { topic } from '../script.js';
import { any, atLeast, between, not, oneOf } from '../want.js';

const script = topic('handshake');

script(
  'a SYN to a listener is answered by SYN-ACK, and the ACK establishes',
  { rfc: '9293 §3.5' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any, win: atLeast(1) });
    await t.stateIs('SYN_RECEIVED');
    await t.acceptsNothing(listener);
    t.send('ACK');
    await t.stateIs('ESTABLISHED');
    await t.accept(listener);
    await t.silence(50);
  },
);

script('a SYN to a port where nobody listens is refused by RST', { rfc: '9293 §3.10.7.1' }, async t => {
  t.flow = t.flowTo(7777);
  t.send('SYN', { mss: 1000 });
  await t.gets('RST ACK', { seq: 0, ack: 1 });
});

script('the RST to a SYN with data acknowledges the data, too', { rfc: '9293 §3.10.7.1' }, async t => {
  t.flow = t.flowTo(7777);
  t.send('SYN', { len: 10, mss: 1000 });
  await t.gets('RST ACK', { seq: 0, ack: 11 });
});

script(
  'an ACK to a port where nobody listens is refused at the number it acknowledges',
  { rfc: '9293 §3.10.7.1' },
  async t => {
    t.flow = t.flowTo(7777);
    t.send('ACK', { seq: 100, ack: 5000 });
    await t.gets('RST', { seq: 5000 });
  },
);

script(
  'a FIN without ACK to a port where nobody listens is refused with its end acknowledged',
  { rfc: '9293 §3.10.7.1' },
  async t => {
    t.flow = t.flowTo(7777);
    t.send('FIN', { seq: 0 });
    await t.gets('RST ACK', { seq: 0, ack: 1 });
  },
);

script('a RST to a port where nobody listens is dropped', { rfc: '9293 §3.10.7.1' }, async t => {
  t.flow = t.flowTo(7777);
  t.send('RST', { seq: 0 });
  t.send('RST ACK', { seq: 0, ack: 1 });
  await t.silence(100);
  t.send('SYN', { seq: 0, mss: 1000 });
  await t.gets('RST ACK', { seq: 0, ack: 1 });
});

script('an ACK to a listener is refused by RST', { rfc: '9293 §3.10.7.2' }, async t => {
  await t.listen();
  t.send('ACK', { seq: 100, ack: 5000 });
  await t.gets('RST', { seq: 5000 });
});

script('a SYN-ACK to a listener is refused by RST', { rfc: '9293 §3.10.7.2' }, async t => {
  await t.listen();
  t.send('SYN ACK', { ack: 5000 });
  await t.gets('RST', { seq: 5000 });
});

script('a RST to a listener is ignored', { rfc: '9293 §3.10.7.2' }, async t => {
  const listener = await t.listen();
  t.send('RST', { seq: 0 });
  t.send('RST ACK', { seq: 0, ack: 77 });
  await t.silence(50);
  await t.handshake();
  await t.accept(listener);
});

script('a segment without flags to a listener is dropped', { rfc: '9293 §3.10.7.2' }, async t => {
  await t.listen();
  t.send('', { seq: 0, len: 5 });
  await t.silence(50);
  await t.handshake({}, t.flowTo());
});

script('a FIN to a listener is dropped', { rfc: '9293 §3.10.7.2' }, async t => {
  await t.listen();
  t.send('FIN', { seq: 0 });
  await t.silence(50);
  await t.handshake({}, t.flowTo());
});

script(
  'a SYN-ACK that nobody answers is sent again after a second, then after two',
  { rfc: '9293 §3.8.1; 6298 §2.1, §5.5', seconds: 3.5 },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    await t.gets('SYN ACK', { seq: 0, ack: 1, mss: any, after: [900, 1400] });
    await t.gets('SYN ACK', { seq: 0, ack: 1, mss: any, after: [1800, 2500] });
  },
);

script(
  'a half-open connection is given up after the last SYN-ACK',
  { rfc: '9293 §3.8.3', synAckRetries: 1, seconds: 4 },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    await t.gets('SYN ACK', { seq: 0, ack: 1, mss: any, after: [900, 1400] });
    await t.sleep(2500);
    await t.stateIs('CLOSED');
  },
);

script('a SYN that comes again in SYN_RECEIVED is answered again', { rfc: '9293 §3.10.7.4' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('SYN', { seq: 0, mss: 1000 });
  await t.gets('SYN ACK or ACK', { seq: oneOf(0, 1), ack: 1, after: [0, 300] });
  t.send('ACK');
  await t.accept(listener);
});

script('a RST in SYN_RECEIVED takes the half-open connection away', { rfc: '9293 §3.10.7.4' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('RST', { seq: 1 });
  await t.stateIs('CLOSED');
  t.send('ACK', { seq: 1 });
  await t.gets('RST', { seq: 1 });
  await t.acceptsNothing(listener);
});

script('a RST outside of the window leaves SYN_RECEIVED as it is', { rfc: '5961 §3.2' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('RST', { seq: 0x100000 });
  await t.silence(20);
  t.send('ACK', { seq: 1 });
  await t.accept(listener);
});

for (const [what, ack] of [
  ['too low', 0],
  ['too high', 2],
] as const)
  script(
    `an ACK in SYN_RECEIVED whose number is ${what} is refused at that number`,
    { rfc: '9293 §3.10.7.4' },
    async t => {
      const listener = await t.listen();
      t.send('SYN', { mss: 1000 });
      await t.gets('SYN ACK', { ack: 1, mss: any });
      t.send('ACK', { ack });
      await t.gets('RST', { seq: ack });
      await t.acceptsNothing(listener);
      t.send('ACK', { ack: 1 });
      await t.accept(listener);
    },
  );

script('data on the last segment of the handshake is delivered', { rfc: '9293 §3.10.7.4' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('PSH ACK', { len: 300 });
  await t.acked(301);
  const app = await t.accept(listener);
  await app.reads(300);
  await app.readsNothing();
});

script(
  'data whose segment replaces a lost ACK of the handshake establishes',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    // The segment before it, and with it the pure ACK, is lost: out of order, yet its ACK counts.
    t.send('ACK', { seq: 501, len: 500 });
    await t.gets('ACK', { ack: 1 });
    const app = await t.accept(listener);
    t.send('ACK', { seq: 1, len: 500 });
    await t.acked(1001);
    await app.reads(1000);
  },
);

script('a FIN on the last segment of the handshake ends the stream', { rfc: '9293 §3.10.7.4' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('FIN ACK', { len: 7 });
  await t.acked(9);
  await t.stateIs('CLOSE_WAIT');
  const app = await t.accept(listener);
  await app.reads(7);
  await app.readsEnd();
});

script('data on a SYN is kept or asked for again, and delivered once', { rfc: '9293 §3.10.7.2' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { len: 100, mss: 1000 });
  const { ack } = await t.gets('SYN ACK', { ack: oneOf(1, 101), mss: any });
  t.send('ACK', { seq: 101 });
  if (ack === 1) await t.drain(10);
  t.send('ACK', { seq: 1, len: 100 });
  await t.acked(101);
  const app = await t.accept(listener);
  await app.reads(100);
  await app.readsNothing();
});

script(
  'initial sequence numbers of connections side by side lie apart',
  { rfc: '6528 §3; 9293 §3.4.1' },
  async t => {
    await t.listen();
    const numbers: number[] = [];
    for (let i = 0; i < 4; i++) {
      const flow = t.flowTo();
      flow.send('SYN', { mss: 1000 });
      await flow.gets('SYN ACK', { ack: 1, mss: any });
      numbers.push(flow.irs!);
      flow.send('RST', { seq: 1 });
    }
    const steps = numbers.slice(1).map((n, i) => Math.abs(n - numbers[i]));
    // A clock alone would have moved by less than 2^20 at 4 µs a tick within four seconds.
    if (steps.some(s => s < 1 << 12) || new Set(steps).size < steps.length)
      t.fail('initial sequence numbers can be guessed', [numbers.join(' ')], undefined);
  },
);

script(
  'the initial sequence number of a connection is another when it is opened again',
  { rfc: '9293 §3.4.1' },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    const first = t.flow.irs!;
    t.send('RST', { seq: 1 });
    t.flow = t.flowTo(7000, { peerPort: t.flow.peerPort });
    await t.sleep(30);
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    const moved = (t.flow.irs! - first) >>> 0;
    if (!between(1000, 0x10000000).test(moved) || !not(0).test(moved))
      t.fail('the clock of the numbers does not run', [`moved by ${moved}`], undefined);
  },
);

script(
  'in SYN_RECEIVED a SYN with another number is answered by an ACK',
  { rfc: '9293 §3.10.7.4 (first check)' },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('SYN', { seq: 500_000, mss: 1000 });
    await t.gets('ACK', { seq: 1, ack: 1, limitMs: 300 });
  },
);
