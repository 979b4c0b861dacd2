/** Loss recovery with SACK: RFC 6675, RFC 8985 (RACK-TLP), RFC 6937 (PRR), RFC 5682 (F-RTO), RFC 2883. */
import { topic } from '../script.js';
import { any, between } from '../want.js';
import { flight } from './recovery.js';

const script = topic('sack, sending');

script(
  'three segments reported behind a hole send it again at once',
  { rfc: '6675 §5; 8985 §6.2' },
  async t => {
    const app = await t.accepted({ sackOk: true });
    await flight(t, app, 6);
    t.send('ACK', { ack: 1, sack: [[1001, 4001]] });
    await t.gets('ACK', { seq: 1, len: 1000, after: [0, 50] });
    await t.only('ACK', 50, { seq: between(4001, 5001), len: 1000 });
  },
);

script('what was reported is not sent again', { rfc: '6675 §4 (NextSeg)' }, async t => {
  const app = await t.accepted({ sackOk: true, rttMs: 100 });
  await flight(t, app, 10);
  await t.sleep(100);
  // Segments 1, 4 and 7 are lost.
  t.send('ACK', {
    ack: 1,
    sack: [
      [7001, 10_001],
      [4001, 6001],
      [1001, 3001],
    ],
  });
  const got = await t.only('ACK', 30, { seq: any, len: any });
  const begins = got.flatMap(s => Array.from({ length: s.len / 1000 }, (_, i) => s.seq + i * 1000));
  if (begins.some(b => ![1, 3001, 6001].includes(b)) || !begins.includes(1))
    t.fail('another segment than the lost ones was sent', [begins.join(' ')], undefined);
  t.send('ACK', { ack: 10_001 });
  await t.only('ACK', 50, { seq: between(1, 6001), len: any });
});

script('all holes are filled, each once', { rfc: '6675 §5' }, async t => {
  const app = await t.accepted({ sackOk: true, rttMs: 100 });
  await flight(t, app, 10);
  await t.sleep(100);
  t.send('ACK', {
    ack: 1,
    sack: [
      [5001, 10_001],
      [2001, 4001],
    ],
  });
  await t.gets('ACK', { seq: 1, len: between(1000, 2000) });
  const rest = await t.only('ACK', 30, { seq: any, len: any });
  t.send('ACK', { ack: 4001, sack: [[5001, 10_001]] });
  const more = await t.only('ACK', 30, { seq: any, len: any });
  const again = [...rest, ...more].filter(s => s.seq === 4001).length;
  if (again !== 1) t.fail('the second hole must be filled once', [`filled ${again} times`], undefined);
  t.send('ACK', { ack: 10_001 });
  await t.silence(50);
});

script('reports of what was never sent are ignored', { rfc: '2018 §4; 6675 §3' }, async t => {
  const app = await t.accepted({ sackOk: true });
  await flight(t, app, 4);
  t.send('ACK', { ack: 1, sack: [[50_001, 53_001]] });
  t.send('ACK', { ack: 1, sack: [[54_001, 57_001]] });
  await t.silence(100);
  t.send('ACK', { ack: 4001 });
  await flight(t, app, 1, 4001);
});

script('reports whose edges are exchanged are ignored', { rfc: '2018 §3' }, async t => {
  const app = await t.accepted({ sackOk: true });
  await flight(t, app, 5);
  t.send('ACK', { ack: 1, sack: [[4001, 1001]] });
  await t.silence(100);
});

script('reports below what is acknowledged do not count as loss', { rfc: '2883 §4' }, async t => {
  const app = await t.accepted({ sackOk: true });
  await flight(t, app, 6);
  t.send('ACK', { ack: 4001 });
  t.send('ACK', { ack: 4001, sack: [[1, 1001]] });
  t.send('ACK', { ack: 4001, sack: [[1001, 2001]] });
  await t.silence(100);
});

script('without agreement reports are ignored', { rfc: '2018 §2' }, async t => {
  const app = await t.accepted();
  await flight(t, app, 6);
  t.send('ACK', { ack: 1, sack: [[1001, 4001]] });
  await t.silence(150);
});

script('reports on segments with data count, too', { rfc: '6675 §5' }, async t => {
  const app = await t.accepted({ sackOk: true });
  await flight(t, app, 6);
  t.send('ACK', { ack: 1, len: 10, sack: [[1001, 5001]] });
  const got = await t.drain(60);
  if (!got.some(s => s.seq === 1 && s.len === 1000)) t.fail('the hole was not filled', [], undefined);
  await app.reads(10);
});

