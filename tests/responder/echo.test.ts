import { packet, read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import { OURS, owned, THEIRS } from './rig.js';

const test = suite('responder: echo');
const payload = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + n) & 255);
const ping4 = (f: Parameters<typeof packet>[0] = {}): Uint8Array =>
  packet({ protocol: 'icmp', src: '10.0.0.2', dst: '10.0.0.1', dmac: OURS, smac: THEIRS, ...f });
const ping6 = (f: Parameters<typeof packet>[0] = {}): Uint8Array =>
  packet({ protocol: 'icmp', type: 128, src: 'fd00::2', dst: 'fd00::1', dmac: OURS, smac: THEIRS, ...f });

/** Sum of all 16-bit words again, after a test changed bytes of the header. */
function resum(frame: Uint8Array): Uint8Array {
  const dv = new DataView(frame.buffer);
  dv.setUint16(24, 0);
  let sum = 0;
  for (let i = 14; i < 14 + (frame[14] & 15) * 4; i += 2) sum += dv.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  dv.setUint16(24, ~sum & 0xffff);
  return frame;
}

/** The frame with IPv4 options put in. */
function withOptions(frame: Uint8Array, options: number[]): Uint8Array {
  const out = Uint8Array.from([...frame.subarray(0, 34), ...options, ...frame.subarray(34)]);
  out[14] = 0x45 + options.length / 4;
  new DataView(out.buffer).setUint16(16, out.length - 14);
  return resum(out);
}

for (const [name, ping, type] of [
  ['IPv4', ping4, 0],
  ['IPv6', ping6, 129],
] as const)
  test(`${name}: every size comes back as it was, with right checksums`, async () => {
    const { ask, engine, responder } = await owned();
    const sizes = [0, 1, 2, 7, 8, 56, 100, 511, 1000, 1451, 1452];
    for (const n of sizes) {
      const asked = read(ping({ payload: payload(n), sport: n, ttl: 3 }));
      const [reply, ...more] = ask(ping({ payload: payload(n), sport: n, ttl: 3 }));
      assert.is(more.length, 0);
      const r = read(reply);
      assert.ok(r.sound, `${n} bytes: checksum`);
      assert.equal([r.src, r.dst, r.smac, r.dmac, r.ttl], [asked.dst, asked.src, OURS, THEIRS, 64]);
      assert.is(r.l4[0], type);
      assert.equal(r.l4.slice(4), asked.l4.slice(4));
    }
    assert.is(responder.counters.echoAnswered, sizes.length);
    assert.is((await engine.stop()).ledger.free, 256);
  });

test('the answer has the tag of the question, when the address is of that VLAN', async () => {
  const { ask, engine } = await owned({ addresses: [{ address: '10.0.0.1/24', vlan: 9 }] });
  const [reply] = ask(ping4({ vlans: [9], payload: payload(30) }));
  assert.equal(read(reply).vlans, [9]);
  assert.ok(read(reply).sound);
  assert.equal(ask(ping4({ vlans: [10] })), []);
  assert.equal(ask(ping4()), []);
  assert.equal(ask(ping4({ vlans: [9, 9] })), []);
  await engine.stop();
});

test('a message that becomes all zeros has the one checksum that is right', async () => {
  const { ask, engine } = await owned();
  const frame = ping4({ sport: 0, payload: new Uint8Array(20) });
  // Sequence number 0 in place of 1.
  frame[41] = 0;
  frame.set([0xf7, 0xff], 36);
  const [reply] = ask(frame);
  assert.ok(read(reply).sound);
  assert.equal([...reply.subarray(34, 38)], [0, 0, 0xff, 0xff]);
  await engine.stop();
});

test('padding of the link stays behind', async () => {
  const { ask, engine } = await owned();
  const frame = new Uint8Array(60);
  frame.set(ping4({ payload: new Uint8Array(0) }));
  assert.is(ask(frame)[0].length, 42);
  await engine.stop();
});

test('options and extension headers are left out of the answer; a source route is left to the host', async () => {
  const { ask, engine } = await owned();
  const router = withOptions(ping4({ payload: payload(20) }), [148, 4, 0, 0]);
  const [reply] = ask(router);
  assert.is(reply.length, router.length - 4);
  assert.ok(read(reply).sound);
  assert.equal(read(reply).l4.slice(8), payload(20));
  const loose = withOptions(ping4(), [131, 7, 4, 10, 0, 0, 9, 0]);
  assert.equal(ask(loose), []);
  const broken = withOptions(ping4(), [7, 1, 0, 0]);
  assert.equal(ask(broken), []);
  assert.is(engine.receive().length, 2);

  const plain = ping6({ payload: payload(20) });
  const extended = Uint8Array.from([
    ...plain.subarray(0, 54),
    58,
    0,
    1,
    4,
    0,
    0,
    0,
    0,
    ...plain.subarray(54),
  ]);
  extended[20] = 60;
  extended[19] += 8;
  const [bare] = ask(extended);
  assert.is(bare.length, plain.length);
  assert.ok(read(bare).sound);
  await engine.stop();
});

