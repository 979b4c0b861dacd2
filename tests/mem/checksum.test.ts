import fc from 'fast-check';
import { benchCore } from '../support/bench_core.js';
import { Bench } from '../support/core.js';
import { assert, suite } from '../support/suite.js';

const test = suite('mem: checksum');
const { core, put, at } = (() => {
  const b = new Bench();
  return { core: benchCore(b.arena, 0), put: b.put.bind(b), at: b.at };
})();

/** RFC 1071 as it is written: 16-bit words in network order, carries added at the end. */
function reference(bytes: ArrayLike<number>, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
const swap16 = (n: number): number => ((n & 0xff) << 8) | (n >>> 8);
const partial = (ptr: number, len: number, seed: number): number => core.csum_partial(ptr, len, seed) >>> 0;
/** Folded checksum in network order of `bytes` lying at `offset` of the scratch memory. */
const ours = (bytes: Uint8Array, offset = 0): number =>
  swap16(core.csum_fold(partial(put(bytes, offset), bytes.length, 0)));

test('the example of RFC 1071 §3 sums to ddf2', () => {
  assert.is(ours(new Uint8Array([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), ~0xddf2 & 0xffff);
});

test('every length from 0 to 300 at every alignment agrees with the reference', () => {
  const bytes = new Uint8Array(300).map((_, i) => (i * 97 + 13) ^ (i >> 3));
  for (let n = 0; n <= 300; n++)
    for (const offset of [0, 1, 2, 3, 7])
      assert.is(ours(bytes.subarray(0, n), offset), reference(bytes.subarray(0, n)));
});

test('the batches of the benchmark sum alike, word by word and by vectors', () => {
  const bytes = new Uint8Array(1500).map((_, i) => i * 31);
  for (const n of [1, 20, 63, 64, 1499, 1500]) {
    const ptr = put(bytes.subarray(0, n));
    assert.is(core.csum_fold(core.csum_plain(ptr, n, 7)), core.csum_fold(partial(ptr, n, 7)));
    assert.is(core.csum_fold(core.csum_turn_plain(ptr, n, 9)), core.csum_fold(core.csum_turn(ptr, n, 9)));
  }
});

test('random bytes agree with the reference', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), fc.nat(63), (bytes, offset) => {
      assert.is(ours(bytes, offset), reference(bytes));
    }),
    { numRuns: 300 },
  );
});

test('no carry is lost in a long run of ones', () => {
  const bytes = new Uint8Array(1 << 19).fill(0xff);
  assert.is(ours(bytes), reference(bytes));
  bytes[0] = 0xfe;
  assert.is(ours(bytes), reference(bytes));
});

test('only zero bytes sum to zero, so that zero and all ones stay apart', () => {
  assert.is(partial(put(new Uint8Array(200)), 200, 0), 0);
  assert.is.not(partial(put(new Uint8Array(200).fill(255)), 200, 0), 0);
});

test('a sum may be made in pieces of even length, and taken apart again', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2, maxLength: 600 }),
      fc.nat(),
      fc.nat(0xffffffff),
      (bytes, cut, seed) => {
        const half = (cut % bytes.length) & ~1;
        const whole = partial(put(bytes), bytes.length, seed);
        const a = partial(at, half, seed);
        const b = partial(at + half, bytes.length - half, 0);
        assert.is(core.csum_fold(core.csum_add(a, b)), core.csum_fold(whole));
        assert.is(core.csum_fold(partial(at + half, bytes.length - half, a)), core.csum_fold(whole));
        // Zero has two forms in ones' complement: compare what is not zero.
        if (core.csum_fold(a) !== 0xffff && core.csum_fold(a) !== 0)
          assert.is(core.csum_fold(core.csum_sub(whole, b)), core.csum_fold(a));
      },
    ),
    { numRuns: 500 },
  );
});

test('an updated checksum is the checksum of the updated bytes (RFC 1624)', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 20, maxLength: 60 }),
      fc.nat(7),
      fc.nat(0xffffffff),
      (bytes, where, value) => {
        bytes[0] |= 1; // not all zero: a sum of zero has a form of its own
        const ptr = put(bytes);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const check = core.csum_fold(partial(ptr, bytes.length & ~1, 0));
        const offset = 2 + where * 2;
        const even = bytes.subarray(0, bytes.length & ~1);
        const old4 = view.getUint32(offset, true);
        const two = core.csum_replace2(check, old4 & 0xffff, value & 0xffff);
        view.setUint16(offset, value & 0xffff, true);
        assert.is(swap16(two), reference(even));
        view.setUint32(offset, old4, true);
        const four = core.csum_replace4(check, old4, value);
        const diff = core.csum_sub(value, old4);
        view.setUint32(offset, value, true);
        assert.is(swap16(four), reference(even));
        assert.is(swap16(core.csum_replace_by_diff(check, diff)), reference(even));
      },
    ),
    { numRuns: 500 },
  );
});

test('the erratum case of RFC 1624 §4 gives 0000, not ffff', () => {
  // HC = DD2F, a 16-bit field m = 5555 becomes 3285. In network order; memory order swaps all three.
  assert.is(swap16(core.csum_replace2(swap16(0xdd2f), swap16(0x5555), swap16(0x3285))), 0x0000);
});

test('pseudo headers agree with the reference', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.nat(0xffff),
      fc.nat(0xff),
      (addresses, length, protocol) => {
        const view = new DataView(addresses.buffer, addresses.byteOffset);
        const v4 = core.csum_pseudo4(view.getUint32(0, true), view.getUint32(4, true), length, protocol);
        assert.is(
          swap16(core.csum_fold(v4)),
          reference([...addresses.subarray(0, 8), 0, protocol, length >> 8, length & 255]),
        );
        const v6 = core.csum_pseudo6(put(addresses), length, protocol);
        assert.is(
          swap16(core.csum_fold(v6)),
          reference([...addresses, 0, 0, length >> 8, length & 255, 0, 0, 0, protocol]),
        );
      },
    ),
    { numRuns: 300 },
  );
});
