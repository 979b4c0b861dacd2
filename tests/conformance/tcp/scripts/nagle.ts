/** When small segments go out and when ACKs do: RFC 9293 §3.7.4 (Nagle) and §3.8.6.3 (delayed ACKs), RFC 5681 §4.2. */
import { topic } from '../script.js';
import { oneOf } from '../want.js';

const script = topic('nagle and delayed ack');

script('the first small write goes out at once', { rfc: '9293 §3.7.4' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10, after: [0, 30] });
});

script(
  'small writes wait for the ACK of what is in flight, and go out as one',
  { rfc: '9293 §3.7.4' },
  async t => {
    const app = await t.accepted();
    await app.writes(10);
    await t.gets('ACK', { seq: 1, len: 10 });
    for (let i = 0; i < 5; i++) await app.writes(20);
    await t.silence(100);
    t.send('ACK', { ack: 11 });
    await t.gets('ACK', { seq: 11, len: 100, after: [0, 30] });
  },
);

script('a full segment does not wait', { rfc: '9293 §3.7.4' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  await app.writes(1000);
  await t.gets('ACK', { seq: 11, len: 1000, after: [0, 30] });
  await app.writes(1);
  await t.silence(50);
});

script('small writes that fill a segment go out as it is full', { rfc: '9293 §3.7.4' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  await app.writes(600);
  await app.writes(600);
  await t.gets('ACK', { seq: 11, len: 1000 });
  await t.silence(50);
  t.send('ACK', { ack: 1011 });
  await t.gets('ACK', { seq: 1011, len: 200 });
});

script('without delay each small write goes out at once', { rfc: '9293 §3.7.4 (MUST-17)' }, async t => {
  const app = await t.accepted({ set: [['nodelay', 1]] });
  for (let i = 0; i < 4; i++) {
    await app.writes(10);
    await t.gets('ACK', { seq: 1 + i * 10, len: 10, after: [0, 30] });
  }
});

script('turning delay off lets go of what waits', { rfc: '9293 §3.7.4 (MUST-17)' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  await app.writes(10);
  await t.silence(30);
  await app.set('nodelay', 1);
  await t.gets('ACK', { seq: 11, len: 10, after: [0, 30] });
});

script(
  'the last small piece of a large write goes out behind full segments',
  { rfc: '9293 §3.7.4' },
  async t => {
    const app = await t.accepted();
    await app.writes(2100);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    const [early] = await t.only('ACK', 50, { seq: 2001, len: 100 });
    if (!early) {
      t.send('ACK', { ack: 2001 });
      await t.gets('ACK', { seq: 2001, len: 100 });
    }
  },
);

script('a FIN lets small data go', { rfc: '9293 §3.7.4' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  await app.writes(10);
  await t.silence(30);
  await app.shutdown();
  const first = await t.gets('FIN ACK or ACK', { seq: 11, len: 10, after: [0, 50] });
  if (!first.flags.includes('FIN')) await t.gets('FIN ACK', { seq: 21 });
});

script('data is acknowledged within half a second', { rfc: '9293 §3.8.6.3 (MUST-40)' }, async t => {
  const app = await t.accepted();
  for (let i = 0; i < 20; i++) {
    t.send('PSH ACK', { len: 10 });
    await t.acked(undefined, { limitMs: 550 });
  }
  await app.reads(200);
});

script(
  'at least every second full segment is acknowledged',
  { rfc: '9293 §3.8.6.3 (SHLD-19); 5681 §4.2' },
  async t => {
    const app = await t.accepted({ mss: 1460 });
    let acknowledged = 1;
    for (let i = 0; i < 10; i++) {
      t.send('ACK', { len: 1460 });
      t.send('ACK', { len: 1460 });
      const got = await t.only('ACK', 25, { len: 0 });
      acknowledged = Math.max(acknowledged, ...got.map(s => s.ack!));
      if (t.flow.next - acknowledged > 1460)
        t.fail('two full segments wait for an ACK', [`${t.flow.next - acknowledged} bytes`], undefined);
    }
    await app.reads(29_200);
    await t.drain(100);
  },
);

script(
  'an ACK goes along with data that the application writes',
  { rfc: '9293 §3.8.6.3; 1122 §4.2.3.2' },
  async t => {
    const app = await t.accepted();
    for (let i = 0; i < 3; i++) {
      t.send('PSH ACK', { len: 10 });
      await app.reads(10);
      await app.writes(10);
      await t.drain(10);
      t.send('ACK');
    }
    t.send('PSH ACK', { len: 10 });
    await app.reads(10);
    await app.writes(10);
    // Delayed or not, the data carries it.
    const first = await t.gets('ACK', { ack: 41, len: oneOf(0, 10), seq: 31 });
    if (first.len === 0) await t.gets('ACK', { ack: 41, len: 10, seq: 31 });
    await t.silence(100);
  },
);

script('a delayed ACK comes without anything else happening', { rfc: '9293 §3.8.6.3' }, async t => {
  const app = await t.accepted();
  for (let i = 0; i < 3; i++) {
    t.send('PSH ACK', { len: 10 });
    await app.reads(10);
    await app.writes(10);
    await t.drain(10);
    t.send('ACK');
  }
  t.send('PSH ACK', { len: 10 });
  await t.gets('ACK', { ack: 41, after: [0, 500] });
  await t.silence(100);
});

script('PSH marks the end of what was written', { rfc: '9293 §3.9.1.2 (MUST-61)' }, async t => {
  const app = await t.accepted();
  await app.writes(2500);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  const last = await t.only('ACK', 30, { seq: 2001, len: 500, psh: true });
  if (last.length === 0) {
    t.send('ACK', { ack: 2001 });
    await t.gets('ACK', { seq: 2001, len: 500, psh: true });
  }
});

script(
  'a corked socket sends full segments, and what is left after 200 ms',
  { rfc: '9293 §3.7.4' },
  async t => {
    const app = await t.accepted({ set: [['cork', 1]] });
    await app.writes(1100);
    await t.gets('ACK', { seq: 1, len: 1000, after: [0, 50] });
    t.send('ACK', { ack: 1001 });
    await t.gets('ACK', { seq: 1001, len: 100, after: [120, 1300] });
  },
);

script('a corked socket sends what it has when the application closes', { rfc: '9293 §3.7.4' }, async t => {
  const app = await t.accepted({ set: [['cork', 1]] });
  await app.writes(100);
  await t.silence(100);
  await app.shutdown();
  await t.gets('FIN ACK', { seq: 1, len: 100 });
});