test('what is damaged is not answered, and said to be', async () => {
  const { ask, engine, responder } = await owned();
  const bad = (frame: Uint8Array, at: number): Uint8Array => {
    frame[at] ^= 0x10;
    return frame;
  };
  assert.equal(ask(bad(ping4(), 50)), []);
  assert.equal(ask(bad(ping6(), 70)), []);
  assert.equal(ask(bad(ping4(), 24)), []);
  assert.is(responder.counters.refused, 3);
  assert.is(engine.counters()[0].drops.BAD_PACKET, 3);
  assert.equal(engine.receive(), []);
  await engine.stop();
});

test('senders that cannot be are refused: broadcast, multicast, loopback, ourselves', async () => {
  const { ask, engine, responder } = await owned();
  const from = ['10.0.0.255', '255.255.255.255', '224.0.0.1', '127.0.0.1', '0.0.0.0', '10.0.0.1'];
  for (const src of from) assert.equal(ask(ping4({ src })), [], src);
  for (const src of ['ff02::1', '::', 'fd00::1']) assert.equal(ask(ping6({ src })), [], src);
  assert.is(responder.counters.refused, from.length + 3);
  await engine.stop();
});

test('broadcasts, other stations, fragments and other messages are the host’s', async () => {
  const { ask, engine } = await owned();
  const others = [
    ping4({ dst: '10.0.0.255', dmac: 'ff:ff:ff:ff:ff:ff' }),
    ping4({ dmac: 'ff:ff:ff:ff:ff:ff' }),
    ping4({ dmac: '02:00:00:00:00:99' }),
    ping4({ dst: '10.0.0.3' }),
    ping4({ fragment: 0x2000 }),
    ping4({ type: 13 }),
    ping4({ type: 0 }),
    packet({ protocol: 'udp', src: '10.0.0.2', dst: '10.0.0.1', dmac: OURS }),
    ping6({ type: 129 }),
    ping6({ dst: 'fd00::3' }),
  ];
  for (const frame of others) assert.equal(ask(frame), []);
  assert.equal(
    engine.receive().map(p => Buffer.from(p.data).toString('hex')),
    others.map(f => Buffer.from(f).toString('hex')),
  );
  await engine.stop();
});

test('a question to all nodes is answered from an address of one', async () => {
  const { ask, engine } = await owned();
  const [reply] = ask(ping6({ dst: 'ff02::1', dmac: '33:33:00:00:00:01', payload: payload(9) }));
  const r = read(reply);
  assert.equal([r.src, r.dst, r.sound], ['fd00::1', 'fd00::2', true]);
  assert.equal(ask(ping6({ dst: 'ff02::2', dmac: '33:33:00:00:00:02' })), []);
  await engine.stop();
});

test('each part can be turned off; a closed responder answers nothing', async () => {
  const { ask, engine, responder } = await owned({ echo: false });
  assert.equal(ask(ping4()), []);
  assert.is(engine.receive().length, 1);
  responder.close();
  engine.respond('model.a', { addresses: ['10.0.0.1/24'], announce: false });
  assert.is(ask(ping4()).length, 1);
  assert.throws(
    () => engine.respond('model.a', { addresses: [] }),
    (e: { code: string }) => e.code === 'ERR_RESPONDER',
  );
  await engine.stop();
});

test('addresses come and go while packets flow', async () => {
  const { ask, engine, responder } = await owned();
  assert.equal(ask(ping4({ dst: '10.0.0.8' })), []);
  responder.add('10.0.0.8/24');
  assert.is(ask(ping4({ dst: '10.0.0.8' })).length, 1);
  assert.ok(responder.remove('10.0.0.8'));
  assert.not(responder.remove('10.0.0.8'));
  assert.equal(ask(ping4({ dst: '10.0.0.8' })), []);
  assert.is(ask(ping4()).length, 1);
  for (const address of [
    '10.0.0.1/24',
    '224.0.0.1/4',
    '127.0.0.1/8',
    '10.1.0.255/24',
    'ff02::1/16',
    '::/0',
    'x',
    '10.0.0.1/33',
  ])
    assert.throws(
      () => responder.add(address),
      (e: { code: string }) => e.code === 'ERR_RESPONDER' || e.code === 'ERR_ADDRESS',
      address,
    );
  await engine.stop();
});
