/** What is remembered of calls that are over: for two seconds, whatever others do meanwhile, in memory that is bounded. */
import { assert, suite } from '../support/suite.js';
import { type Forged, forged, PORT } from './forged.js';

const test = suite('homa: past calls');
const EVIL = '10.0.0.60';
/** BUSY_NO_ROOM of reply.h. */
const NO_ROOM = 0x20;
/** Places of a lane with few streams: control.ts. */
const PLACES = 4096;
const FOREIGN = { marked: undefined };

/** The executed call, given up by its client. */
function pay(f: Forged): void {
  f.put(f.data(5n, 7, 'pay 10 euro'));
  f.pass(1);
  f.put(f.control('RPC_UNKNOWN', 5n, 7));
  f.pass(1);
  assert.equal(f.seen, ['pay 10 euro']);
  f.server.requests.length = 0;
}

/** Its request once more, late; how often it was executed. */
function again(f: Forged): number {
  f.put(f.data(5n, 7, 'pay 10 euro'));
  f.pass(1);
  return f.seen.filter(s => s === 'pay 10 euro').length;
}

/** So many calls, each begun and given up, of slots of their own. How many were executed. */
function giveUp(f: Forged, n: number, src: (i: number) => string): number {
  const before = f.server.requests.length;
  for (let i = 0; i < n; i += 8) {
    const these = Array.from({ length: Math.min(8, n - i) }, (_, k) => i + k);
    for (const k of these) f.put(f.data(9n, 1000 + k, 'x'), { src: src(k) });
    f.step();
    for (const k of these) f.put(f.control('RPC_UNKNOWN', 9n, 1000 + k), { src: src(k) });
    f.step();
  }
  return f.server.requests.length - before;
}

test('6,000 calls that another peer gives up: none of this one is forgotten, and others still find room', () =>
  forged({ answer: () => undefined }, f => {
    pay(f);
    const executed = giveUp(f, 6000, () => EVIL);
    assert.ok(executed >= PLACES / 2 && executed <= PLACES / 2 + 8, String(executed));
    const last = f.out.at(-1)!.packet;
    assert.ok(last.type === 'BUSY' && last.flags === NO_ROOM, last.type);
    assert.is(again(f), 0);
    // A third one's calls are made.
    assert.is(
      giveUp(f, 100, () => '10.0.0.20'),
      100,
    );
  }));

test('6,000 peers with a call each, given up: the last ones are refused, and none is forgotten', () =>
  forged({ answer: () => undefined }, f => {
    pay(f);
    const executed = giveUp(f, 6000, i => `10.1.${i >> 8}.${i & 255}`);
    assert.ok(executed >= PLACES - 8 && executed < PLACES, String(executed));
    assert.is(again(f), 0);
    // When packets of those are no more, there is room again.
    f.pass(2100);
    assert.is(
      giveUp(f, 3000, i => `10.2.${i >> 8}.${i & 255}`),
      3000,
    );
  }));

test('a slot that has many channels one after the other has one place', () =>
  forged({ answer: () => undefined }, f => {
    for (let call = 1n; call <= 6000n; call++) {
      f.put(f.data(call, 7, 'x'));
      f.step();
      f.put(f.control('RPC_UNKNOWN', call, 7));
    }
    assert.is(f.server.requests.length, 6000);
    f.put(f.data(6000n, 7, 'x'));
    f.put(f.data(3n, 7, 'x'));
    f.step();
    assert.is(f.server.requests.length, 6000);
  }));

test('HomaModule’s calls that were acknowledged: 20,000 of them are remembered', () =>
  forged({}, f => {
    const call = (rpc: number): void => f.put(f.data(0n, rpc, 'x', FOREIGN), { src: EVIL });
    for (let rpc = 1; rpc <= 20_000; rpc++) {
      call(rpc);
      if (rpc % 4 === 0) {
        f.step();
        for (let i = rpc - 3; i <= rpc; i++)
          f.put(f.control('ACK', 0n, i, { ...FOREIGN, acks: [] }), { src: EVIL });
        f.step();
        f.out.length = 0;
      }
    }
    assert.is(f.server.requests.length, 20_000);
    assert.is(f.served.length, 0);
    for (let rpc = 1; rpc <= 20_000; rpc += 97) call(rpc);
    f.step();
    assert.is(f.server.requests.length, 20_000);
  }));

test('HomaModule’s calls of far-off numbers: none of another’s is forgotten for them', () =>
  forged({}, f => {
    f.put(f.data(0n, 5, 'pay 10 euro', FOREIGN));
    f.pass(1);
    f.put(f.control('ACK', 0n, 5, { ...FOREIGN, acks: [{ clientId: 10n, serverPort: PORT }] }));
    f.pass(1);
    for (let i = 0; i < 6000; i++) {
      f.put(f.data(0n, 1000 + 64 * i, 'x', FOREIGN), { src: EVIL });
      f.step();
      f.put(f.control('ACK', 0n, 1000 + 64 * i, { ...FOREIGN, acks: [] }), { src: EVIL });
      if (i % 8 === 7) f.step();
    }
    assert.ok(f.server.requests.length < 3000, String(f.server.requests.length));
    f.put(f.data(0n, 5, 'pay 10 euro', FOREIGN));
    f.pass(1);
    assert.is(f.seen.filter(s => s === 'pay 10 euro').length, 1);
  }));
