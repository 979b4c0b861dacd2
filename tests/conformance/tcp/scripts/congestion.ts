/** Congestion control: RFC 5681, RFC 6928, RFC 9438, RFC 2861. */
import { topic } from '../script.js';
import { any } from '../want.js';
import { flight } from './recovery.js';

const script = topic('congestion');

script('the first flight is ten segments', { rfc: '6928 §2' }, async t => {
  const app = await t.accepted();
  await app.writes(30_000);
  for (let i = 0; i < 10; i++) await t.gets('ACK', { seq: 1 + i * 1000, len: 1000 });
  await t.silence(100);
});

script('the first flight is as small as it is set', { rfc: '5681 §3.1', initialCwnd: 2 }, async t => {
  const app = await t.accepted();
  await app.writes(30_000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  await t.silence(100);
});

script('in slow start each ACK of a segment lets two go', { rfc: '5681 §3.1', initialCwnd: 2 }, async t => {
  const app = await t.accepted();
  await app.writes(30_000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  await t.gets('ACK', { seq: 1001, len: 1000 });
  let next = 2001;
  for (let ack = 1001; ack <= 6001; ack += 1000) {
    t.send('ACK', { ack });
    for (let i = 0; i < 2; i++, next += 1000) await t.gets('ACK', { seq: next, len: 1000 });
  }
  await t.silence(50);
});

script(
  'in slow start the window grows by no more than is acknowledged',
  { rfc: '5681 §3.1; 3465 §2', initialCwnd: 2 },
  async t => {
    const app = await t.accepted();
    await app.writes(20_000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    // One segment in ten pieces: ten ACKs must not count for ten segments.
    for (let ack = 101; ack <= 1001; ack += 100) t.send('ACK', { ack });
    const got = await t.only('ACK', 60, { seq: any, len: any });
    if (got.length > 4) t.fail('splitting ACKs makes the window grow', [`${got.length} segments`], undefined);
  },
);

for (const congestion of ['reno', 'cubic'] as const) {
  script(
    `above ssthresh a flight of ACKs adds one segment at most two (${congestion})`,
    { rfc: congestion === 'reno' ? '5681 §3.1' : '9438 §4.3', congestion },
    async t => {
      const app = await t.accepted();
      await flight(t, app, 10);
      for (let i = 0; i < 9; i++) t.send('ACK', { ack: 1 });
      await t.gets('ACK', { seq: 1, len: 1000 });
      t.send('ACK', { ack: 10_001 });
      await t.silence(30);
      await app.writes(40_000);
      const first = await t.only('ACK', 60, { len: 1000, seq: any });
      let una = 10_001;
      for (const _ of first) t.send('ACK', { ack: (una += 1000) });
      const second = await t.only('ACK', 60, { len: 1000, seq: any });
      const grown = second.length - first.length;
      if (grown < 0 || grown > 2)
        t.fail(
          'the window does not grow by about one segment',
          [`${first.length} → ${second.length}`],
          undefined,
        );
    },
  );
}

script('CUBIC reduces its window to seven tenths', { rfc: '9438 §4.6', congestion: 'cubic' }, async t => {
  const app = await t.accepted();
  await flight(t, app, 10);
  for (let i = 0; i < 9; i++) t.send('ACK', { ack: 1 });
  await t.gets('ACK', { seq: 1, len: 1000 });
  t.send('ACK', { ack: 10_001 });
  await t.silence(30);
  await app.writes(20_000);
  const burst = await t.only('ACK', 100, { len: 1000, seq: any });
  if (burst.length < 6 || burst.length > 8)
    t.fail('the window after a loss is not 0.7 of the flight', [`${burst.length} segments of 10`], undefined);
});

script(
  'an ACK of what was never sent does not make the window grow',
  { rfc: '9293 §3.10.7.4; 5681 §3.1', initialCwnd: 2 },
  async t => {
    const app = await t.accepted();
    await app.writes(30_000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    await t.gets('ACK', { seq: 1001, len: 1000 });
    for (let i = 1; i <= 5; i++) t.send('ACK', { ack: 5001 + i * 1000 });
    for (const s of await t.only('ACK', 60, { len: any, seq: any }))
      if (s.len > 0) t.fail('an optimistic ACK lets data go', [`${s.seq}`], undefined);
  },
);

script(
  'after a long pause the window begins small again',
  { rfc: '5681 §4.1', rtoMinMs: 200, seconds: 3 },
  async t => {
    const app = await t.accepted({ win: 65535 });
    let seq = 1;
    for (let round = 0; round < 2; round++) {
      await app.writes(round ? 20_000 : 10_000);
      const n = round ? 20 : 10;
      for (let i = 0; i < n; i++, seq += 1000) await t.gets('ACK', { seq, len: 1000 });
      for (let i = n - 1; i >= 0; i--) t.send('ACK', { ack: seq - i * 1000 });
    }
    await t.sleep(2000);
    await app.writes(40_000);
    const burst = await t.only('ACK', 60, { len: 1000, seq: any });
    if (burst.length > 10)
      t.fail('more than the restart window was sent', [`${burst.length} segments`], undefined);
  },
);
