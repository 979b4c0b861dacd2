/** Rings for which there is little memory: messages go on as room comes back, and wait for no clock. */
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { forged } from './forged.js';
import { ADDRESS, inWorld, PORT } from './world.js';

const test = suite('homa: little memory');

test('a sender whose ring takes a part of the message is told what has arrived, and goes on', () =>
  inWorld({ streams: 32, streamBytes: 96 << 10, answer: () => pattern(9), delayNs: 20_000 }, w => {
    const [slot] = w.open();
    const bytes = pattern(60_000, 5);
    const begun = w.engine.now();
    slot.call({ address: ADDRESS[4][1], port: PORT }, bytes);
    assert.ok(w.run(() => slot.open === 0 || slot.failed, 20_000));
    assert.is(sha(w.server.requests[0].message.bytes), sha(bytes));
    const ms = Number(w.engine.now() - begun) / 1e6;
    assert.ok(ms < 4, `${ms} ms`);
    assert.is(w.counters[1].Resends ?? 0, 0);
  }));

test('bytes that found no room are asked for when the application has read', () =>
  forged({ streams: 32, bytes: 96 << 10, answer: () => undefined }, f => {
    const bytes = pattern(39_200, 6);
    const lengths = { messageLength: bytes.length, incoming: bytes.length };
    const put = (offset: number): void =>
      f.put(f.data(5n, 7, bytes.subarray(offset, offset + 1400), { ...lengths, offset }));
    for (let offset = 0; offset < bytes.length; offset += 1400) put(offset);
    let ms = 0;
    for (; ms < 100 && f.server.requests.length === 0; ms++) {
      f.pass(1);
      for (const { packet: p } of f.out.splice(0))
        if (p.type === 'RESEND')
          for (
            let at = p.offset - (p.offset % 1400);
            at < Math.min(bytes.length, p.offset + p.length);
            at += 1400
          )
            put(at);
    }
    assert.is(sha(f.server.requests[0].message.bytes), sha(bytes));
    assert.ok(f.counters.NoRoom > 0, 'there was no room');
    assert.ok(ms < 10, `${ms} ms`);
  }));
