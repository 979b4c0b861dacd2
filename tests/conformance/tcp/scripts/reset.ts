/** RST, SYN and ACK that a stranger may have sent: RFC 9293 §3.10.7.4 and RFC 5961, in every state. */
import type { App } from '../app.js';
import { topic } from '../script.js';
import type { Stage } from '../stage.js';
import { atLeast } from '../want.js';

const script = topic('reset');

/** How to come into a state; `t.flow.next` is RCV.NXT of the host then. */
const WAYS: Record<string, (t: Stage) => Promise<App>> = {
  ESTABLISHED: t => t.accepted(),
  CLOSE_WAIT: async t => {
    const app = await t.accepted();
    t.send('FIN ACK');
    await t.acked(2);
    return app;
  },
  FIN_WAIT_1: async t => {
    const app = await t.accepted();
    await app.shutdown();
    await t.gets('FIN ACK', { seq: 1 });
    return app;
  },
  FIN_WAIT_2: async t => {
    const app = await WAYS.FIN_WAIT_1(t);
    t.send('ACK');
    return app;
  },
  CLOSING: async t => {
    const app = await WAYS.FIN_WAIT_1(t);
    t.send('FIN ACK', { ack: 1 });
    await t.gets('ACK', { seq: 2, ack: 2 });
    return app;
  },
  LAST_ACK: async t => {
    const app = await WAYS.CLOSE_WAIT(t);
    await app.shutdown();
    await t.gets('FIN ACK', { seq: 1, ack: 2 });
    return app;
  },
};

for (const [state, enter] of Object.entries(WAYS)) {
  script(
    `in ${state} a RST at RCV.NXT ends the connection`,
    { rfc: '9293 §3.10.7.4; 5961 §3.2' },
    async t => {
      const app = await enter(t);
      await app.stateIs(state);
      t.send('RST');
      await app.stateIs('CLOSED');
      await t.silence(50);
    },
  );

  script(
    `in ${state} a RST elsewhere in the window gets a challenge ACK`,
    { rfc: '9293 §3.10.7.4; 5961 §3.2' },
    async t => {
      const app = await enter(t);
      t.send('RST', { seq: t.flow.next + 1000 });
      await t.gets('ACK', { ack: t.flow.next - 1000 });
      await app.stateIs(state);
    },
  );

  script(
    `in ${state} a RST outside of the window is dropped silently`,
    { rfc: '9293 §3.10.7.4; 5961 §3.2' },
    async t => {
      const app = await enter(t);
      const { next } = t.flow;
      t.send('RST', { seq: next + 0x100000 });
      t.send('RST', { seq: next - 100 });
      await t.silence(50);
      await app.stateIs(state);
    },
  );

  script(
    `in ${state} a SYN gets a challenge ACK, whatever its number`,
    { rfc: '9293 §3.10.7.4; 5961 §4.2' },
    async t => {
      const app = await enter(t);
      const { next } = t.flow;
      for (const seq of [next, next + 500, next + 0x100000, next - 5000]) {
        t.send('SYN', { seq, mss: 1000 });
        await t.gets('ACK', { ack: next });
      }
      await app.stateIs(state);
    },
  );
}

for (const state of ['CLOSE_WAIT', 'CLOSING', 'LAST_ACK'])
  script(
    `in ${state} a RST at the number of the FIN ends the connection: who answers what was under way has not counted it`,
    { rfc: '5961 §3.2' },
    async t => {
      const app = await WAYS[state](t);
      t.send('RST', { seq: t.flow.next - 1 });
      await app.stateIs('CLOSED');
    },
  );

for (const state of ['ESTABLISHED', 'FIN_WAIT_2'])
  script(
    `in ${state} a RST at RCV.NXT - 1 is dropped silently`,
    { rfc: '9293 §3.10.7.4; 5961 §3.2' },
    async t => {
      const app = await WAYS[state](t);
      t.send('RST', { seq: t.flow.next - 1 });
      await t.silence(50);
      await app.stateIs(state);
    },
  );

script(
  'a RST right behind what was reported by SACK ends the connection, one before a hole does not',
  { rfc: '5961 §3.2; 2018 §4' },
  async t => {
    const app = await t.accepted({ sackOk: true });
    t.send('ACK', { seq: 101, len: 100 });
    await t.gets('ACK', { ack: 1 });
    t.send('ACK', { seq: 301, len: 100 });
    await t.gets('ACK', { ack: 1 });
    t.send('RST', { seq: 201 });
    await t.gets('ACK', { ack: 1 });
    await app.stateIs('ESTABLISHED');
    t.send('RST', { seq: 401 });
    await app.stateIs('CLOSED');
  },
);

script('a reset tells the application ECONNRESET, once', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  t.send('RST');
  await app.polls('in err hup');
  await app.readFails('ECONNRESET');
  await app.readsEnd();
  await app.writeFails('EPIPE');
});

script('a reset in CLOSE_WAIT tells the writer EPIPE', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await WAYS.CLOSE_WAIT(t);
  t.send('RST');
  await app.polls('err hup');
  await app.writeFails('EPIPE');
});

script('nothing is said after a reset, whatever was received before', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  t.send('ACK', { len: 100 });
  await t.acked(101);
  t.send('RST');
  await app.stateIs('CLOSED');
  await app.close();
  await t.silence(100);
});

