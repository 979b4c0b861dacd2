/** What may go wrong with a call, and how its slot tells; calls that are given up; readers that are slow. */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { parseIp } from '../../host/wire/address.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { inRing } from './slots.js';
import { ADDRESS, backwards, inWorld, PORT, type World } from './world.js';

const test = suite('homa: errors');
const to = { address: ADDRESS[4][1], port: PORT };
const address = parseIp(to.address);

/** Runs until the slot failed: with what. */
function failure(w: World, slot = w.slots[0], limitMs = 5000): string | undefined {
  assert.ok(
    w.run(() => slot.failed, limitMs),
    JSON.stringify([w.counters, w.a.view.info(slot.end.id)]),
  );
  return w.a.view.error(slot.end.id);
}

test('a port that nobody serves refuses at once', () =>
  inWorld({ serves: false }, w => {
    const [slot] = w.open();
    const begun = w.engine.now();
    slot.call(to, pattern(100));
    assert.is(failure(w), 'ECONNREFUSED');
    assert.ok(w.engine.now() - begun < 1_000_000n);
    assert.is(w.counters[1].NoPorts, 1);
  }));

test('a client’s port is no server’s', () =>
  inWorld({}, w => {
    for (const port of [0x8000, 65536, -1])
      assert.throws(
        () => w.b.messages.serve({ app: w.b.app.number, port }),
        (e: { code?: string }) => e.code === 'ERR_HOMA_PORT',
      );
    assert.throws(
      () => w.b.messages.serve({ app: w.b.app.number, port: PORT }),
      (e: { code?: string }) => e.code === 'ERR_STACK_EADDRINUSE',
    );
    const { port } = w.b.messages.serve({ app: w.b.app.number, port: 0 });
    assert.ok(port >= 1024 && port < 0x8000);
    w.b.messages.unserve(port);
  }));

test('a server that gives the call up: ECONNRESET, and the call is not made again', () =>
  inWorld({ answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(100));
    w.run(() => w.server.requests.length === 1, 100);
    const [{ id }] = w.server.requests;
    const { end } = w.server.slots.get(id)!;
    end.request(StreamRequest.ABORT);
    assert.is(failure(w), 'ECONNRESET');
    w.run(() => false, 1000);
    assert.is(w.server.requests.length, 1);
  }));

test('a server that does not answer, but is there, is waited for', () =>
  inWorld({ answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(100));
    assert.not(w.run(() => slot.failed, 2000));
    assert.is(w.server.requests.length, 1);
    assert.ok(w.counters[0].BusiesIn > 100);
  }));

test('a call that is cancelled: its server is told when it answers, and lets go of the slot', () =>
  inWorld({ answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(100));
    w.run(() => w.server.requests.length === 1, 100);
    slot.end.request(StreamRequest.ABORT);
    slot.end.release();
    w.run(() => false, 1);
    const [{ id, message }] = w.server.requests;
    w.server.slots.get(id)!.writer.put(inRing({ ...message, bytes: pattern(2000) }));
    w.run(() => false, 50);
    // One for each packet of the answer.
    assert.ok(w.counters[0].Unknowns >= 1);
    assert.equal(w.server.failed, [id]);
    assert.not(w.server.slots.has(id));
  }));

test('a request that is cancelled in its midst: its server hears that it never becomes whole', () =>
  inWorld({}, w => {
    const [slot] = w.open();
    // Half of what the record promises.
    slot.writer.put(inRing({ call: 0, address, port: PORT, bytes: pattern(3008) }, 6000));
    w.run(() => w.server.slots.size === 1, 100);
    w.run(() => false, 20);
    slot.end.request(StreamRequest.ABORT);
    slot.end.release();
    assert.ok(w.run(() => w.server.failed.length === 1, 1000));
    assert.is(w.server.requests.length, 0);
  }));

