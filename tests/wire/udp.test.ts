import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, prefixes, status, toHex } from './headers.js';

const test = suite('wire: udp');
const DATAGRAM = hex('1267 0fa0 000c 0000 70696e67');
const PSEUDO = core.csum_pseudo4(0x01000a0a, 0x02000a0a, 12, 17);

test('a datagram is whole with its length, padding may follow', () => {
  const got = prefixes(new Uint8Array([...DATAGRAM, 0]), core.udp_check);
  assert.ok(got.slice(0, 12).every(s => s === 'TRUNCATED'));
  assert.equal(got.slice(12), ['OK', 'OK']);
  const short = Uint8Array.from(DATAGRAM);
  short[5] = 7;
  assert.is(status(core.udp_check(bench.put(short), 12)), 'BAD_LENGTH');
});

test('getters read and setters write', () => {
  const p = bench.put(DATAGRAM);
  assert.equal([core.udp_src_port(p), core.udp_dst_port(p), core.udp_length(p)], [4711, 4000, 12]);
  core.udp_set_src_port(p, 53);
  core.udp_set_dst_port(p, 65535);
  assert.equal([core.udp_src_port(p), core.udp_dst_port(p)], [53, 65535]);
});

test('no checksum is a right one; a made one is told from a wrong one', () => {
  const p = bench.put(DATAGRAM);
  assert.ok(core.udp_checksum_ok(p, PSEUDO));
  core.udp_fill_checksum(p, PSEUDO);
  assert.is.not(core.udp_checksum(p), 0);
  assert.ok(core.udp_checksum_ok(p, PSEUDO));
  bench.arena.u8[p + 9] ^= 4;
  assert.not.ok(core.udp_checksum_ok(p, PSEUDO));
});

test('a sum of zero is sent as all ones', () => {
  const p = bench.put(DATAGRAM);
  core.udp_fill_checksum(p, PSEUDO);
  // Moving the checksum into the data makes the sum of the rest zero.
  const made = bench.take(p + 6, 2);
  bench.arena.u8.set([0, 0], p + 8);
  bench.arena.u8.set([0, 0], p + 10);
  core.udp_fill_checksum(p, PSEUDO);
  const rest = bench.take(p + 6, 2);
  bench.arena.u8.set(rest, p + 8);
  core.udp_fill_checksum(p, PSEUDO);
  assert.is(toHex(bench.take(p + 6, 2)), 'ffff');
  assert.ok(core.udp_checksum_ok(p, PSEUDO));
  assert.is.not(toHex(made), 'ffff');
});

test('emit writes a header and nothing more', () => {
  const text = emitted(8, p => {
    bench.arena.u8.set(hex('eeeeeeee'), p + 8);
    return core.udp_emit(p, 4711, 4000, 12, PSEUDO);
  });
  assert.match(text, /^8: 12670fa0000c....$/);
  const p = bench.put([...hex(text.split(': ')[1]), ...hex('eeeeeeee')]);
  assert.ok(core.udp_checksum_ok(p, PSEUDO));
});
