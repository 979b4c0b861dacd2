import { printLine } from '../../host/wire/index.js';
import { assert, suite } from '../support/suite.js';
import { arp, OURS, owned, THEIRS } from './rig.js';

const test = suite('responder: ARP');
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

test('a request for our address is answered to who asked, and to nobody else', async () => {
  const { ask, responder, engine } = await owned();
  const [reply, ...more] = ask(arp({ padding: 18 }));
  assert.is(more.length, 0);
  assert.is(
    hex(reply),
    hex(arp({ oper: 2, sha: OURS, spa: '10.0.0.1', tha: THEIRS, tpa: '10.0.0.2', dst: THEIRS, padding: 18 })),
  );
  assert.is(responder.counters.arpAnswered, 1);
  const [c] = engine.counters();
  assert.equal([c.answered, c.pass, c.rxPackets, c.txPackets], [1, 0, 1, 1]);
  const { ledger } = await engine.stop();
  assert.is(ledger.free, 256);
});

test('a request for another address is not answered, and does not go to the host', async () => {
  const { ask, engine } = await owned();
  assert.equal(ask(arp({ tpa: '10.0.0.9' })), []);
  assert.equal(engine.receive(), []);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('who asks for us becomes known; who is known is brought up to date (RFC 826)', async () => {
  const { ask, engine } = await owned();
  const known = () => engine.neighbours().map(n => `${n.address} ${n.mac} ${n.state}`);
  ask(arp());
  assert.equal(known(), [`10.0.0.2 ${THEIRS} stale`]);
  // A request for somebody else from a station that is known.
  ask(arp({ sha: '02:00:00:00:00:55', tpa: '10.0.0.9' }));
  assert.equal(known(), ['10.0.0.2 02:00:00:00:00:55 stale']);
  // Gratuitous ARP changes what is known and makes nothing known.
  ask(arp({ sha: '02:00:00:00:00:66', tpa: '10.0.0.2' }));
  ask(arp({ sha: '02:00:00:00:00:66', spa: '10.0.0.7', tpa: '10.0.0.7' }));
  assert.equal(known(), ['10.0.0.2 02:00:00:00:00:66 stale']);
  // An answer to us confirms.
  ask(arp({ oper: 2, dst: OURS, tha: OURS }));
  assert.equal(known(), [`10.0.0.2 ${THEIRS} reachable`]);
  await engine.stop();
});

test('a probe (sender 0.0.0.0) is answered and not learned from (RFC 5227)', async () => {
  const { ask, engine } = await owned();
  const [reply] = ask(arp({ spa: '0.0.0.0' }));
  assert.match(printLine(reply), /10\.0\.0\.1/);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('senders that cannot be are refused', async () => {
  const { ask, engine, responder } = await owned();
  for (const f of [
    { sha: 'ff:ff:ff:ff:ff:ff', src: THEIRS },
    { sha: '01:00:5e:00:00:01', src: THEIRS },
    { spa: '224.0.0.1' },
    { spa: '127.0.0.1' },
    { spa: '255.255.255.255' },
  ])
    assert.equal(ask(arp(f)), [], JSON.stringify(f));
  assert.is(responder.counters.refused, 5);
  assert.is(engine.counters()[0].drops.BAD_PACKET, 5);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('what is no ARP for Ethernet and IPv4, or is cut short, goes to the host', async () => {
  const { ask, engine } = await owned();
  const odd = arp();
  odd[15] = 6;
  assert.equal(ask(odd), []);
  assert.equal(ask(arp().subarray(0, 41)), []);
  assert.is(engine.receive().length, 2);
  await engine.stop();
});

test('an address of a VLAN is answered there, with its tag, and nowhere else', async () => {
  const { ask, engine } = await owned({ addresses: ['10.0.0.1/24', { address: '10.5.0.1/24', vlan: 5 }] });
  const [reply] = ask(arp({ vlan: 5, tpa: '10.5.0.1', spa: '10.5.0.2' }));
  assert.is(
    hex(reply),
    hex(arp({ vlan: 5, oper: 2, sha: OURS, spa: '10.5.0.1', tha: THEIRS, tpa: '10.5.0.2', dst: THEIRS })),
  );
  assert.equal(ask(arp({ tpa: '10.5.0.1' })), []);
  assert.equal(ask(arp({ vlan: 5 })), []);
  assert.equal(ask(arp({ vlan: 6, tpa: '10.5.0.1' })), []);
  // A priority tag names no VLAN (802.1Q).
  assert.is(ask(arp({ vlan: 0x6000 })).length, 1);
  await engine.stop();
});

test('a conflict is told and the address defended, at most once in ten seconds (RFC 5227 §2.4)', async () => {
  const { ask, engine, responder, pass } = await owned();
  const told: string[] = [];
  responder.on('conflict', c => told.push(`${c.address} ${c.duplicate}`));
  const theft = arp({ sha: THEIRS, spa: '10.0.0.1', tpa: '10.0.0.9' });
  ask(theft);
  const announcement = hex(arp({ sha: OURS, spa: '10.0.0.1', tpa: '10.0.0.1' }));
  assert.equal(pass(200).map(hex), [announcement]);
  ask(theft);
  assert.equal(pass(5000).map(hex), []);
  pass(6000);
  ask(theft);
  assert.equal(pass(200).map(hex), [announcement]);
  await Promise.resolve();
  assert.equal(told, ['10.0.0.1 false', '10.0.0.1 false', '10.0.0.1 false']);
  assert.is(responder.addresses[0].state, 'preferred');
  await engine.stop();
});

test('with dad an address is asked for three times, announced twice, and answered only then', async () => {
  const { ask, engine, responder, pass } = await owned({
    addresses: [{ address: '10.0.0.1/24', dad: true }],
    announce: true,
  });
  assert.equal(ask(arp()), []);
  const from = engine.now();
  const probe = hex(arp({ sha: OURS, spa: '0.0.0.0', tpa: '10.0.0.1' }));
  const sent: string[] = [];
  while (!responder.ready) sent.push(...pass(100).map(hex));
  const took = Number(engine.now() - from) / 1e9;
  assert.ok(took >= 4 && took <= 7.2, `${took} s`);
  const announcement = hex(arp({ sha: OURS, spa: '10.0.0.1', tpa: '10.0.0.1' }));
  sent.push(...pass(5000).map(hex));
  assert.equal(sent, [probe, probe, probe, announcement, announcement]);
  assert.is(ask(arp()).length, 1);
  await engine.stop();
});

test('an address that somebody has, or asks for too, is given up before it is used', async () => {
  for (const answer of [
    arp({ oper: 2, spa: '10.0.0.1', tpa: '0.0.0.0', dst: OURS }),
    arp({ spa: '0.0.0.0', tpa: '10.0.0.1' }),
  ]) {
    const { ask, engine, responder, pass } = await owned({
      addresses: [{ address: '10.0.0.1/24', dad: true }],
    });
    const told: boolean[] = [];
    responder.on('conflict', c => told.push(c.duplicate));
    pass(1500);
    ask(answer);
    pass(10_000);
    await Promise.resolve();
    assert.equal(told, [true]);
    assert.is(responder.addresses[0].state, 'duplicate');
    assert.ok(responder.ready);
    assert.equal(ask(arp()), []);
    await engine.stop();
  }
});
