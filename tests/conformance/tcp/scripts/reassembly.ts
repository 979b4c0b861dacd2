/** Segments out of order, doubled and overlapping: RFC 9293 §3.10.7.4 (seventh, segment text), RFC 5681 §4.2. */
import { topic } from '../script.js';

const script = topic('reassembly');
const rfc = '9293 §3.10.7.4 (segment text)';

script(
  'a segment behind a hole is answered at once and kept',
  { rfc: '5681 §4.2; 9293 §3.10.7.4' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { seq: 501, len: 500 });
    await t.gets('ACK', { ack: 1, after: [0, 30] });
    await app.readsNothing();
    t.send('ACK', { seq: 1, len: 500 });
    await t.gets('ACK', { ack: 1001, after: [0, 30] });
    await app.reads(1000);
  },
);

script('each segment behind a hole gets its own duplicate ACK', { rfc: '5681 §4.2' }, async t => {
  const app = await t.accepted();
  for (let i = 1; i <= 5; i++) {
    t.send('ACK', { seq: 1 + i * 100, len: 100 });
    await t.gets('ACK', { ack: 1, after: [0, 30] });
  }
  t.send('ACK', { seq: 1, len: 100 });
  await t.gets('ACK', { ack: 601, after: [0, 30] });
  await app.reads(600);
});

script('of two holes the first is acknowledged up to the second', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { ack: 1 });
  t.send('ACK', { seq: 301, len: 100 });
  await t.gets('ACK', { ack: 1 });
  t.send('ACK', { seq: 1, len: 100 });
  await t.gets('ACK', { ack: 201, after: [0, 30] });
  await app.reads(200);
  t.send('ACK', { seq: 201, len: 100 });
  await t.acked(401);
  await app.reads(200);
});

script('holes may be filled from behind', { rfc }, async t => {
  const app = await t.accepted();
  for (const seq of [401, 301, 201, 101]) {
    t.send('ACK', { seq, len: 100 });
    await t.gets('ACK', { ack: 1 });
  }
  t.send('ACK', { seq: 1, len: 100 });
  await t.acked(501);
  await app.reads(500);
});

script('a segment that comes twice behind a hole is delivered once', { rfc }, async t => {
  const app = await t.accepted();
  t.send('ACK', { seq: 101, len: 100 });
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { ack: 1 });
  await t.gets('ACK', { ack: 1 });
  t.send('ACK', { seq: 1, len: 100 });
  await t.acked(201);
  await app.reads(200);
  await app.readsNothing();
});

/** Kept first, then what comes, then what fills the rest; all of 1 … 600. */
const OVERLAPS: [what: string, segments: [from: number, to: number][]][] = [
  [
    'reaches into the left of what is kept',
    [
      [301, 501],
      [201, 401],
      [1, 301],
      [501, 601],
    ],
  ],
  [
    'reaches into the right of what is kept',
    [
      [201, 401],
      [301, 601],
      [1, 201],
    ],
  ],
  [
    'covers what is kept',
    [
      [301, 351],
      [201, 501],
      [1, 201],
      [501, 601],
    ],
  ],
  [
    'lies inside of what is kept',
    [
      [101, 601],
      [301, 401],
      [1, 101],
    ],
  ],
  [
    'joins two that are kept',
    [
      [201, 301],
      [401, 501],
      [251, 451],
      [1, 201],
      [501, 601],
    ],
  ],
  [
    'fills a hole and more on both sides',
    [
      [201, 301],
      [401, 601],
      [1, 501],
    ],
  ],
];
for (const [what, segments] of OVERLAPS)
  script(`a segment that ${what} loses and doubles nothing`, { rfc }, async t => {
    const app = await t.accepted();
    for (const [from, to] of segments) t.send('ACK', { seq: from, len: to - from });
    await t.acked(601);
    await app.reads(600);
    await app.readsNothing();
  });

script('forty segments of one byte from behind', { rfc }, async t => {
  const app = await t.accepted();
  for (let seq = 40; seq > 1; seq--) t.send('ACK', { seq, len: 1 });
  await t.only('ACK', 50, { ack: 1 });
  t.send('ACK', { seq: 1, len: 1 });
  await t.acked(41);
  await app.reads(40);
});

script('twenty holes are all kept', { rfc }, async t => {
  const app = await t.accepted();
  for (let i = 1; i <= 20; i++) t.send('ACK', { seq: 1 + i * 200, len: 100 });
  await t.only('ACK', 50, { ack: 1 });
  t.send('ACK', { seq: 1, len: 200 });
  for (let i = 1; i < 20; i++) t.send('ACK', { seq: 101 + i * 200, len: 100 });
  await t.acked(4101);
  await app.reads(4100);
});

script(
  'a retransmission that is longer than the original brings the new bytes',
  { rfc: '9293 §3.8.1' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 100 });
    await t.acked(101);
    t.send('ACK', { seq: 1, len: 250 });
    await t.acked(251);
    await app.reads(250);
  },
);

script('an ACK that fills a hole carries the window that remains', { rfc: '5681 §4.2' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 1 });
  const before = await t.acked(2);
  t.send('ACK', { seq: 1002, len: 1000 });
  await t.gets('ACK', { ack: 2 });
  t.send('ACK', { seq: 2, len: 1000 });
  const after = await t.gets('ACK', { ack: 2002 });
  if (after.ack! + after.window < before.ack! + before.window)
    t.fail(
      'the right edge moved back',
      [`${before.ack! + before.window} → ${after.ack! + after.window}`],
      undefined,
    );
  await app.reads(2001);
});

script('a pure ACK and a RST pass beside a hole', { rfc }, async t => {
  const app = await t.accepted();
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100 });
  t.send('ACK', { seq: 101, len: 100, ack: 1 });
  await t.gets('ACK', { ack: 1 });
  t.send('ACK', { seq: 201, ack: 101 });
  await t.silence(1300);
  t.send('RST', { seq: 1 });
  await app.stateIs('CLOSED');
});

script('a FIN alone behind a hole gets a duplicate ACK', { rfc: '5681 §4.2' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('FIN ACK', { seq: 1001 });
  await t.gets('ACK', { ack: 1, limitMs: 300 });
  t.flow.next = 1;
});