test('a slot whose number is used again is another: what it calls is new', () =>
  inWorld({}, w => {
    const seen = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const [slot] = w.open();
      seen.add(slot.end.id);
      slot.call(to, pattern(40, i));
      assert.ok(w.run(() => slot.open === 0, 100));
      assert.equal(slot.answers[0].bytes, backwards({ bytes: pattern(40, i) }));
      slot.end.request(StreamRequest.CLOSE);
      slot.end.release();
      // Longer than channels rest, for all of them: numbers come round.
      w.run(() => false, 50);
    }
    assert.ok(seen.size < 40);
    assert.is(w.counters[1].OldData ?? 0, 0);
  }));

test('what is no message: too long, no record, a call that was before', () =>
  inWorld({}, w => {
    const wrong: [string, Uint8Array][] = [
      ['EMSGSIZE', inRing({ call: 0, address, port: PORT, bytes: pattern(32) }, 1_000_001)],
      ['EPROTO', inRing({ call: 0xffffffff, address, port: PORT, bytes: pattern(32) })],
      ['EPROTO', new Uint8Array(64).fill(7)],
    ];
    new DataView(wrong[2][1].buffer).setUint32(0, 32, true);
    for (const [error, bytes] of wrong) {
      const [slot] = w.open();
      slot.writer.put(bytes);
      assert.is(failure(w, slot), error);
    }
    assert.is(w.server.requests.length, 0);
  }));

test('nobody there: a neighbour that does not answer, a network that nobody knows', () =>
  inWorld({}, w => {
    const [a, b] = w.open(2);
    a.call({ address: '10.0.0.77', port: PORT }, pattern(10));
    b.call({ address: '192.0.2.1', port: PORT }, pattern(10));
    assert.is(failure(w, a, 10_000), 'EHOSTUNREACH');
    assert.is(failure(w, b), 'ENETUNREACH');
  }));

test('a client that gave up makes its next call, and the old answer is skipped', () =>
  inWorld({ answer: m => (m.bytes.length === 7 ? undefined : m.bytes) }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(7));
    w.run(() => w.server.requests.length === 1, 100);
    const [{ id, message }] = w.server.requests;
    // An answer to another call than the present one.
    w.server.slots.get(id)!.writer.put(inRing({ ...message, call: message.call - 1, bytes: pattern(500) }));
    w.run(() => false, 5);
    assert.is(w.counters[1].Skipped, 1);
    assert.is(slot.answers.length, 0);
    w.server.slots.get(id)!.writer.put(inRing({ ...message, bytes: pattern(9) }));
    assert.ok(w.run(() => slot.answers.length === 1, 100));
    assert.equal(slot.answers[0].bytes, pattern(9));
  }));

test('a server that streams: its client has the first bytes long before the last are written', () =>
  inWorld({ answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(7));
    w.run(() => w.server.requests.length === 1, 100);
    const [{ id, message }] = w.server.requests;
    const { writer } = w.server.slots.get(id)!;
    const whole = inRing({ ...message, bytes: pattern(6400, 3) });
    writer.put(whole.subarray(0, 3232));
    w.run(() => false, 300);
    assert.not(slot.failed);
    assert.ok(slot.reader.begun, 'the record came');
    assert.is(slot.open, 1);
    writer.put(whole.subarray(3232));
    assert.ok(w.run(() => slot.open === 0, 100));
    assert.equal(slot.answers[0].bytes, pattern(6400, 3));
  }));

test('little memory: messages longer than the rings that there are come through a reader, slowly', () =>
  inWorld({ streams: 16, streamBytes: 256 << 10, answer: () => pattern(9) }, w => {
    // The sender's ring takes the request; the server's has less room, and its application reads when it may.
    const [slot] = w.open();
    slot.call(to, pattern(60_000, 5));
    assert.ok(
      w.run(() => slot.open === 0 || slot.failed, 20_000),
      JSON.stringify([w.counters, w.a.view.info(slot.end.id)]),
    );
    assert.not(slot.failed, w.a.view.error(slot.end.id));
    assert.equal(w.server.requests[0].message.bytes, pattern(60_000, 5));
  }));

