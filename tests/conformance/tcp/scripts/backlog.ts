/** What a listener holds, and SYN cookies: RFC 9293 §3.10.1, RFC 4987. */
import { topic } from '../script.js';
import { any } from '../want.js';

const script = topic('backlog');

script(
  'connections are accepted in the order in which they were established',
  { rfc: '9293 §3.9.1.1' },
  async t => {
    const listener = await t.listen();
    const flows = [t.flowTo(), t.flowTo(), t.flowTo()];
    for (const flow of flows) {
      flow.send('SYN', { mss: 1000 });
      await flow.gets('SYN ACK', { ack: 1, mss: any });
    }
    for (const flow of [flows[2], flows[0], flows[1]]) flow.send('ACK', { len: 0 });
    for (const flow of [flows[2], flows[0], flows[1]]) {
      const app = await t.accept(listener, flow);
      flow.send('ACK', { len: flow.peerPort - 40_000 });
      await flow.acked();
      await app.reads(flow.peerPort - 40_000);
    }
  },
);

script(
  'a listener whose queue is full answers no further SYN with RST',
  { rfc: '4987 §3.3; 1122 §4.2.4.1' },
  async t => {
    const listener = await t.listen({ backlog: 1 });
    const flows = Array.from({ length: 4 }, () => t.flowTo());
    for (const flow of flows.slice(0, 2)) await t.handshake({}, flow);
    flows[2].send('SYN', { mss: 1000 });
    await t.silence(300);
    await t.accept(listener, flows[0]);
    flows[3].send('SYN', { mss: 1000 });
    await flows[3].gets('SYN ACK', { ack: 1, mss: any });
  },
);

script(
  'a SYN that was dropped for want of room succeeds when it comes again',
  { rfc: '4987 §3.3' },
  async t => {
    const listener = await t.listen({ backlog: 1 });
    const flows = Array.from({ length: 3 }, () => t.flowTo());
    for (const flow of flows.slice(0, 2)) await t.handshake({}, flow);
    flows[2].send('SYN', { mss: 1000 });
    await flows[2].only('SYN ACK', 100);
    await t.accept(listener, flows[0]);
    await t.accept(listener, flows[1]);
    flows[2].send('SYN', { seq: 0, mss: 1000 });
    await flows[2].gets('SYN ACK', { seq: 0, ack: 1, mss: any });
    flows[2].send('ACK');
    await t.accept(listener, flows[2]);
  },
);

script('a SYN cookie is answered into a connection', { rfc: '4987 §3.6', synCookies: 'always' }, async t => {
  const listener = await t.listen();
  t.send('SYN', { mss: 1000 });
  await t.gets('SYN ACK', { ack: 1, mss: any });
  t.send('ACK', { len: 100 });
  const app = await t.accept(listener);
  await t.acked(101);
  await app.reads(100);
});

script(
  'a SYN cookie keeps nothing before the ACK',
  { rfc: '4987 §3.6', synCookies: 'always', seconds: 1.5 },
  async t => {
    await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    await t.stateIs('CLOSED');
    await t.silence(1300);
  },
);

script(
  'an ACK that no cookie was given for is refused',
  { rfc: '4987 §3.6', synCookies: 'always' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1000 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('ACK', { ack: 0x1234567 });
    await t.gets('RST', { seq: 0x1234567 });
    await t.acceptsNothing(listener);
    t.send('ACK', { ack: 1 });
    await t.accept(listener);
  },
);

script(
  'a SYN cookie remembers the MSS as well as it can, never more',
  { rfc: '4987 §3.6', synCookies: 'always' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1300 });
    await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('ACK');
    const app = await t.accept(listener);
    await app.writes(3000);
    // The standing rule compares each segment with the MSS.
    const got = await t.only('ACK', 60, { seq: any, len: any });
    if (got.reduce((n, s) => n + s.len, 0) !== 3000 || got[0].len < 536)
      t.fail('segments through a cookie are too small', [got.map(s => s.len).join(' ')], undefined);
  },
);

