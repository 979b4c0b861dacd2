import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, prefixes, status } from './headers.js';

const test = suite('wire: tcp');
/** SYN with mss 1460, sackOK, a timestamp, nop, wscale 7. */
const SYN = hex(
  'a2b4 0050 11223344 00000000 a0 02 faf0 0000 0000 020405b4 0402 080a 01020304 00000000 01 030307',
);
const changed = (at: number, value: number): Uint8Array => {
  const p = Uint8Array.from(SYN);
  p[at] = value;
  return p;
};

test('a segment is whole with its data offset', () => {
  const got = prefixes(SYN, core.tcp_check);
  assert.ok(got.slice(0, 40).every(s => s === 'TRUNCATED'));
  assert.is(got[40], 'OK');
  assert.is(status(core.tcp_check(bench.put(changed(12, 0x40)), 40)), 'BAD_HEADER_LENGTH');
  assert.is(status(core.tcp_check(bench.put(changed(12, 0xb0)), 40)), 'TRUNCATED');
});

test('getters read every field and setters write the ports', () => {
  const p = bench.put(SYN);
  assert.equal([core.tcp_src_port(p), core.tcp_dst_port(p)], [0xa2b4, 80]);
  assert.equal([core.tcp_seq(p), core.tcp_ack(p)], [0x11223344, 0]);
  assert.equal([core.tcp_header_bytes(p), core.tcp_flags(p), core.tcp_window(p)], [40, 2, 64240]);
  core.tcp_set_src_port(p, 1);
  core.tcp_set_dst_port(p, 2);
  assert.equal([core.tcp_src_port(p), core.tcp_dst_port(p)], [1, 2]);
});

test('options are found by kind', () => {
  const p = bench.put(SYN);
  assert.is(status(core.tcp_check_options(p)), 'OK');
  assert.equal(
    [2, 4, 8, 3, 5, 30].map(kind => core.tcp_option(p, kind)),
    [20, 24, 26, 37, 0, 0],
  );
});

test('nothing is looked for behind the end of options', () => {
  const p = bench.put(changed(24, 0));
  assert.is(status(core.tcp_check_options(p)), 'OK');
  assert.equal([core.tcp_option(p, 2), core.tcp_option(p, 8)], [20, 0]);
});

test('an option that is too short, or leaves the header, is refused', () => {
  const check = (p: Uint8Array): string => status(core.tcp_check_options(bench.putLast(p)));
  assert.is(check(changed(21, 0)), 'BAD_OPTION');
  assert.is(check(changed(21, 1)), 'BAD_OPTION');
  assert.is(check(changed(38, 4)), 'BAD_OPTION');
  const alone = changed(37, 1);
  alone.set([1, 3], 38); // a kind at the last byte, without a length
  assert.is(check(alone), 'BAD_OPTION');
});

test('emit writes the fixed header; the checksum covers options and data', () => {
  const pseudo = core.csum_pseudo4(0x01000a0a, 0x02000a0a, 46, 6);
  const text = emitted(20, p => {
    bench.arena.u8.set(new Uint8Array(26).fill(0xee), p + 20);
    return core.tcp_emit(p, 0xa2b4, 80, 0x11223344, 0x55667788, 40, 0x18, 64240, 46, pseudo);
  });
  assert.match(text, /^40: a2b400501122334455667788a018faf0....0000$/);
  const p = bench.put([...hex(text.split(': ')[1]), ...new Uint8Array(26).fill(0xee)]);
  assert.ok(core.tcp_checksum_ok(p, 46, pseudo));
  bench.arena.u8[p + 45] ^= 1;
  assert.not.ok(core.tcp_checksum_ok(p, 46, pseudo));
  core.tcp_fill_checksum(p, 46, pseudo);
  assert.ok(core.tcp_checksum_ok(p, 46, pseudo));
});