test('a reader that is slow stops the sender, and loses nothing', () =>
  inWorld({ streams: 16, streamBytes: 8 << 20 }, w => {
    const [slot] = w.open();
    const bytes = pattern(900_000, 8);
    slot.call(to, bytes);
    // The client's application reads nothing for a while, but its slot goes on.
    const { work } = slot;
    w.run(() => w.server.requests.length === 1, 1000);
    slot.work = () => slot.writer.work();
    w.run(() => false, 500);
    assert.not(slot.failed);
    slot.work = work;
    assert.ok(
      w.run(() => slot.open === 0, 1000),
      JSON.stringify([w.counters, w.a.view.info(slot.end.id)]),
    );
    assert.equal(slot.answers[0].bytes, backwards({ bytes }));
  }));

test('a channel that rests is given back, and the next call is as good as the first', () =>
  inWorld({}, w => {
    const [slot] = w.open();
    slot.call(to, pattern(10));
    w.run(() => slot.open === 0, 100);
    w.run(() => false, 5000);
    assert.is(w.counters[1].Closed, 1);
    assert.is(w.server.slots.size, 0);
    slot.call(to, pattern(20));
    assert.ok(w.run(() => slot.open === 0, 100));
    assert.is(w.counters[1].Opened, 2);
  }));

test('a message that is granted and does not come is not waited for by others of its peer', () =>
  inWorld({ answer: m => (m.bytes.length === 7 ? undefined : pattern(500_000, 4)) }, w => {
    const [slow, other] = w.open(2);
    slow.call(to, pattern(7));
    w.run(() => w.server.requests.length === 1, 100);
    const [{ id, message }] = w.server.requests;
    // Fewer bytes left than the other will have, and all but the end of it is written.
    const { writer } = w.server.slots.get(id)!;
    const whole = inRing({ ...message, bytes: pattern(400_000, 3) });
    writer.put(whole.subarray(0, 200_000));
    w.run(() => false, 50);
    other.call(to, pattern(8));
    assert.ok(
      w.run(() => other.open === 0, 100),
      JSON.stringify([w.counters, w.a.view.info(other.end.id)]),
    );
    writer.put(whole.subarray(200_000));
    assert.ok(w.run(() => slow.open === 0, 100));
    assert.equal(slow.answers[0].bytes, pattern(400_000, 3));
  }));

test('a server that closes its slot once it has answered: the answer arrives, over a wire that loses, too', () =>
  inWorld({ loss: 0.2, seed: 5, answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(40));
    w.run(() => w.server.requests.length === 1, 1000);
    const [{ id, message }] = w.server.requests;
    const { end, writer } = w.server.slots.get(id)!;
    writer.put(inRing({ ...message, bytes: pattern(20_000) }));
    w.run(() => !writer.waiting, 1000);
    end.request(StreamRequest.CLOSE);
    assert.ok(w.run(() => slot.open === 0 || slot.failed, 5000));
    assert.not(slot.failed, w.a.view.error(slot.end.id));
    assert.equal(slot.answers[0].bytes, pattern(20_000));
    assert.ok(w.run(() => w.server.slots.size === 0, 1000));
  }));

test('a call that was given up is not made when its request comes once more', () =>
  inWorld({ answer: () => undefined, duplicate: 1 }, w => {
    const [slot] = w.open();
    slot.call(to, pattern(40));
    w.run(() => w.server.requests.length === 1, 1000);
    w.server.slots.get(w.server.requests[0].id)!.end.request(StreamRequest.ABORT);
    assert.is(failure(w), 'ECONNRESET');
    w.run(() => false, 50);
    assert.is(w.server.requests.length, 1);
    const [next] = w.open();
    next.call(to, pattern(41));
    assert.ok(w.run(() => w.server.requests.length === 2, 100));
  }));
