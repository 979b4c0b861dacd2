import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, inMemory, prefixes, status, toHex } from './headers.js';

const test = suite('wire: ipv4');
/** The header of RFC 1071 lectures: its checksum is b861. */
const HEADER = hex('4500 0073 0000 4000 40 11 b861 c0a80001 c0a800c7');
const PACKET = new Uint8Array(0x73);
PACKET.set(HEADER);
const changed = (at: number, value: number): Uint8Array => {
  const p = Uint8Array.from(PACKET);
  p[at] = value;
  return p;
};
const check = (p: Uint8Array): string => status(core.ipv4_check(bench.putLast(p), p.length));

test('a packet is whole with its total length, padding may follow', () => {
  const got = prefixes(new Uint8Array([...PACKET, 0, 0]), core.ipv4_check);
  assert.ok(got.slice(0, 0x73).every(s => s === 'TRUNCATED'));
  assert.equal(got.slice(0x73), ['OK', 'OK', 'OK']);
});

test('version, header length and total length are held to their limits', () => {
  assert.is(check(changed(0, 0x65)), 'BAD_VERSION');
  assert.is(check(changed(0, 0x44)), 'BAD_HEADER_LENGTH');
  assert.is(check(changed(3, 19)), 'BAD_LENGTH');
  assert.is(check(changed(3, 20)), 'OK');
  const long = changed(0, 0x4f);
  long[3] = 59;
  assert.is(check(long), 'BAD_LENGTH');
});

test('getters read every field', () => {
  const p = bench.put(hex('4658 0073 abcd 60b9 3f 06 0000 0a0a0001 0a0a0002 01010100'));
  assert.is(core.ipv4_header_bytes(p), 24);
  assert.is(core.ipv4_tos(p), 0x58);
  assert.is(core.ipv4_total_length(p), 0x73);
  assert.is(core.ipv4_id(p), 0xabcd);
  assert.is(core.ipv4_fragment_offset(p), 0xb9 * 8);
  assert.ok(core.ipv4_more_fragments(p) && core.ipv4_is_fragment(p));
  assert.is(core.ipv4_ttl(p), 63);
  assert.is(core.ipv4_protocol(p), 6);
  assert.is(core.ipv4_src(p) >>> 0, inMemory(hex('0a0a0001')));
  assert.is(core.ipv4_dst(p) >>> 0, inMemory(hex('0a0a0002')));
  core.ipv4_set_src(p, 1);
  core.ipv4_set_dst(p, 2);
  assert.equal([core.ipv4_src(p), core.ipv4_dst(p)], [1, 2]);
});

test('a fragment is a packet with more to come or with an offset, not one that forbids it', () => {
  const word = (high: number, low: number): boolean => {
    const p = Uint8Array.from(HEADER);
    p.set([high, low], 6);
    return !!core.ipv4_is_fragment(bench.put(p));
  };
  assert.equal(
    [word(0x20, 0), word(0, 1), word(0x1f, 0), word(0x40, 0), word(0, 0)],
    [true, true, true, false, false],
  );
});

test('the checksum is told right from wrong, and made', () => {
  const p = bench.put(HEADER);
  assert.is(core.ipv4_checksum(p), inMemory(hex('b861')));
  assert.ok(core.ipv4_checksum_ok(p));
  bench.put(hex('b860'), 10);
  assert.not.ok(core.ipv4_checksum_ok(p));
  core.ipv4_fill_checksum(p);
  assert.is(toHex(bench.take(p, 20)), toHex(HEADER));
});

test('taking one from the TTL keeps the checksum right at every TTL', () => {
  for (let ttl = 1; ttl < 256; ttl++) {
    const header = Uint8Array.from(HEADER);
    header[8] = ttl;
    const p = bench.put(header);
    core.ipv4_fill_checksum(p);
    assert.is(core.ipv4_decrease_ttl(p), ttl - 1);
    assert.ok(core.ipv4_checksum_ok(p), `from ${ttl}`);
    assert.is(core.ipv4_protocol(p), 0x11);
  }
});

test('emit writes a header with its checksum and nothing more', () => {
  const [src, dst] = [inMemory(hex('c0a80001')), inMemory(hex('c0a800c7'))];
  assert.is(
    emitted(20, p => core.ipv4_emit(p, 0, 0x73, 0, 0x4000, 64, 17, src, dst)),
    `20: ${toHex(HEADER)}`,
  );
});

test('the pseudo header is what udp and tcp are summed with', () => {
  const p = bench.put(HEADER);
  const a = core.ipv4_pseudo(p, 17, 95);
  assert.is(a >>> 0, core.csum_pseudo4(inMemory(hex('c0a80001')), inMemory(hex('c0a800c7')), 95, 17) >>> 0);
});
