/** What the host reports of segments behind a hole: RFC 2018 §4, and of doubled ones: RFC 2883. */
import { topic } from '../script.js';
import { none } from '../want.js';

const script = topic('sack, receiving');

script('a segment behind a hole is reported', { rfc: '2018 §4' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { ack: 1, sack: [[101, 201]] });
});

script('without agreement nothing is reported', { rfc: '2018 §2' }, async t => {
  await t.accepted();
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { ack: 1, sack: none });
});

script('neighbours are reported as one block', { rfc: '2018 §3' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { sack: [[101, 201]] });
  t.send('ACK', { seq: 201, len: 100 });
  await t.gets('ACK', { sack: [[101, 301]] });
  t.send('ACK', { seq: 51, len: 50 });
  await t.gets('ACK', { sack: [[51, 301]] });
});

script('the block of the segment that came last stands first', { rfc: '2018 §4' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { sack: [[101, 201]] });
  t.send('ACK', { seq: 501, len: 100 });
  await t.gets('ACK', {
    sack: [
      [501, 601],
      [101, 201],
    ],
  });
  t.send('ACK', { seq: 301, len: 100 });
  await t.gets('ACK', {
    sack: [
      [301, 401],
      [501, 601],
      [101, 201],
    ],
  });
  t.send('ACK', { seq: 201, len: 50 });
  await t.gets('ACK', {
    sack: [
      [101, 251],
      [301, 401],
      [501, 601],
    ],
  });
});

script(
  'a segment that joins two blocks makes one of them, and it stands first',
  { rfc: '2018 §4' },
  async t => {
    await t.accepted({ sackOk: true });
    t.send('ACK', { seq: 101, len: 100 });
    t.send('ACK', { seq: 301, len: 100 });
    t.send('ACK', { seq: 501, len: 100 });
    await t.drain(50);
    t.send('ACK', { seq: 201, len: 100 });
    await t.gets('ACK', {
      sack: [
        [101, 401],
        [501, 601],
      ],
    });
  },
);

script(
  'four blocks fit without timestamps: the four that were reported last',
  { rfc: '2018 §3' },
  async t => {
    await t.accepted({ sackOk: true });
    for (const seq of [101, 301, 501, 701]) t.send('ACK', { seq, len: 100 });
    await t.drain(50);
    t.send('ACK', { seq: 901, len: 100 });
    await t.gets('ACK', {
      ack: 1,
      sack: [
        [901, 1001],
        [701, 801],
        [501, 601],
        [301, 401],
      ],
    });
  },
);

script('three blocks fit beside timestamps', { rfc: '2018 §3; 7323 §3.2' }, async t => {
  await t.accepted({ sackOk: true, ts: true });
  for (const seq of [101, 301, 501]) t.send('ACK', { seq, len: 100 });
  await t.drain(50);
  t.send('ACK', { seq: 701, len: 100 });
  await t.gets('ACK', {
    ack: 1,
    sack: [
      [701, 801],
      [501, 601],
      [301, 401],
    ],
  });
});

script('a filled hole takes its block away, others stay', { rfc: '2018 §4' }, async t => {
  const app = await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 101, len: 100 });
  t.send('ACK', { seq: 301, len: 100 });
  await t.drain(50);
  t.send('ACK', { seq: 1, len: 100 });
  await t.gets('ACK', { ack: 201, sack: [[301, 401]] });
  t.send('ACK', { seq: 201, len: 100 });
  await t.acked(401, { sack: none });
  await app.reads(400);
});

script('the report is repeated on data that the host sends', { rfc: '2018 §4' }, async t => {
  const app = await t.accepted({ sackOk: true });
  t.send('ACK', { seq: 101, len: 100 });
  await t.gets('ACK', { sack: [[101, 201]] });
  await app.writes(100);
  await t.gets('ACK', { seq: 1, len: 100, ack: 1, sack: [[101, 201]] });
});

script('a segment that was acknowledged before is reported as a duplicate', { rfc: '2883 §4.1' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { len: 200 });
  await t.acked(201);
  t.send('ACK', { seq: 1, len: 200 });
  await t.gets('ACK', { ack: 201, sack: [[1, 201]] });
  // Once only.
  t.send('ACK', { seq: 201, len: 10 });
  await t.acked(211, { sack: none });
});

script('the part that was acknowledged before is reported as a duplicate', { rfc: '2883 §4.1' }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { len: 200 });
  await t.acked(201);
  t.send('ACK', { seq: 101, len: 200 });
  await t.acked(301, { sack: [[101, 201]] });
});

script(
  'a duplicate behind a hole is reported before the block that holds it',
  { rfc: '2883 §4.2' },
  async t => {
    await t.accepted({ sackOk: true });
    t.send('ACK', { seq: 101, len: 300 });
    await t.gets('ACK', { sack: [[101, 401]] });
    t.send('ACK', { seq: 201, len: 100 });
    await t.gets('ACK', {
      ack: 1,
      sack: [
        [201, 301],
        [101, 401],
      ],
    });
  },
);

script(
  'a duplicate below is reported before the block behind a hole',
  { rfc: '2883 §4.1 example 2' },
  async t => {
    await t.accepted({ sackOk: true });
    t.send('ACK', { len: 200 });
    await t.acked(201);
    t.send('ACK', { seq: 301, len: 100 });
    await t.gets('ACK', { ack: 201, sack: [[301, 401]] });
    t.send('ACK', { seq: 1, len: 100 });
    await t.gets('ACK', {
      ack: 201,
      sack: [
        [1, 101],
        [301, 401],
      ],
    });
  },
);

script('without DSACK a duplicate is only acknowledged', { rfc: '2018 §4', dsack: false }, async t => {
  await t.accepted({ sackOk: true });
  t.send('ACK', { len: 200 });
  await t.acked(201);
  t.send('ACK', { seq: 1, len: 200 });
  await t.gets('ACK', { ack: 201, sack: none });
});