script(
  'a timeout sends the first hole again, not what was reported',
  { rfc: '2018 §8; 6675 §5.1', seconds: 2.5 },
  async t => {
    const app = await t.accepted({ sackOk: true });
    await flight(t, app, 4);
    t.send('ACK', { ack: 1, sack: [[3001, 4001]] });
    const early = await t.drain(300);
    // Whether time has already told the loss, or the timer does now.
    const first = early[0] ?? (await t.gets('ACK', { seq: 1, len: any, limitMs: 2000 }));
    if (first.seq !== 1) t.fail('the first hole comes first', [`${first.seq}`], undefined);
    t.send('ACK', { ack: 1001, sack: [[3001, 4001]] });
    const rest = await t.drain(1500);
    if ([...early, ...rest].some(s => s.len > 0 && s.seq + s.len > 3001 && s.seq < 4001))
      t.fail('what was reported was sent again', [], undefined);
    if (![...early, ...rest].some(s => s.seq === 1001 || (s.seq === 1 && s.len > 1000)))
      t.fail('the second hole was not filled', [], undefined);
  },
);

script('during recovery no more is sent than arrives', { rfc: '6937 §3' }, async t => {
  const app = await t.accepted({ sackOk: true, rttMs: 100 });
  await app.writes(40_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  await t.sleep(100);
  let sent = 0;
  for (let i = 1; i < 10; i++) {
    t.send('ACK', { ack: 1, sack: [[1001, 1001 + i * 1000]] });
    sent += (await t.only('ACK', 10, { seq: any, len: any })).reduce((n, s) => n + s.len / 1000, 0);
  }
  // Nine segments arrived. PRR sends about half of that (ssthresh/RecoverFS), the hole included; never more than came.
  if (sent < 3 || sent > 9)
    t.fail('recovery does not keep to what arrives', [`9 arrived, ${sent} were sent`], undefined);
});

script(
  'after recovery with SACK the window is half of what it was',
  { rfc: '6675 §5; 6937 §3', congestion: 'reno' },
  async t => {
    const app = await t.accepted({ sackOk: true });
    await flight(t, app, 10);
    t.send('ACK', { ack: 1, sack: [[1001, 10_001]] });
    await t.gets('ACK', { seq: 1, len: 1000 });
    t.send('ACK', { ack: 10_001 });
    await t.silence(30);
    await app.writes(20_000);
    const burst = await t.only('ACK', 100, { len: 1000, seq: any });
    if (burst.length < 4 || burst.length > 6)
      t.fail(
        'the window after recovery is not half of the flight',
        [`${burst.length} segments of 10`],
        undefined,
      );
  },
);

script(
  'a tail that nobody acknowledges is probed after two round trips',
  { rfc: '8985 §7.2', tlp: true, seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await flight(t, app, 3);
    // PTO = 2·SRTT, well before the timeout of a second; the last segment is what is sent.
    await t.gets('ACK', { seq: 2001, len: 1000, after: [150, 700] });
  },
);

script(
  'a probe of the tail sends new data when there is some',
  { rfc: '8985 §7.3', tlp: true, seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100, win: 4000 });
    await app.writes(2000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    await app.writes(200);
    const small = await t.only('ACK', 30, { seq: 2001, len: 200 });
    if (small.length === 0) await t.gets('ACK', { seq: 2001, len: 200, after: [100, 700] });
  },
);

script(
  'what a tail probe shows to be lost is sent again without a timeout',
  { rfc: '8985 §7.4, §6', tlp: true, seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await flight(t, app, 4);
    await t.gets('ACK', { seq: 3001, len: 1000, after: [150, 700] });
    // Later than any round trip so far, so that it cannot be the original's.
    await t.sleep(200);
    t.send('ACK', { ack: 1, sack: [[3001, 4001]] });
    const got = await t.drain(200);
    for (const seq of [1, 1001, 2001]) {
      if (!got.some(s => s.seq <= seq && s.seq + s.len > seq))
        t.fail(`segment ${seq} was not sent again`, [], undefined);
      t.send('ACK', { ack: seq + 1000, sack: [[3001, 4001]] });
      got.push(...(await t.drain(100)));
    }
  },
);

script(
  'a tail probe that was needless does not slow the sender down',
  { rfc: '8985 §7.4', tlp: true, seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await flight(t, app, 10);
    await t.gets('ACK', { seq: 9001, len: 1000, after: [150, 700] });
    // The original arrived, the probe was a duplicate.
    t.send('ACK', { ack: 10_001 });
    t.send('ACK', { ack: 10_001, sack: [[9001, 10_001]] });
    await app.writes(15_000);
    const burst = await t.only('ACK', 60, { len: 1000, seq: any });
    if (burst.length < 10) t.fail('the window became smaller', [`${burst.length} segments`], undefined);
  },
);

