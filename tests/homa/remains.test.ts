/** What a lane leaves when it dies between two words, what comes by the wrong lane, and clocks that nobody winds. */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { forged, PEER, PORT } from './forged.js';
import { inRing } from './slots.js';
import { inWorld } from './world.js';

const test = suite('homa: remains');
const half = { messageLength: 2800, incoming: 2800 };

test('an answer that is written before its request is whole goes when that is', () =>
  forged({ answer: () => undefined }, f => {
    f.put(f.data(5n, 7, pattern(1400), half));
    f.pass(0.5);
    const [{ reader, writer }] = f.server.slots.values();
    const { address, port, call } = reader.begun!;
    writer.put(inRing({ call, address, port, bytes: Buffer.from('no') }));
    // Control packets go meanwhile: what is missing is asked for.
    f.pass(30);
    const asked = f.types();
    assert.ok(asked.includes('RESEND') && !asked.includes('DATA'), asked.join());
    f.put(f.data(5n, 7, pattern(1400), { ...half, offset: 1400 }));
    f.pass(0.5);
    const [{ packet }] = f.out;
    assert.is(packet.type === 'DATA' && Buffer.from(packet.payload).toString(), 'no');
    assert.is(f.counters.Skipped ?? 0, 0);
  }));

test('a request that became whole when the lane died: its application is told', () =>
  forged({}, f => {
    f.put(f.data(5n, 7, pattern(1400), half));
    f.pass(0.1);
    const [id] = f.served;
    // Behind `in_next = end`, before homa_tell.
    f.word('homa_rpcs', id, 'in_next').set(2800);
    f.server.slots.get(id)!.end.request(StreamRequest.REVIVED);
    f.server.app.flush();
    f.pass(1);
    assert.is(f.server.requests.length, 1);
  }));

test('a request that was begun when the lane died is taken when it comes again', () =>
  forged({}, f => {
    f.put(f.data(5n, 7, pattern(1400), half));
    f.pass(0.1);
    f.word('homa_rpcs', f.served[0], 'in_len').set(0xffffffff);
    f.put(f.data(5n, 7, pattern(1400), { ...half, offset: 1400 }));
    f.pass(1);
    assert.is(f.server.requests.length, 1);
  }));

test('an ACK that comes again when the lane died at the first one moves nothing further', () =>
  forged({ answer: m => Buffer.concat([Buffer.from('re: '), m.bytes]) }, f => {
    f.put(f.data(5n, 7, 'first'));
    f.pass(1);
    // Behind `out_at`, before the message is forgotten.
    const at = f.word('homa_rpcs', f.served[0], 'out_at');
    at.set(at.get() + 64);
    f.put(f.ack(5n, 7));
    f.pass(0.1);
    f.out.length = 0;
    for (let call = 6n; call < 10n; call++) {
      f.put(f.data(call, 7, `call ${call}`));
      f.pass(1);
    }
    const answers = f.out.flatMap(({ packet: p }) =>
      p.type === 'DATA' ? [Buffer.from(p.payload).toString()] : [],
    );
    assert.equal(answers, ['re: call 6', 're: call 7', 're: call 8', 're: call 9']);
  }));

test('a pacer that believes that somebody waits sleeps all the same', () =>
  inWorld({ rate: 10e9, delayNs: 10_000, homa: { linkMbps: 10_000 } }, w => {
    w.call(new Uint8Array(100_000));
    w.run(() => false, 50);
    const live = (
      w.a.messages as unknown as {
        live: { records(name: string): { at: number; fields: Record<string, { at: number }> } };
      }
    ).live;
    const { at, fields } = live.records('homa_pacers');
    w.engine.arena.dv.setUint32(at + fields.waits.at, 1, true);
    w.call(new Uint8Array(1_000_000));
    w.run(() => false, 3000);
    let turns = 0;
    w.run(() => ++turns === 0, 10);
    assert.ok(turns < 20, `${turns} turns in 10 ms at rest`);
  }));

test('an ACK that comes in at another lane is handed over', () =>
  forged({ lanes: 2 }, f => {
    f.put(f.data(5n, 7, 'hello'), { queue: 1 });
    f.pass(8);
    assert.ok(f.types().includes('NEED_ACK'));
    f.put(f.ack(5n, 7), { queue: 0 });
    f.pass(150);
    assert.is(f.types().length, 0);
    assert.is(f.counters.Timeouts ?? 0, 0);
    assert.equal(f.server.failed, []);
  }));

test('a neighbour that has not answered yet is given its time, however often it is looked', () =>
  forged({ alone: true }, f => {
    const client = f.messages.client({ app: f.caller.number });
    const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
    const { end } = f.open(id);
    f.step();
    const address = Uint8Array.of(10, 0, 0, 1);
    const ring = inRing({ call: 0, address, port: PORT, bytes: new Uint8Array(2800) });
    for (let at = 0; at < ring.length; at++) {
      assert.is(end.write(ring.subarray(at, at + 1)), 1);
      f.caller.flush();
      while (f.engine.step() !== 0);
      assert.is(f.view.error(id), undefined);
    }
    f.pass(2500);
    assert.is(f.view.error(id), undefined);
    f.pass(1000);
    assert.is(f.view.error(id), 'EHOSTUNREACH');
  }));

test('a slot whose neighbour was unknown, and that waits for a request, has its clock still', () =>
  forged({ answer: () => undefined }, f => {
    f.put(f.data(5n, 7, pattern(1400), half));
    f.pass(0.1);
    const [id] = f.served;
    // Its last control packet found no neighbour, and nothing is due since.
    f.bytes('homa_rpcs', 'unresolved_ns', id).dv.setBigUint64(
      f.bytes('homa_rpcs', 'unresolved_ns', id).at,
      1n,
      true,
    );
    f.pass(3000);
    assert.equal(f.served, []);
  }));

test('an IPv6 packet of a mapped address is no IPv4 host’s', () =>
  forged({ answer: () => undefined }, f => {
    f.put(f.data(5n, 7, 'v4'));
    f.pass(1);
    f.put(f.data(6n, 7, 'v6'), { src: `::ffff:${PEER}`, dst: 'fd00::2' });
    f.pass(1);
    assert.equal(f.seen, ['v4']);
    assert.is(f.counters.BadPackets, 1);
  }));
