import { assert, suite } from '../support/suite.js';
import { bench, core, emitted, hex, inMemory, place, prefixes, status } from './headers.js';

const test = suite('wire: arp');
const REQUEST = hex('0001 0800 06 04 0001 02000000000a 0a0a0001 000000000000 0a0a0002');

test('a packet is whole with 28 bytes, padding may follow', () => {
  const got = prefixes(new Uint8Array([...REQUEST, 0, 0]), core.arp_check);
  assert.ok(got.slice(0, 28).every(s => s === 'TRUNCATED'));
  assert.equal(got.slice(28), ['OK', 'OK', 'OK']);
});

test('only Ethernet and IPv4 are taken', () => {
  for (const [at, value, expected] of [
    [1, 6, 'BAD_TYPE'],
    [3, 6, 'BAD_TYPE'],
    [4, 8, 'BAD_LENGTH'],
    [5, 16, 'BAD_LENGTH'],
  ] as const) {
    const bad = Uint8Array.from(REQUEST);
    bad[at] = value;
    assert.is(status(core.arp_check(bench.put(bad), bad.length)), expected, `byte ${at}`);
  }
});

test('getters find operation and addresses', () => {
  const p = bench.put(REQUEST);
  assert.is(core.arp_oper(p), 1);
  assert.equal([core.arp_sha(p) - p, core.arp_tha(p) - p], [8, 18]);
  assert.is(core.arp_spa(p) >>> 0, inMemory(hex('0a0a0001')));
  assert.is(core.arp_tpa(p) >>> 0, inMemory(hex('0a0a0002')));
  core.arp_set_oper(p, 2);
  assert.is(core.arp_oper(p), 2);
});

test('emit writes a reply and nothing more', () => {
  const from = place(hex('02000000000b'));
  const to = place(hex('02000000000a'), 1);
  assert.is(
    emitted(28, p => core.arp_emit(p, 2, from, inMemory(hex('0a0a0002')), to, inMemory(hex('0a0a0001')))),
    '28: 000108000604000202000000000b0a0a000202000000000a0a0a0001',
  );
});
