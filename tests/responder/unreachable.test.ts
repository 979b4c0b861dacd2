import { packet, read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import { OURS, owned, THEIRS } from './rig.js';

const test = suite('responder: unreachable');
const payload = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i & 255);
const udp = (f: Parameters<typeof packet>[0] = {}): Uint8Array =>
  packet({ protocol: 'udp', src: '10.0.0.2', dst: '10.0.0.1', dmac: OURS, smac: THEIRS, ...f });
const v6 = { src: 'fd00::2', dst: 'fd00::1' };

test('UDP that nobody takes is answered with port unreachable, quoting what RFC 1812 and RFC 4443 say', async () => {
  const { ask, engine, responder } = await owned({ unreachable: true });
  for (const n of [0, 20, 600, 1400]) {
    const asked = udp({ payload: payload(n) });
    const [reply] = ask(asked);
    const r = read(reply);
    assert.ok(r.sound, `${n}`);
    assert.equal([r.src, r.dst, r.dmac, r.l4[0], r.l4[1]], ['10.0.0.1', '10.0.0.2', THEIRS, 3, 3]);
    assert.is(reply.length - 14, Math.min(576, asked.length - 14 + 28));
    assert.equal(r.l4.slice(8), asked.slice(14, 14 + r.l4.length - 8));

    const asked6 = udp({ payload: payload(n), ...v6 });
    const r6 = read(ask(asked6)[0]);
    assert.ok(r6.sound, `${n}, IPv6`);
    assert.equal([r6.src, r6.dst, r6.l4[0], r6.l4[1]], ['fd00::1', 'fd00::2', 1, 4]);
    assert.is(r6.l4.length + 40, Math.min(1280, asked6.length - 14 + 48));
    assert.equal(r6.l4.slice(8), asked6.slice(14, 14 + r6.l4.length - 8));
  }
  assert.is(responder.counters.unreachableSent, 8);
  assert.is((await engine.stop()).ledger.free, 256);
});

test('a protocol that nobody knows: protocol unreachable, and parameter problem at the octet that names it', async () => {
  const { ask, engine } = await owned({ unreachable: true });
  const odd = udp();
  odd[23] = 200;
  const sum = new DataView(odd.buffer);
  sum.setUint16(24, 0);
  let s = 0;
  for (let i = 14; i < 34; i += 2) s += sum.getUint16(i);
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16);
  sum.setUint16(24, ~s & 0xffff);
  const r = read(ask(odd)[0]);
  assert.equal([r.sound, r.l4[0], r.l4[1]], [true, 3, 2]);
  const odd6 = udp(v6);
  odd6[20] = 200;
  const r6 = read(ask(odd6)[0]);
  assert.equal([r6.sound, r6.l4[0], r6.l4[1], r6.l4[7]], [true, 4, 1, 6]);
  await engine.stop();
});

test('not about broadcasts, fragments, ICMP, TCP or packets from nowhere; not unless asked for', async () => {
  const { ask, engine } = await owned({ unreachable: true });
  const frames = [
    udp({ dst: '10.0.0.255', dmac: 'ff:ff:ff:ff:ff:ff' }),
    udp({ dmac: 'ff:ff:ff:ff:ff:ff' }),
    udp({ fragment: 0x2000 }),
    udp({ src: '0.0.0.0' }),
    udp({ src: '10.0.0.255' }),
    udp({ src: '224.0.0.5' }),
    udp({ src: '::', dst: 'fd00::1' }),
    udp({ protocol: 'icmp', type: 3, code: 3 }),
    packet({ protocol: 'tcp', src: '10.0.0.2', dst: '10.0.0.1', dmac: OURS }),
  ];
  for (const [i, frame] of frames.entries()) assert.equal(ask(frame), [], `${i}`);
  await engine.stop();
  const silent = await owned();
  assert.equal(silent.ask(udp()), []);
  assert.is(silent.engine.receive().length, 1);
  await silent.engine.stop();
});

test('errors are limited: a burst, then so many a second', async () => {
  const { ask, engine, responder, pass } = await owned({
    unreachable: true,
    errorRate: { perSecond: 20, burst: 5 },
  });
  const tries = (n: number): number => {
    let got = 0;
    for (let i = 0; i < n; i++) got += ask(udp()).length;
    return got;
  };
  assert.is(tries(30), 5);
  assert.is(responder.counters.rateLimited, 25);
  pass(100);
  assert.is(tries(10), 2);
  pass(10_000);
  assert.is(tries(30), 5);
  // Echo is no error: it is not limited.
  for (let i = 0; i < 50; i++)
    assert.is(ask(packet({ protocol: 'icmp', src: '10.0.0.2', dst: '10.0.0.1', dmac: OURS })).length, 1);
  await engine.stop();
});
