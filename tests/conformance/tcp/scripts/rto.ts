/** The retransmission timer: RFC 6298, RFC 9293 §3.8.1 and §3.8.3. */
import { topic } from '../script.js';
import { any } from '../want.js';

const script = topic('retransmission timeout');

script(
  'data that nobody acknowledges is sent again after a second, then after two',
  { rfc: '6298 §2, §5.4, §5.5', seconds: 3.5 },
  async t => {
    const app = await t.accepted();
    await app.writes(500);
    await t.gets('ACK', { seq: 1, len: 500 });
    await t.gets('ACK', { seq: 1, len: 500, after: [950, 1500] });
    await t.gets('ACK', { seq: 1, len: 500, after: [1900, 2600] });
  },
);

script('the timeout doubles each time', { rfc: '6298 §5.5', rtoMinMs: 200, seconds: 3.5 }, async t => {
  const app = await t.accepted();
  await app.writes(500);
  await t.gets('ACK', { seq: 1, len: 500 });
  await t.gets('ACK', { seq: 1, len: 500, after: [190, 500] });
  await t.gets('ACK', { seq: 1, len: 500, after: [380, 800] });
  await t.gets('ACK', { seq: 1, len: 500, after: [760, 1400] });
  await t.gets('ACK', { seq: 1, len: 500, after: [1500, 2600] });
});

script('the timeout grows with the round trip', { rfc: '6298 §2.2', rtoMinMs: 200, seconds: 2 }, async t => {
  // RTO = SRTT + 4·RTTVAR = R + 4·R/2.
  const app = await t.accepted({ rttMs: 400 });
  await app.writes(500);
  await t.gets('ACK', { seq: 1, len: 500 });
  await t.gets('ACK', { seq: 1, len: 500, after: [1000, 1900] });
});

script(
  'a round trip that is known comes down again',
  { rfc: '6298 §2.3', rtoMinMs: 200, seconds: 4 },
  async t => {
    const app = await t.accepted({ rttMs: 300 });
    for (let i = 0; i < 25; i++) {
      await app.writes(100);
      await t.gets('ACK', { len: 100 });
      t.send('ACK');
    }
    await app.writes(100);
    await t.gets('ACK', { len: 100 });
    await t.gets('ACK', { seq: 2501, len: 100, after: [190, 700] });
  },
);

script(
  'no measurement is taken of what was sent twice',
  { rfc: '6298 §3 (Karn)', rtoMinMs: 200, seconds: 4 },
  async t => {
    const app = await t.accepted();
    await app.writes(500);
    await t.gets('ACK', { seq: 1, len: 500 });
    await t.gets('ACK', { seq: 1, len: 500, after: [190, 500] });
    await t.gets('ACK', { seq: 1, len: 500, after: [380, 1000] });
    // The ACK comes at once: of which of the three? The measured round trip stays as it was, a few ms.
    await t.sleep(250);
    t.send('ACK');
    await app.writes(500);
    await t.gets('ACK', { seq: 501, len: 500 });
    // As backed off as it was; a second measured from the first sending would make it three.
    await t.gets('ACK', { seq: 501, len: 500, after: [190, 2000] });
  },
);

