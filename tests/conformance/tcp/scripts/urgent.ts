/** Urgent data as RFC 6093 describes it and everybody does it: one byte beside the stream; RFC 9293 §3.8.5. */
import { topic } from '../script.js';

const script = topic('urgent');

script(
  'urgent data is told to the application and read beside the stream',
  { rfc: '9293 §3.8.5; 6093 §3.1' },
  async t => {
    const app = await t.accepted();
    // The pointer names the byte behind the urgent one.
    t.send('PSH ACK URG', { len: 1, urg: 1 });
    await t.acked(2);
    await app.polls('pri');
    await app.readsUrgent(0);
    await app.readsNothing();
  },
);

script(
  'the stream before urgent data is read first, what follows it after',
  { rfc: '9293 §3.8.5' },
  async t => {
    const app = await t.accepted();
    t.send('PSH ACK URG', { len: 10, urg: 5 });
    await t.acked(11);
    await app.reads(4);
    await app.readsUrgent(4);
    app.readBytes = 5;
    await app.reads(5);
  },
);

script('urgent data in line stays in the stream', { rfc: '6093 §3.1, §5' }, async t => {
  const app = await t.accepted({ set: [['oobInline', 1]] });
  t.send('PSH ACK URG', { len: 10, urg: 5 });
  await t.acked(11);
  await app.polls('in pri');
  await app.reads(4);
  await app.reads(6);
});

script('an urgent byte can be announced before it comes', { rfc: '9293 §3.8.5' }, async t => {
  const app = await t.accepted();
  t.send('ACK URG', { len: 10, urg: 15 });
  await t.acked(11);
  await app.readsUrgent('EAGAIN');
  t.send('ACK URG', { len: 10, urg: 5 });
  await t.acked(21);
  await app.readsUrgent(14);
  await app.reads(14);
});

script('there is no urgent byte without URG', { rfc: '9293 §3.1 (urgent pointer)' }, async t => {
  const app = await t.accepted();
  t.send('PSH ACK', { len: 10, urg: 5 });
  await t.acked(11);
  await app.polls('in', 'pri');
  await app.readsUrgent('EINVAL');
  await app.reads(10);
});

script(
  'an urgent write sends URG with a pointer behind the byte',
  { rfc: '9293 §3.8.5 (MUST-62); 6093 §4' },
  async t => {
    const app = await t.accepted();
    await app.writes(1, { urgent: true });
    await t.gets('ACK URG', { seq: 1, len: 1, urg: 1 });
  },
);

script('data before an urgent byte carries the pointer to it', { rfc: '9293 §3.8.5' }, async t => {
  const app = await t.accepted();
  await app.writes(10);
  await t.gets('ACK', { seq: 1, len: 10 });
  await app.writes(100);
  await app.writes(5, { urgent: true });
  t.send('ACK', { ack: 11 });
  // From its first byte the pointer reaches behind the last of 105.
  await t.gets('ACK URG', { seq: 11, len: 105, urg: 105 });
});

script('after the urgent byte the stream goes on without URG', { rfc: '9293 §3.8.5' }, async t => {
  const app = await t.accepted({ set: [['nodelay', 1]] });
  await app.writes(1, { urgent: true });
  await t.gets('ACK URG', { seq: 1, len: 1 });
  t.send('ACK', { ack: 2 });
  await app.writes(10);
  await t.gets('ACK', { seq: 2, len: 10 });
});
