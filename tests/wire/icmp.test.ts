import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, place, prefixes, status, toHex } from './headers.js';

const test = suite('wire: icmp and icmpv6');
/** Echo request, id 4711, sequence 3, data "ping". */
const ECHO = hex('0800 05c4 1267 0003 70696e67');
const ADDRESSES = hex('fe800000000000000000000000000001 ff0200000000000000000001ff000002');
const SOLICITATION = hex('8700 0000 00000000 fe800000000000000000000000000002 0101 02000000000a');

test('a message is whole with 8 bytes', () => {
  for (const check of [core.icmp_check, core.icmpv6_check]) {
    const got = prefixes(ECHO.subarray(0, 9), check);
    assert.ok(got.slice(0, 8).every(s => s === 'TRUNCATED'));
    assert.equal(got.slice(8), ['OK', 'OK']);
  }
});

test('getters read an echo', () => {
  const p = bench.put(ECHO);
  assert.equal([core.icmp_type(p), core.icmp_code(p), core.icmp_id(p), core.icmp_seq(p)], [8, 0, 4711, 3]);
  assert.equal(
    [core.icmpv6_type(p), core.icmpv6_code(p), core.icmpv6_id(p), core.icmpv6_seq(p)],
    [8, 0, 4711, 3],
  );
});

test('emit writes an echo whose checksum covers the data', () => {
  const text = emitted(12, p => {
    bench.arena.u8.set(hex('70696e67'), p + 8);
    return core.icmp_emit(p, 8, 0, 4711, 3, 12);
  });
  const p = bench.put(hex(text.split(': ')[1]));
  assert.ok(core.icmp_checksum_ok(p, 12));
  assert.is(toHex(bench.take(p, 2)), '0800');
  assert.is(toHex(bench.take(p + 4, 8)), '1267000370696e67');
  bench.arena.u8[p + 11] ^= 1;
  assert.not.ok(core.icmp_checksum_ok(p, 12));
});

test('the ICMPv6 checksum covers the pseudo header', () => {
  const pseudo = core.csum_pseudo6(place(ADDRESSES), 12, 58);
  const p = bench.put(ECHO);
  core.icmpv6_emit(p, 128, 0, 4711, 3, 12, pseudo);
  assert.ok(core.icmpv6_checksum_ok(p, 12, pseudo));
  assert.not.ok(core.icmpv6_checksum_ok(p, 12, 0));
});

test('a neighbour message is checked with its options', () => {
  const got = prefixes(SOLICITATION, core.icmpv6_check_nd);
  assert.ok(got.slice(0, 24).every(s => s === 'TRUNCATED'));
  assert.is(got[24], 'OK', 'options may be missing');
  assert.ok(got.slice(25, 32).every(s => s === 'TRUNCATED'));
  assert.is(got[32], 'OK');
  const empty = Uint8Array.from(SOLICITATION);
  empty[25] = 0;
  assert.is(status(core.icmpv6_check_nd(bench.putLast(empty), 32)), 'BAD_OPTION');
  empty[25] = 2;
  assert.is(status(core.icmpv6_check_nd(bench.putLast(empty), 32)), 'TRUNCATED');
  const echo = Uint8Array.from(SOLICITATION);
  echo[0] = 128;
  assert.is(status(core.icmpv6_check_nd(bench.put(echo), 32)), 'BAD_TYPE');
});

test('a neighbour message is written and its parts are found again', () => {
  const about = place(SOLICITATION.subarray(8, 24));
  const mac = place(hex('02000000000a'), 1);
  const pseudo = core.csum_pseudo6(place(ADDRESSES, 2), 32, 58);
  const text = emitted(32, p => core.icmpv6_emit_nd(p, 135, 0, about, mac, pseudo));
  const p = bench.put(hex(text.split(': ')[1]));
  assert.ok(core.icmpv6_checksum_ok(p, 32, pseudo));
  assert.is(toHex(bench.take(core.icmpv6_target(p), 16)), toHex(SOLICITATION.subarray(8, 24)));
  assert.is(core.icmpv6_link_address(p, 32, 1) - p, 26);
  assert.is(core.icmpv6_link_address(p, 32, 2), 0);
  const answer = emitted(32, q => core.icmpv6_emit_nd(q, 136, 0x60000000, about, mac, pseudo));
  assert.match(answer, /^32: 8800....60000000.{32}020102000000000a$/);
});
