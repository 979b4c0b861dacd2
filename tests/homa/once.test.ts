/** At most once: whatever comes again, and whenever, a call is not executed a second time, nor answered with another's. */
import { firstNumber, laterOf, numberOf } from '../../host/transports/homa/numbers.js';
import { assert, suite } from '../support/suite.js';
import { forged } from './forged.js';
import { ADDRESS, inWorld, PORT } from './world.js';

const test = suite('homa: at most once');

test('a channel rests for half a second once its response was acknowledged', () =>
  forged({}, f => {
    f.put(f.data(5n, 7, 'pay 10 euro'));
    f.pass(8);
    assert.ok(f.types().includes('NEED_ACK'));
    f.put(f.ack(5n, 7));
    f.pass(20);
    assert.is(f.counters.Closed ?? 0, 0);
    f.put(f.data(5n, 7, 'pay 10 euro'));
    f.pass(20);
    assert.equal(f.seen, ['pay 10 euro']);
    assert.is(f.counters.Duplicates, 1);
    f.pass(2000);
    assert.is(f.counters.Closed, 1);
  }));

test('a call that its client gave up is not executed when its request comes once more', () =>
  forged({ answer: () => undefined }, f => {
    f.put(f.data(5n, 7, 'pay 10 euro'));
    f.pass(1);
    f.put(f.control('RPC_UNKNOWN', 5n, 7));
    f.pass(1);
    f.put(f.data(5n, 7, 'pay 10 euro'));
    f.pass(5);
    assert.equal(f.seen, ['pay 10 euro']);
  }));

test('a part of a request that a newer one overtook does not come to life again', () =>
  forged({}, f => {
    const half = { messageLength: 22, incoming: 22 };
    f.put(f.data(5n, 7, 'pay 10 euro', half));
    f.pass(1);
    f.put(f.data(6n, 7, 'pay 20 euro'));
    f.pass(1);
    f.put(f.data(5n, 7, 'pay 10 euro', half));
    f.put(f.data(5n, 7, 'pay 10 euro', { ...half, offset: 11 }));
    f.pass(5);
    assert.equal(f.seen, ['pay 20 euro']);
  }));

test('a server without a way back: the call is executed once, and it is not called refused', () =>
  inWorld({ delayNs: 10_000, rate: 10e9 }, w => {
    const { routes } = w.engine;
    const { table } = (w.b.messages as unknown as { env: { table: number } }).env;
    for (const route of routes.list()) {
      if (route.table !== table || !route.prefix.startsWith('10.')) continue;
      routes.delete(route);
    }
    const [slot] = w.open();
    slot.call({ address: ADDRESS[4][1], port: PORT }, new Uint8Array(11));
    assert.ok(w.run(() => slot.failed, 3000));
    assert.ok(w.counters[1].NoRoutes > 0, 'there is no way back');
    assert.is(w.server.requests.length, 1);
    assert.is(w.a.view.error(slot.end.id), 'ECONNRESET');
  }));

test('a server that lost every request and says nothing else: not refused, for nobody knows', () =>
  forged({}, f => {
    const client = f.messages.client({ app: f.caller.number });
    const { ifindex } = f.engine.port('eth');
    const [id] = f.messages.openSlots(client, 1, { ifindex });
    f.open(id).call({ address: '10.0.0.1', port: PORT }, new Uint8Array(10));
    for (let i = 0; i < 20 && !f.slots[0].failed; i++) {
      f.pass(1);
      const { packet } = f.out.at(-1)!;
      f.put({
        ...{ type: 'RPC_UNKNOWN', sport: packet.dport, dport: packet.sport },
        senderId: packet.senderId ^ 1n,
      });
    }
    f.pass(1);
    assert.is(f.view.error(id), 'ECONNRESET');
  }));

test('numbers of calls begin with the clock, every day of the week, and never go back', () => {
  const day = 86_400_000_000n;
  const now = 1_800_000_000_000_000n;
  let before: bigint | undefined;
  for (let d = 0n; d < 14n; d++) {
    // A process that knows nothing: its numbers are those of the day, later than yesterday's.
    const fresh = firstNumber(now + d * day, undefined);
    assert.is(fresh, BigInt.asUintN(39, now + d * day + 1n));
    if (before !== undefined) assert.ok(BigInt.asIntN(39, fresh - before) > 0n, `day ${d}`);
    // One that has made calls: later than those, though the clock stands.
    assert.is(firstNumber(now + d * day, fresh + 10n), BigInt.asUintN(39, fresh + 11n));
    // And by the clock when its last one is long past, on whichever side of the circle.
    assert.is(firstNumber(now + (d + 5n) * day, fresh), BigInt.asUintN(39, now + (d + 5n) * day + 1n));
    before = fresh;
  }
});

test('what a record holds of its last call counts if a client’s slot left it', () => {
  assert.is(numberOf((77n << 25n) | (5n << 1n), 5), 77n);
  assert.is(numberOf((77n << 25n) | (5n << 1n) | 1n, 5), undefined);
  assert.is(numberOf((77n << 25n) | (6n << 1n), 5), undefined);
  assert.is(numberOf(0n, 0), undefined);
  assert.is(laterOf(undefined, 3n), 3n);
  assert.is(laterOf(1n, (1n << 39n) - 1n), 1n);
});
