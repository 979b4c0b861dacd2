import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, place, prefixes, status, toHex } from './headers.js';

const test = suite('wire: eth');
const PLAIN = hex('02000000000b 02000000000a 0800 4500');
const TAGGED = hex('02000000000b 02000000000a 8100 6064 86dd 6000');
const DOUBLE = hex('02000000000b 02000000000a 88a8 00c8 8100 0064 0806 0001');

test('a header is whole with 14 bytes, 18 with a tag, 22 with two', () => {
  for (const [frame, bytes] of [
    [PLAIN, 14],
    [TAGGED, 18],
    [DOUBLE, 22],
  ] as const) {
    const got = prefixes(frame, core.eth_check);
    assert.ok(got.slice(0, bytes).every(s => s === 'TRUNCATED'));
    assert.ok(got.slice(bytes).every(s => s === 'OK'));
  }
});

test('a third tag is refused', () => {
  const frame = hex('02000000000b 02000000000a 8100 0001 8100 0002 8100 0003 0800');
  assert.is(status(core.eth_check(bench.put(frame), frame.length)), 'TOO_MANY_HEADERS');
});

test('getters find addresses, tag and payload', () => {
  const p = bench.put(TAGGED);
  assert.is(core.eth_type(p), 0x8100);
  assert.ok(core.eth_is_tag(0x88a8) && !core.eth_is_tag(0x0800));
  assert.is(core.eth_tci(p), 0x6064);
  assert.is(core.eth_payload(p), 18);
  assert.is(core.eth_type_before(p, 18), 0x86dd);
  assert.equal([core.eth_dst(p) - p, core.eth_src(p) - p], [0, 6]);
  assert.is(core.eth_payload(bench.put(DOUBLE)), 22);
  assert.is(core.eth_payload(bench.put(PLAIN)), 14);
});

test('setters write what getters read', () => {
  const p = bench.put(TAGGED);
  core.eth_set_tci(p, 0x2fff);
  core.eth_set_type(p, 0x88a8);
  assert.equal([core.eth_tci(p), core.eth_type(p)], [0x2fff, 0x88a8]);
});

test('exchanging the addresses leaves the rest alone', () => {
  const p = bench.put(PLAIN);
  core.eth_swap_addresses(p);
  assert.is(toHex(bench.take(p, 16)), '02000000000a02000000000b08004500');
});

test('emit writes plain and tagged headers and nothing more', () => {
  const to = place(hex('02000000000b'));
  const from = place(hex('02000000000a'), 1);
  assert.is(
    emitted(14, p => core.eth_emit(p, to, from, 0x0800)),
    '14: 02000000000b02000000000a0800',
  );
  assert.is(
    emitted(18, p => core.eth_emit_tagged(p, to, from, 0x8100, 0x6064, 0x86dd)),
    '18: 02000000000b02000000000a8100606486dd',
  );
  const p = bench.put(new Uint8Array(6));
  core.eth_copy_mac(p, from);
  assert.is(toHex(bench.take(p, 6)), '02000000000a');
});