script('an ACK of new data begins the timer anew', { rfc: '6298 §5.3', seconds: 2.5 }, async t => {
  const app = await t.accepted();
  await app.writes(2000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await t.sleep(600);
  t.send('ACK', { ack: 1001 });
  await t.gets('ACK', { seq: 1001, len: 1000, after: [900, 1500] });
});

script('when all is acknowledged the timer is off', { rfc: '6298 §5.2', seconds: 1.5 }, async t => {
  const app = await t.accepted();
  await app.writes(2000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  t.send('ACK', { ack: 2001 });
  await t.silence(1300);
});

script(
  'after a timeout only the first segment is sent again',
  { rfc: '5681 §3.1; 6298 §5.4', seconds: 1.5 },
  async t => {
    const app = await t.accepted();
    await app.writes(5000);
    for (let seq = 1; seq < 5001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
    await t.gets('ACK', { seq: 1, len: 1000, after: [950, 1500] });
    await t.silence(100);
  },
);

script('after a timeout sending begins with slow start', { rfc: '5681 §3.1', seconds: 1.5 }, async t => {
  const app = await t.accepted();
  await app.writes(8000);
  for (let seq = 1; seq < 8001; seq += 1000) await t.gets('ACK', { seq, len: 1000 });
  await t.gets('ACK', { seq: 1, len: 1000, after: [950, 1500] });
  // cwnd 1, then 2: the ACK lets two go.
  t.send('ACK', { ack: 1001 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await t.gets('ACK', { seq: 2001, len: 1000 });
  await t.silence(50);
  t.send('ACK', { ack: 3001 });
  // One more for the ACK, or for each segment that it covers (RFC 3465).
  for (const seq of [3001, 4001, 5001]) await t.gets('ACK', { seq, len: 1000 });
  await t.only('ACK', 50, { seq: 6001, len: 1000 });
});

script(
  'the connection ends after its last retransmission',
  { rfc: '9293 §3.8.3 (MUST-20)', rtoMinMs: 200, retries: 2, seconds: 5 },
  async t => {
    const app = await t.accepted();
    await app.writes(500);
    await t.gets('ACK', { seq: 1, len: 500 });
    const again = await t.only('ACK', 5000, { seq: 1, len: 500 });
    if (again.length < 2) t.fail('it gave up at once', [`${again.length} retransmissions`], undefined);
    await app.stateIs('CLOSED');
    await app.polls('err');
    await app.errorIs('ETIMEDOUT');
  },
);

script(
  'a retransmission acknowledges what has come meanwhile',
  { rfc: '9293 §3.8.1', seconds: 1.5 },
  async t => {
    const app = await t.accepted();
    await app.writes(500);
    await t.gets('ACK', { seq: 1, len: 500, ack: 1 });
    t.send('ACK', { len: 100, ack: 1 });
    await t.acked(101);
    await t.gets('ACK', { seq: 1, len: 500, ack: 101, limitMs: 1500 });
    await app.reads(100);
  },
);

script(
  'small segments that were lost may come again as one',
  { rfc: '9293 §3.8.1; 1122 §4.2.2.15', seconds: 1.5 },
  async t => {
    const app = await t.accepted({ set: [['nodelay', 1]] });
    await app.writes(100);
    await app.writes(100);
    await t.gets('ACK', { seq: 1, len: 100 });
    await t.gets('ACK', { seq: 101, len: 100 });
    const again = await t.gets('ACK', { seq: 1, len: any, after: [950, 1500] });
    t.send('ACK', { ack: 1 + again.len });
    if (again.len === 100) await t.gets('ACK', { seq: 101, len: 100 });
  },
);

script(
  'a segment that is smaller after a smaller MSS was learnt loses no byte',
  { rfc: '9293 §3.8.1', seconds: 1.5 },
  async t => {
    const app = await t.accepted();
    await app.writes(1000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    t.send('ACK', { ack: 301 });
    await t.gets('ACK', { seq: 301, len: 700, after: [900, 1600] });
    t.send('ACK', { ack: 1001 });
    await t.silence(50);
  },
);

script(
  'a user timeout ends the connection at its time',
  { rfc: '9293 §3.8.3; 5482 §3', rtoMinMs: 1000, seconds: 12 },
  async t => {
    const app = await t.accepted({ rttMs: 10, set: [['userTimeoutMs', 8000]] });
    await app.writes(100);
    await t.drain(7000);
    await app.stateIs('ESTABLISHED');
    await t.drain(3500);
    await app.stateIs('CLOSED');
  },
);

script('after a SYN that went twice the timeout begins at 3 s', { rfc: '6298 §5.7', seconds: 6 }, async t => {
  const app = await t.connect();
  await t.gets('SYN', { mss: any });
  await t.gets('SYN', { seq: 0, mss: any, limitMs: 5000 });
  t.send('SYN ACK', { mss: 1000 });
  await t.gets('ACK', { ack: 1 });
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  await t.gets('ACK', { seq: 1, len: 100, after: [2500, 3600] });
});
