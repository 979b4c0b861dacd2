import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, place, prefixes, status, toHex } from './headers.js';

const test = suite('wire: ipv6');
const ADDRESSES = 'fd000010000000000000000000000001 fd000010000000000000000000000002';
const packet = (next: string, payload: string): Uint8Array => {
  const bytes = hex(payload);
  return new Uint8Array([
    ...hex(`6a5bcdef ${bytes.length.toString(16).padStart(4, '0')} ${next} 40 ${ADDRESSES}`),
    ...bytes,
  ]);
};
/** What `walk` found: status, upper protocol, offset of it, offset of the fragment header. */
function walk(p: Uint8Array): [string, number, number, number] {
  const at = bench.putLast(p);
  assert.is(status(core.ipv6_check(at, p.length)), 'OK');
  const s = status(core.ipv6_walk(at));
  return [s, core.ipv6_upper_protocol(), core.ipv6_upper_at(), core.ipv6_fragment_at()];
}
const HOP = '2b00010400000000'; // → routing
const ROUTING = '3c00010400000000'; // → destination options
const OPTIONS = `1101${'00'.repeat(14)}`; // 16 bytes → UDP
const UDP = '0001000200080000';

test('a packet is whole with its payload length, padding may follow', () => {
  const p = packet('11', UDP);
  const got = prefixes(new Uint8Array([...p, 0]), core.ipv6_check);
  assert.ok(got.slice(0, p.length).every(s => s === 'TRUNCATED'));
  assert.equal(got.slice(p.length), ['OK', 'OK']);
  const bad = Uint8Array.from(p);
  bad[0] = 0x4a;
  assert.is(status(core.ipv6_check(bench.put(bad), bad.length)), 'BAD_VERSION');
});

test('getters read every field', () => {
  const p = bench.put(packet('11', UDP));
  assert.is(core.ipv6_traffic_class(p), 0xa5);
  assert.is(core.ipv6_flow_label(p), 0xbcdef);
  assert.is(core.ipv6_payload_length(p), 8);
  assert.is(core.ipv6_next_header(p), 17);
  assert.is(core.ipv6_hop_limit(p), 64);
  core.ipv6_set_hop_limit(p, 9);
  assert.is(core.ipv6_hop_limit(p), 9);
  assert.equal([core.ipv6_src(p) - p, core.ipv6_dst(p) - p], [8, 24]);
});

test('the walk ends at the upper layer, whatever stands before it', () => {
  assert.equal(walk(packet('11', UDP)), ['OK', 17, 40, 0]);
  assert.equal(walk(packet('00', HOP + ROUTING + OPTIONS + UDP)), ['OK', 17, 72, 0]);
  assert.equal(
    walk(packet('33', `06020000${'00'.repeat(12)}${'00'.repeat(20)}`)),
    ['OK', 6, 56, 0],
    'AH counts in fours',
  );
  assert.equal(walk(packet('3b', '')), ['OK', 59, 40, 0], 'no next header');
});

test('a fragment is found; behind a later one nothing is looked at', () => {
  assert.equal(walk(packet('2c', `11000001deadbeef${UDP}`)), ['OK', 17, 48, 40]);
  const at = bench.put(packet('2c', `11000001deadbeef${UDP}`));
  assert.equal(
    [core.ipv6_fragment_offset(at), !!core.ipv6_more_fragments(at), core.ipv6_fragment_id(at) >>> 0],
    [0, true, 0xdeadbeef],
  );
  // Next header 0 would be a hop-by-hop header, if this were not payload.
  assert.equal(walk(packet('2c', `00000588deadbeef${'ff'.repeat(8)}`)), ['OK', 0, 48, 40]);
  const later = bench.put(packet('2c', `00000588deadbeef${'ff'.repeat(8)}`));
  core.ipv6_walk(later);
  assert.is(core.ipv6_fragment_offset(later), 0x588);
});

test('a chain that leaves the packet, or does not end, is refused', () => {
  assert.is(walk(packet('00', '11ff000000000000'))[0], 'TRUNCATED');
  assert.is(walk(packet('2c', '110000'))[0], 'TRUNCATED');
  assert.is(walk(packet('3c', '3c00010400000000'.repeat(8)))[0], 'TOO_MANY_HEADERS');
  assert.is(walk(packet('3c', `${'3c00010400000000'.repeat(7)}1100010400000000`))[0], 'OK');
});

test('emit writes header and fragment header and nothing more', () => {
  const src = place(hex(ADDRESSES).subarray(0, 16));
  const dst = place(hex(ADDRESSES).subarray(16), 1);
  assert.is(
    emitted(40, p => core.ipv6_emit(p, 0xa5, 0xbcdef, 8, 17, 64, src, dst)),
    `40: ${toHex(packet('11', UDP).subarray(0, 40))}`,
  );
  assert.is(
    emitted(8, p => core.ipv6_emit_fragment(p, 17, 1416, true, 0xdeadbeef)),
    '8: 11000589deadbeef',
  );
});
