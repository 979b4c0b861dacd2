import { PortLayout } from '../../host/layout/layout.gen.js';
import { linkLocalOf } from '../../host/responder/responder.js';
import { parseMac } from '../../host/wire/address.js';
import { assert, suite } from '../support/suite.js';
import { arp, nd, OURS, owned, solicitedNode, THEIRS } from './rig.js';

const test = suite('responder: neighbour discovery');
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');
const SOLICITED_OVERRIDE = 0x60000000;

/** Our advertisement of fd00::1. */
const ours = (f: Parameters<typeof nd>[0] = {}): string =>
  hex(
    nd({
      type: 136,
      src: 'fd00::1',
      dst: 'fd00::2',
      flags: SOLICITED_OVERRIDE,
      option: OURS,
      dmac: THEIRS,
      smac: OURS,
      ...f,
    }),
  );

test('a solicitation is answered: solicited, override, our hardware address', async () => {
  const { ask, engine, responder } = await owned();
  assert.equal(ask(nd()).map(hex), [ours()]);
  // Unicast, as a probe of reachability is, with and without option.
  assert.equal(ask(nd({ dst: 'fd00::1' })).map(hex), [ours()]);
  assert.equal(ask(nd({ dst: 'fd00::1', option: null })).map(hex), [ours()]);
  assert.is(responder.counters.ndAnswered, 3);
  assert.equal(
    engine.neighbours().map(n => [n.address, n.mac, n.state]),
    [['fd00::2', THEIRS, 'stale']],
  );
  assert.is((await engine.stop()).ledger.free, 256);
});