script(
  'a SYN cookie with timestamps remembers SACK and window scaling',
  { rfc: '4987 §3.6', synCookies: 'always' },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1000, sackOk: true, ts: [5000, 0], wscale: 5 });
    await t.gets('SYN ACK', { ack: 1, mss: any, sackOk: true, tsEcr: 5000, wscale: any });
    t.send('ACK', { win: 100 });
    const app = await t.accept(listener);
    t.send('ACK', { seq: 101, len: 100 });
    await t.gets('ACK', { ack: 1, sack: [[101, 201]] });
    await app.writes(3000);
    // The MSS is one of a few that a cookie has room for.
    const got = await t.only('ACK', 60, { seq: any, len: any, ack: 1, sack: [[101, 201]] });
    if (got.reduce((n, s) => n + s.len, 0) !== 3000) t.fail('the window was not scaled', [], undefined);
  },
);

script('two listeners on two ports keep their connections apart', { rfc: '9293 §3.9.1.1' }, async t => {
  const one = await t.listen({ port: 7001 });
  const two = await t.listen({ port: 7002 });
  const first = t.flowTo(7001);
  const second = t.flowTo(7002, { peerPort: first.peerPort });
  await t.handshake({}, second);
  await t.acceptsNothing(one);
  await t.accept(two, second);
  await t.handshake({}, first);
  await t.alive(await t.accept(one, first), first);
});

script(
  'connections of one port to one listener are told apart by the port of the peer',
  { rfc: '9293 §3.3.1 (sockets)' },
  async t => {
    const listener = await t.listen();
    const flows = [t.flowTo(), t.flowTo()];
    const apps = [];
    for (const flow of flows) {
      await t.handshake({}, flow);
      apps.push(await t.accept(listener, flow));
    }
    flows[0].send('ACK', { len: 10 });
    await flows[0].acked(11);
    flows[1].send('RST');
    await apps[1].stateIs('CLOSED');
    await apps[0].stateIs('ESTABLISHED');
    await apps[0].reads(10);
  },
);

script(
  'a RST to the accept queue is told when the connection is accepted',
  { rfc: '9293 §3.10.7.4' },
  async t => {
    const listener = await t.listen();
    await t.handshake();
    t.send('RST');
    const app = await t.accept(listener);
    await app.readFails('ECONNRESET');
  },
);

script('data that came before accept is there after it', { rfc: '9293 §3.10.7.4' }, async t => {
  const listener = await t.listen();
  await t.handshake();
  t.send('PSH ACK', { len: 1000 });
  t.send('FIN ACK', { len: 200 });
  await t.acked(1202);
  const app = await t.accept(listener);
  await app.reads(1200);
  await app.readsEnd();
});

for (const [mtu, mss] of [
  [576, 536],
  [1400, 1360],
])
  script(
    `a cookie offers the MSS of its way: ${mss} of an MTU of ${mtu}`,
    { rfc: '4987 §3.6; 6691 §2', synCookies: 'always', mtu },
    async t => {
      await t.listen();
      t.send('SYN', { mss: 1460 });
      await t.gets('SYN ACK', { ack: 1, mss });
    },
  );

script(
  'behind a cookie a window is offered by the scale that the cookie named',
  { rfc: '7323 §2.2', synCookies: 'always', receiveBuffer: 100_000 },
  async t => {
    const listener = await t.listen();
    t.send('SYN', { mss: 1000, wscale: 7, ts: [1000, 0], sackOk: true });
    const offer = await t.gets('SYN ACK', { ack: 1, mss: any });
    t.send('ACK', { len: 10 });
    const { window } = await t.acked(11);
    await t.accept(listener);
    // The window of the SYN-ACK was not scaled; what follows is no less than it.
    if (window < Math.min(offer.win, 60_000) - 10)
      t.fail(
        'the window is less than was offered',
        [`scale ${offer.wscale}: ${offer.win}, then ${window}`],
        undefined,
      );
  },
);
