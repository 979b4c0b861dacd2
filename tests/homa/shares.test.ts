/** One peer, one port, have not all of a host: others are answered meanwhile, and who is refused is told why. */
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { HomaPacket } from '../../host/wire/homa.js';
import { assert, suite } from '../support/suite.js';
import { type Forged, forged, PEER } from './forged.js';
import { ADDRESS, inWorld, PORT } from './world.js';

const test = suite('homa: shares');
const OWN = ADDRESS[4][1];
const EVIL = '10.0.0.60';
const GOOD = '10.0.0.20';
/** BUSY_NO_ROOM of reply.h. */
const NO_ROOM = 0x20;
const PART = { messageLength: 500_000, incoming: 1400, offset: 0 };

/** First packets of long messages that never go on, each of a slot of its own. */
function flood(f: Forged, from: number, n: number): void {
  for (let slot = from; slot < from + n; slot++) {
    f.put(f.data(5n, slot, new Uint8Array(1400), PART), { src: EVIL });
    f.step();
  }
}

test('a peer that begins a message on every slot that there may be has half of the streams', () =>
  forged({ streams: 32, answer: () => new Uint8Array(8) }, f => {
    for (let turn = 0; turn < 20; turn++) {
      flood(f, 1 + 100 * turn, 100);
      f.put(f.data(BigInt(6 + turn), 7, 'honest'), { src: GOOD });
      f.pass(3);
      assert.is(f.server.requests.length, turn + 1);
    }
    assert.ok(f.served.length <= 17, String(f.served.length));
    const busy = f.out.filter(o => o.packet.type === 'BUSY' && o.to === EVIL);
    assert.ok(busy.length > 1000, String(busy.length));
  }));

test('channels whose messages do not go on are given up, granted or not', () =>
  forged({ streams: 64, homa: { overcommit: 1 }, answer: () => new Uint8Array(8) }, f => {
    flood(f, 1, 20);
    assert.is(f.served.length, 20);
    f.pass(2000);
    assert.equal(f.served, []);
    // And it may have as many again.
    flood(f, 101, 20);
    assert.is(f.served.length, 20);
  }));

test('a port has its share, others serve on', () =>
  forged({ streams: 64, homa: { portSlots: 4 }, answer: () => undefined }, f => {
    f.messages.serve({ app: f.server.app.number, port: 200 });
    for (let peer = 0; peer < 10; peer++) f.put(f.data(5n, 1, 'x'), { src: `10.0.0.${10 + peer}` });
    f.step();
    assert.is(f.server.requests.length, 4);
    f.put({ ...f.data(5n, 1, 'y'), dport: 200 }, { src: GOOD });
    f.step();
    assert.is(f.server.requests.length, 5);
  }));

for (const lanes of [1, 2])
  test(`ports of ${lanes} lane${lanes > 1 ? 's' : ''} together leave an eighth of the streams to own clients`, () =>
    forged({ lanes, streams: 64, answer: () => undefined }, f => {
      f.messages.serve({ app: f.server.app.number, port: 200 });
      for (let i = 0; i < 100; i++) {
        const dport = i % 3 ? PORT : 200;
        f.put({ ...f.data(1n, i, 'x'), dport }, { src: `10.0.1.${i}`, queue: i % lanes });
        f.step();
      }
      assert.is(f.served.length, 56);
      const client = f.messages.client({ app: f.caller.number });
      assert.is(f.messages.openSlots(client, 1, { ifindex: 1 }).length, 1);
    }));

test('first packets that promise a million bytes take little memory', () =>
  forged({ streams: 256, answer: () => undefined }, f => {
    const { free } = takeStreamLedger(f.engine.arena);
    for (let i = 0; i < 128; i++) {
      f.put(f.data(1n, i, 'x', { messageLength: 1_000_000, incoming: 1_000_000 }), {
        src: `10.0.0.${10 + (i % 60)}`,
      });
      f.step();
    }
    assert.is(f.served.length, 128);
    const taken = free - takeStreamLedger(f.engine.arena).free;
    assert.ok(taken <= 128 * (65_536 + 4096), String(taken));
  }));

test('a call for which there is no room ends in ENOBUFS', () =>
  inWorld({ homa: { peerSlots: 1 }, answer: () => undefined }, w => {
    const [first, second] = w.open(2);
    first.call({ address: OWN, port: PORT }, new Uint8Array(10));
    w.run(() => w.server.requests.length === 1);
    second.call({ address: OWN, port: PORT }, new Uint8Array(100_000));
    assert.ok(w.run(() => second.failed, 1000));
    assert.is(w.a.view.error(second.end.id), 'ENOBUFS');
    assert.not(first.failed);
    assert.is(w.server.requests.length, 1);
  }));

