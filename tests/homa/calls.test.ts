/** Calls by slots, over a wire that is good, and over one that is not: each exactly once, and the bytes as they were. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { ADDRESS, backwards, inWorld, PORT } from './world.js';

const test = suite('homa: calls');
const SIZES = [0, 1, 31, 32, 33, 1400, 1424, 1425, 4096, 20_000, 100_000, 1_000_000];

for (const family of [4, 6] as const)
  test(`messages of ${SIZES[0]} to ${SIZES.at(-1)} bytes arrive as they were, and answers, over IPv${family}`, () =>
    inWorld({}, w => {
      for (const size of SIZES) {
        const bytes = pattern(size, size + family);
        assert.equal(w.call(bytes, { family }), backwards({ bytes }), `${size} B`);
      }
      const [a, b] = w.counters;
      assert.is(a.CallsOut, SIZES.length);
      assert.is(b.CallsIn, SIZES.length);
      assert.is(a.Retransmits ?? 0, 0);
      assert.is(b.Retransmits ?? 0, 0);
    }));

test('calls on a slot follow one another, and need no packets but their own', () =>
  inWorld({}, w => {
    const [slot] = w.open();
    for (let i = 0; i < 100; i++) slot.call({ address: ADDRESS[4][1], port: PORT }, pattern(32, i));
    assert.ok(w.run(() => slot.open === 0, 1000));
    for (const [i, m] of slot.answers.entries()) {
      assert.is(m.call, i);
      assert.equal(m.bytes, backwards({ bytes: pattern(32, i) }));
    }
    const [a, b] = w.counters;
    assert.equal([a.DataOut, b.DataOut, b.Opened], [100, 100, 1]);
    assert.is(a.Acks ?? 0, 0);
  }));