script(
  'segments that merely change places are not sent again',
  { rfc: '8985 §6.2 (reordering window)' },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 200 });
    await flight(t, app, 4);
    await t.sleep(200);
    // The second overtook the first by far less than a quarter of the round trip.
    t.send('ACK', { ack: 1, sack: [[1001, 2001]] });
    t.send('ACK', { ack: 2001 });
    t.send('ACK', { ack: 2001, sack: [[3001, 4001]] });
    t.send('ACK', { ack: 4001 });
    await t.silence(150);
  },
);

script(
  'one report behind a hole sends it again after the reordering window, without a timeout',
  { rfc: '8985 §6.2', seconds: 1 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 200, ts: true });
    await app.writes(3 * 988);
    for (let i = 0; i < 3; i++) await t.gets('ACK', { seq: 1 + i * 988, len: 988 });
    await t.sleep(200);
    t.send('ACK', { ack: 1, sack: [[1977, 2965]] });
    // A quarter of the least round trip, 50 ms; the timeout would be a second.
    await t.gets('ACK', { seq: 1, len: any, after: [0, 400] });
    await t.only('ACK', 30, { seq: any, len: any });
  },
);

script(
  'a timeout that was spurious is seen by the next two ACKs',
  { rfc: '5682 §3.1', frto: true, seconds: 2 },
  async t => {
    // A long way, so that an ACK soon after the retransmission cannot be its answer.
    const app = await t.accepted({ sackOk: true, rttMs: 300 });
    await app.writes(20_000);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    await t.gets('ACK', { seq: 1, len: 1000, after: [950, 1900] });
    // The ACKs of the originals were only late: the first lets new data go instead of the second segment.
    t.send('ACK', { ack: 1001 });
    const got = await t.only('ACK', 30, { seq: any, len: 1000 });
    if (got.length === 0 || got.some(s => s.seq < 10_001))
      t.fail(
        'data was sent again though the timeout was spurious',
        [got.map(s => s.seq).join(' ')],
        undefined,
      );
    t.send('ACK', { ack: 5001 });
    await t.only('ACK', 30, { seq: between(10_001, 20_001), len: 1000 });
  },
);

script(
  'an ACK that shows a timeout to be spurious by its timestamp stops going back',
  { rfc: '3522 §3.2; 4015', seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, ts: true });
    await app.writes(10 * 988);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 988, len: 988 });
    const original = t.flow.tsRecent;
    await t.gets('ACK', { seq: 1, len: 988, after: [950, 1500] });
    t.send('ACK', { ack: 1 + 5 * 988, ts: [2000, original] });
    const got = await t.only('ACK', 60, { seq: any, len: any });
    if (got.some(s => s.seq < 1 + 5 * 988)) t.fail('acknowledged data was sent again', [], undefined);
  },
);

script(
  'duplicate ACKs that report nothing do not count once SACK is agreed on',
  { rfc: '6675 §2 (duplicate acknowledgment)' },
  async t => {
    const app = await t.accepted({ sackOk: true });
    await flight(t, app, 6);
    for (let i = 0; i < 5; i++) t.send('ACK', { ack: 1 });
    await t.silence(150);
  },
);