script('a reset stops retransmission', { rfc: '9293 §3.10.7.4', seconds: 1.5 }, async t => {
  const app = await t.accepted();
  await app.writes(500);
  await t.gets('ACK', { seq: 1, len: 500 });
  t.send('RST');
  await t.silence(1300);
});

script('a RST with data at RCV.NXT resets', { rfc: '9293 §3.5.3; 1122 §4.2.2.12' }, async t => {
  const app = await t.accepted();
  t.send('RST ACK', { len: 20 });
  await app.stateIs('CLOSED');
});

script('a RST whose ACK field is nonsense resets all the same', { rfc: '9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  t.send('RST ACK', { ack: 123456 });
  await app.stateIs('CLOSED');
});

script(
  'a RST at the last number of the window gets a challenge ACK, one behind it nothing',
  { rfc: '5961 §3.2' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { len: 1 });
    const { window } = await t.acked(2);
    t.send('RST', { seq: 2 + window - 1 });
    await t.gets('ACK', { ack: 2 });
    t.send('RST', { seq: 2 + window + 1 });
    await t.silence(50);
    await app.stateIs('ESTABLISHED');
  },
);

script('the peer answers a challenge with the right RST, and that resets', { rfc: '5961 §3.2' }, async t => {
  const app = await t.accepted();
  t.send('RST', { seq: 100 });
  const { ack } = await t.gets('ACK', { ack: 1 });
  t.send('RST', { seq: ack });
  await app.stateIs('CLOSED');
});

script('a SYN-ACK in ESTABLISHED gets a challenge ACK', { rfc: '5961 §4.2' }, async t => {
  const app = await t.accepted();
  t.send('SYN ACK', { seq: 300, mss: 1000 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  await app.stateIs('ESTABLISHED');
});

script('a SYN in the window does not bring its data in', { rfc: '5961 §4.2' }, async t => {
  const app = await t.accepted();
  t.send('SYN ACK', { seq: 1, len: 30 });
  await t.gets('ACK', { seq: 1, ack: 1 });
  await app.readsNothing();
});

script(
  'data that acknowledges what was never sent is dropped and answered by an ACK',
  { rfc: '9293 §3.10.7.4; 5961 §5.2' },
  async t => {
    const app = await t.accepted();
    t.send('ACK', { seq: 1, ack: 5000, len: 100 });
    await t.gets('ACK', { seq: 1, ack: 1 });
    await app.readsNothing();
    t.send('ACK', { seq: 1, ack: 1, len: 100 });
    await t.acked(101);
    await app.reads(100);
  },
);

script(
  'data that acknowledges far too old a number is dropped and answered by an ACK',
  { rfc: '5961 §5.2' },
  async t => {
    const app = await t.accepted({ win: 2000 });
    await app.writes(1000);
    await t.gets('ACK', { seq: 1, len: 1000 });
    t.send('ACK', { ack: 1001 });
    // More than the largest window ever offered (2000) behind SND.UNA.
    t.send('ACK', { seq: 1, ack: 1001 - 5000, len: 100 });
    await t.gets('ACK', { seq: 1001, ack: 1 });
    await app.readsNothing();
  },
);

script('data with a slightly old acknowledgment is taken', { rfc: '5961 §5.2; 9293 §3.10.7.4' }, async t => {
  const app = await t.accepted();
  await app.writes(1000);
  await t.gets('ACK', { seq: 1, len: 1000 });
  t.send('ACK', { ack: 1001 });
  t.send('ACK', { seq: 1, ack: 1, len: 100 });
  await t.acked(101);
  await app.reads(100);
});

script(
  'challenge ACKs are limited: a hundred strangers do not get a hundred',
  { rfc: '5961 §7', ackLimit: true, seconds: 1 },
  async t => {
    const app = await t.accepted();
    for (let i = 0; i < 100; i++) t.send('RST', { seq: 1000 + i * 100 });
    const answers = await t.only('ACK', 300, { ack: 1 });
    if (answers.length < 1 || answers.length > 20)
      t.fail('challenge ACKs are not limited', [`100 RSTs got ${answers.length}`], undefined);
    await app.stateIs('ESTABLISHED');
  },
);

script('a SYN with the ports of a connection does not stop its transfer', { rfc: '5961 §4.2' }, async t => {
  const app = await t.accepted();
  await app.writes(500);
  await t.gets('ACK', { seq: 1, len: 500 });
  t.send('SYN', { seq: 900_000, mss: 1000 });
  await t.gets('ACK', { seq: 501, ack: 1 });
  t.send('ACK', { seq: 1, ack: 501, len: 50 });
  await t.acked(51);
  await app.reads(50);
  await app.writes(500);
  await t.gets('ACK', { seq: 501, len: 500, ack: atLeast(51) });
});

script(
  'a RST outside of the window leaves TIME_WAIT as it is',
  { rfc: '9293 §3.10.7.4; 1337 §3' },
  async t => {
    const app = await WAYS.FIN_WAIT_2(t);
    t.send('FIN ACK');
    await t.gets('ACK', { seq: 2, ack: 2 });
    t.send('RST', { seq: 0x100000 });
    t.send('RST', { seq: -100 });
    await t.only('ACK', 50);
    await app.stateIs('TIME_WAIT');
  },
);