test('a probe (from ::) is answered to all nodes, not solicited; nothing is learned', async () => {
  const { ask, engine } = await owned();
  assert.equal(ask(nd({ src: '::', option: null })).map(hex), [
    ours({ dst: 'ff02::1', flags: 0x20000000, dmac: '33:33:00:00:00:01' }),
  ]);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('a router says so', async () => {
  const { ask, engine } = await owned({ router: true });
  assert.equal(ask(nd()).map(hex), [ours({ flags: 0xe0000000 })]);
  await engine.stop();
});

test('what RFC 4861 §7.1 forbids is refused', async () => {
  const { ask, engine, responder } = await owned();
  const bad = nd();
  bad[56] ^= 1;
  const truncatedOption = nd();
  truncatedOption[79] = 0;
  const refused = [
    nd({ hops: 254 }),
    nd({ code: 1 }),
    nd({ target: 'ff02::1', dst: solicitedNode('fd00::1') }),
    nd({ src: '::' }),
    nd({ src: '::', option: null, dst: 'fd00::1' }),
    nd({ type: 136, dst: 'ff02::1', flags: 0x40000000 }),
    bad,
    truncatedOption,
  ];
  for (const [i, frame] of refused.entries()) assert.equal(ask(frame), [], `${i}`);
  assert.is(responder.counters.refused, refused.length);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('a solicitation for an address that is not ours is not answered', async () => {
  const { ask, engine } = await owned();
  assert.equal(ask(nd({ target: 'fd00::9' })), []);
  assert.equal(ask(nd({ target: 'fd00::9', dst: 'fd00::1' })), []);
  await engine.stop();
});

test('advertisements: only what is known is changed, and the override flag decides (§7.2.5)', async () => {
  const { ask, engine } = await owned();
  const state = () => engine.neighbours().map(n => `${n.mac} ${n.state}${n.router ? ' router' : ''}`);
  const na = (flags: number, option: string | null = THEIRS) =>
    nd({ type: 136, src: 'fd00::2', dst: 'fd00::1', target: 'fd00::2', flags, option });
  ask(na(SOLICITED_OVERRIDE));
  assert.equal(state(), []);
  ask(nd());
  assert.equal(state(), [`${THEIRS} stale`]);
  ask(na(0x40000000));
  assert.equal(state(), [`${THEIRS} reachable`]);
  const other = '02:00:00:00:00:77';
  // Another address without override: doubt, not belief.
  ask(na(0x40000000, other));
  assert.equal(state(), [`${THEIRS} stale`]);
  ask(na(0x40000000));
  ask(na(0, other));
  assert.equal(state(), [`${THEIRS} stale`]);
  ask(na(0x20000000, other));
  assert.equal(state(), [`${other} stale`]);
  ask(na(0xc0000000, null));
  assert.equal(state(), [`${other} reachable router`]);
  ask(na(0x40000000, null));
  assert.equal(state(), [`${other} reachable`]);
  await engine.stop();
});

test('duplicate address detection: one probe, a second of silence, then the address is used and announced', async () => {
  const { ask, engine, responder, pass } = await owned({ addresses: ['fd00::1/64'], announce: true });
  assert.equal(ask(nd()), []);
  const probe = hex(nd({ src: '::', option: null, smac: OURS }));
  const sent: string[] = [];
  const from = engine.now();
  while (!responder.ready) sent.push(...pass(100).map(hex));
  const took = Number(engine.now() - from) / 1e9;
  assert.ok(took >= 1 && took <= 2.1, `${took} s`);
  const told = ours({ dst: 'ff02::1', flags: 0x20000000, dmac: '33:33:00:00:00:01' });
  sent.push(...pass(5000).map(hex));
  assert.equal(sent, [probe, told, told]);
  assert.is(ask(nd()).length, 1);
  await engine.stop();
});

test('a tentative address is given up when it is advertised or asked for by another', async () => {
  for (const sign of [
    nd({ type: 136, src: 'fd00::1', dst: 'ff02::1', flags: 0x20000000 }),
    nd({ src: '::', option: null }),
  ]) {
    const { ask, engine, responder, pass } = await owned({ addresses: ['fd00::1/64'] });
    pass(100);
    ask(sign);
    pass(3000);
    assert.is(responder.addresses[0].state, 'duplicate');
    assert.equal(ask(nd()), []);
    await engine.stop();
  }
});

test('a port with an IPv6 address has a link-local one, of its hardware address', async () => {
  const { engine, responder, ask } = await owned({ linkLocal: true });
  assert.equal(
    responder.addresses.map(a => `${a.address}/${a.bits}`),
    ['10.0.0.1/24', 'fd00::1/64', 'fe80::ff:fe00:1/64'],
  );
  assert.is(ask(nd({ target: 'fe80::ff:fe00:1', src: 'fe80::2' })).length, 1);
  await engine.stop();
});

test('a port with another hardware address: everybody is told, and the link-local address is made of the new one', async () => {
  const { ask, pass, engine, responder } = await owned({ linkLocal: true, announce: true });
  const next = '02:00:00:00:0e:01';
  const [before, after] = [OURS, next].map(mac => linkLocalOf(parseMac(mac)).replace('/64', ''));
  pass(5000);
  assert.equal(
    responder.addresses.map(a => a.address),
    ['10.0.0.1', 'fd00::1', before],
  );
  engine.arena.u8.set(parseMac(next), engine.ports[0].at + PortLayout.mac);
  const told = pass(200).map(hex);
  const toAll = { dst: 'ff02::1', dmac: '33:33:00:00:00:01', flags: 0x20000000, option: next, smac: next };
  for (const expected of [
    hex(arp({ sha: next, spa: '10.0.0.1', tpa: '10.0.0.1' })),
    ours(toAll),
    ours({ ...toAll, src: after, target: after }),
  ])
    assert.ok(told.includes(expected), expected);
  assert.equal(
    responder.addresses.map(a => [a.address, a.state]),
    [
      ['10.0.0.1', 'preferred'],
      ['fd00::1', 'preferred'],
      [after, 'preferred'],
    ],
  );
  assert.is(ask(nd({ target: after, dst: solicitedNode(after) })).length, 1);
  assert.equal(ask(nd({ target: before, dst: solicitedNode(before) })), [], 'nobody has it');
  pass(5000);
  assert.is((await engine.stop()).ledger.free, 256);
});