script('the first two reports let a new segment go each', { rfc: '3042 §2; 6675 §5' }, async t => {
  const app = await t.accepted({ sackOk: true, rttMs: 200 });
  await app.writes(15_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  t.send('ACK', { ack: 1, sack: [[1001, 2001]] });
  await t.gets('ACK', { seq: 10_001, len: 1000 });
  t.send('ACK', { ack: 1, sack: [[1001, 3001]] });
  await t.gets('ACK', { seq: 11_001, len: 1000 });
});

script(
  'a retransmission that is lost, too, is seen by what was sent after it',
  { rfc: '8985 §6.2 (retransmissions)', seconds: 1 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await app.writes(20_000);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    await t.sleep(100);
    for (let i = 1; i < 10; i++) t.send('ACK', { ack: 1, sack: [[1001, 1001 + i * 1000]] });
    const first = await t.only('ACK', 30, { seq: any, len: 1000 });
    const behind = Math.max(...first.map(s => s.seq));
    if (!first.some(s => s.seq === 1) || behind < 10_001)
      t.fail('no retransmission with new data after it', [], undefined);
    await t.sleep(120);
    // New data arrived, what was sent again before it did not.
    t.send('ACK', { ack: 1, sack: [[1001, behind + 1000]] });
    const second = await t.drain(400);
    if (!second.some(s => s.seq === 1)) t.fail('the loss was left to the timer', [], undefined);
  },
);

script(
  'a retransmission that was needless, as a duplicate tells, does not slow the sender down',
  { rfc: '2883 §5; 3708 §2' },
  async t => {
    const app = await t.accepted({ sackOk: true });
    await flight(t, app, 10);
    t.send('ACK', { ack: 1, sack: [[1001, 5001]] });
    await t.gets('ACK', { seq: 1, len: 1000 });
    // The first had only been overtaken; then the second copy of it arrives.
    t.send('ACK', { ack: 10_001, sack: [[1, 1001]] });
    await t.silence(30);
    await app.writes(20_000);
    const burst = await t.only('ACK', 60, { seq: any, len: 1000 });
    if (burst.length < 9) t.fail('the window stayed small', [`${burst.length} segments`], undefined);
  },
);

script(
  'a window full of holes is repaired, however many there are',
  { rfc: '6675 §5; 2018 §8', initialCwnd: 240, seconds: 6 },
  async t => {
    const app = await t.accepted({ sackOk: true, mss: 100 });
    await app.writes(24_000);
    const arrived = new Set<number>();
    const sent = await t.only('ACK', 50, { seq: any, len: 100 });
    if (sent.length < 200) t.fail('the window is not sent at once', [`${sent.length} segments`], undefined);
    // Of three segments the last arrives, and is reported: 80 holes of two segments each.
    for (const [i, { seq }] of sent.entries()) {
      if (i % 3 !== 2) continue;
      arrived.add(seq);
      const newest = [seq, seq - 300, seq - 600, seq - 900].filter(s => arrived.has(s));
      t.send('ACK', { ack: 1, sack: newest.map(s => [s, s + 100]) });
    }
    let ack = 1;
    for (let round = 0; round < 400 && ack < 24_001; round++) {
      const got = await t.drain(round % 4 === 3 ? 300 : 10);
      for (const { seq, len } of got) for (let s = seq; s < seq + len; s += 100) arrived.add(s);
      if (!got.length) continue;
      while (arrived.has(ack)) ack += 100;
      const [first] = [...arrived].filter(s => s > ack).sort((a, b) => a - b);
      t.send('ACK', { ack, ...(first ? { sack: [[first, first + 100]] as [number, number][] } : {}) });
    }
    if (ack < 24_001)
      t.fail('not all holes were filled', [`${ack - 1} of 24000 bytes arrived in order`], undefined);
  },
);

script(
  'a hole in a burst whose first part was acknowledged is filled at once: that was no reordering',
  { rfc: '6675 §5; 8985 §6.2' },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 200 });
    await flight(t, app, 10);
    await t.sleep(200);
    t.send('ACK', { ack: 1001 });
    t.send('ACK', { ack: 1001, sack: [[2001, 6001]] });
    await t.gets('ACK', { seq: 1001, len: 1000, after: [0, 25] });
    await t.drain(100);
  },
);

script(
  'what RACK’s timer finds lost does not all go at once',
  { rfc: '6937 §3; 8985 §6.2', initialCwnd: 50, seconds: 1 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 200 });
    await flight(t, app, 50);
    await t.sleep(200);
    t.send('ACK', { ack: 1, sack: [[48_001, 50_001]] });
    const sent = (await t.drain(120)).map(s => s.seq);
    if (!sent.includes(1) || sent.length > 10)
      t.fail('a window of lost segments went at once, or none', [sent.join(' ')], undefined);
  },
);

script(
  'a timeout is no spurious one because data was reported that was sent after it',
  { rfc: '5682 §3.1', frto: true, seconds: 2 },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await app.writes(30_000);
    for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
    await t.gets('ACK', { seq: 1, len: 1000, after: [900, 1900] });
    await t.sleep(100);
    t.send('ACK', { ack: 1001 });
    await t.drain(100);
    t.send('ACK', { ack: 1001, sack: [[10_001, 11_001]] });
    const sent = (await t.drain(60)).map(s => s.seq);
    if (!sent.includes(1001))
      t.fail('the second lost segment was not sent again', [sent.join(' ')], undefined);
  },
);

script(
  'a duplicate of what was sent before the loss does not bring the window back',
  { rfc: '3708 §2; 2883 §5' },
  async t => {
    const app = await t.accepted({ sackOk: true, rttMs: 100 });
    await flight(t, app, 4);
    t.send('ACK', { ack: 4001 });
    await app.writes(60_000);
    const before = (await t.only('ACK', 30, { seq: any, len: 1000 })).length;
    const end = 4001 + before * 1000;
    await t.sleep(70);
    t.send('ACK', { ack: 4001, sack: [[5001, end]] });
    await t.drain(20);
    t.send('ACK', {
      ack: 4001,
      sack: [
        [1, 1001],
        [5001, end],
      ],
    });
    await t.drain(20);
    t.send('ACK', { ack: t.flow.theirs });
    const after = (await t.drain(40)).length;
    if (after > before * 0.75)
      t.fail(
        'the window is what it was',
        [`${before} segments before the loss, ${after} after it`],
        undefined,
      );
  },
);