test('a call that waits for room is made when there is some', () =>
  inWorld({ homa: { peerSlots: 1 } }, w => {
    const [first, second] = w.open(2);
    first.call({ address: OWN, port: PORT }, new Uint8Array(10));
    assert.ok(w.run(() => first.open === 0));
    second.call({ address: OWN, port: PORT }, new Uint8Array(100));
    w.run(() => false, 50);
    assert.is(second.open, 1);
    // The server's application lets go of the slot.
    const [slot] = [...w.server.slots.values()];
    slot.end.request(8 /* ABORT */);
    slot.end.release();
    w.server.slots.clear();
    w.b.app.flush();
    assert.ok(w.run(() => second.open === 0 || second.failed, 1000));
    assert.not(second.failed, w.a.view.error(second.end.id));
  }));

/** A call of this host whose server is the test: the first try finds no room. */
function withoutRoom(f: Forged): {
  id: number;
  back(packet: HomaPacket, type: 'BUSY' | 'RPC_UNKNOWN', flags?: number): void;
} {
  const client = f.messages.client({ app: f.caller.number });
  const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
  const back = (p: HomaPacket, type: 'BUSY' | 'RPC_UNKNOWN', flags = 0): void =>
    f.put({ type, sport: p.dport, dport: p.sport, senderId: p.senderId ^ 1n, marked: true, flags });
  f.open(id).call({ address: PEER, port: PORT }, new Uint8Array(10));
  f.pass(0.5);
  back(f.out.splice(0)[0].packet, 'BUSY', NO_ROOM);
  return { id, back };
}

for (const [what, error, stays] of [
  ['is busy with it then', 'ETIMEDOUT', true],
  ['is silent then', 'ETIMEDOUT', false],
] as const)
  test(`a call that found no room, was sent again, and whose server ${what}: it may have been executed`, () =>
    forged({}, f => {
      const { id, back } = withoutRoom(f);
      let tries = 0;
      for (let t = 0; t < 300 && !f.slots[0].failed; t++) {
        f.pass(1);
        for (const { packet } of f.out.splice(0)) {
          if (packet.type === 'DATA') tries++;
          else if (tries === 0) back(packet, 'RPC_UNKNOWN');
          else if (stays && t < 40) back(packet, 'BUSY');
        }
      }
      assert.is(tries, 1);
      assert.is(f.view.error(id), error);
    }));

test('a call that found no room, and of whose server nothing came since, was not executed', () =>
  forged({}, f => {
    const { id } = withoutRoom(f);
    f.pass(300);
    assert.ok(f.slots[0].failed);
    assert.is(f.view.error(id), 'ENOBUFS');
    assert.not(f.types().includes('DATA'));
  }));

test('a server that has room for the rest of a request is sent its beginning again', () =>
  forged({}, f => {
    const client = f.messages.client({ app: f.caller.number });
    const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
    f.open(id).call({ address: PEER, port: PORT }, new Uint8Array(100_000));
    f.pass(0.5);
    const [{ packet: p }] = f.out.splice(0);
    const to = { sport: p.dport, dport: p.sport, senderId: p.senderId ^ 1n, marked: true } as const;
    f.put({ type: 'BUSY', ...to, flags: NO_ROOM });
    f.pass(1);
    assert.equal(f.types(), []);
    f.put({ type: 'RESEND', ...to, offset: 0, length: 1400, priority: 7 });
    f.put({ type: 'GRANT', ...to, offset: 60_000, priority: 0 });
    f.pass(1);
    const sent = f.out.flatMap(({ packet: d }) => (d.type === 'DATA' ? [d.offset] : []));
    assert.is(sent[0], 0);
    assert.ok(sent.at(-1)! > 55_000, sent.join());
  }));

test('channels that rest end at once when their peer has three quarters of its share', () =>
  forged({ streams: 64 }, f => {
    for (let slot = 1; slot <= 32; slot++) {
      f.put(f.data(5n, slot, 'x'));
      f.step();
    }
    assert.is(f.served.length, 32);
    for (let slot = 1; slot <= 32; slot++) {
      f.put(f.ack(5n, slot));
      f.step();
    }
    assert.is(f.served.length, 24);
  }));
