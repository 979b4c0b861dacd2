/** Map configurations: what text stands for is the BTF type's say, and nothing is cut silently. */
import type { Btf, BtfType } from '../../../host/bpf/btf/btf.js';
import { encodeValue } from '../../../host/bpf/btf/codec.js';
import { configureMaps, type MapConfig } from '../../../host/bpf/config.js';
import { resolveText, resolveTyped, showText } from '../../../host/bpf/config_text.js';
import { EtherloomError } from '../../../host/errors.js';
import { formatIp, parseIp, parsePrefix } from '../../../host/wire/address.js';
import { loadObject } from '../../support/program_rig.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make } from './support.js';

const test = suite('bpf/config');
const int = (name: string, size: number): BtfType => ({
  kind: 'int',
  name,
  size,
  bits: size * 8,
  bitOffset: 0,
  signed: name === 'int' || name === 'char',
  char: false,
  bool: false,
});
const array = (type: number, count: number): BtfType => ({ kind: 'array', type, indexType: 3, count });
const types: BtfType[] = [
  { kind: 'void' },
  int('unsigned char', 1),
  int('unsigned short', 2),
  int('unsigned int', 4),
  int('char', 1),
  int('int', 4),
  array(1, 6),
  array(3, 4),
  array(4, 20),
  array(1, 16),
  array(2, 8),
];
const [U16, U32, S32, MAC, WORDS, TEXT, BYTES, HALVES] = [2, 3, 5, 6, 7, 8, 9, 10];
const btf: Btf = { types };
const bytes = (id: number, value: unknown): string =>
  Buffer.from(encodeValue(btf, id, resolveTyped(btf, id, value, 'value'))).toString('hex');
const refusal = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    if (error instanceof EtherloomError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'taken';
};

test('addresses and numbers are in network order, whatever integers hold them', () => {
  assert.is(bytes(U32, '10.0.0.255'), '0a0000ff');
  assert.is(bytes(S32, '255.0.0.1'), 'ff000001');
  assert.is(bytes(U16, 'be16:80'), '0050');
  assert.is(bytes(U32, 'be32:4294967295'), 'ffffffff');
  assert.is(bytes(MAC, '02:00:00:00:00:0b'), '02000000000b');
  for (const id of [WORDS, BYTES, HALVES])
    assert.is(bytes(id, 'fd00:10::1.2.3.4'), 'fd000010000000000000000001020304');
});

test('text of a char array is text, even if it looks like an address', () => {
  for (const text of ['10.0.0.1', 'fd00::1', '02:00:00:00:00:0b', 'be16:80'])
    assert.is(bytes(TEXT, text), Buffer.from(text.padEnd(20, '\0')).toString('hex'), text);
});

test('what does not fit is refused by name', () => {
  for (const [id, text, why] of [
    [U16, 'be16:70000', /ERR_CONFIG_TEXT value: "be16:70000"; expected be16:0 … be16:65535/],
    [U32, 'be16:80', /ERR_CONFIG_TEXT value: "be16:80" stands for 2 bytes; expected 4 bytes/],
    [U32, 'be32:-1', /ERR_CONFIG_TEXT/],
    [WORDS, 'fe80::1%eth0', /ERR_ADDRESS "fe80::1%eth0"/],
    [WORDS, '10.0.0.1', /stands for 4 bytes; expected 16 bytes/],
    [MAC, '02:00:00:00:00', /ERR_BTF_VALUE/],
    [U32, '10.0.0.256', /ERR_BTF_VALUE/],
  ] as const)
    assert.match(
      refusal(() => bytes(id, text)),
      why,
    );
});

test('without BTF the size decides', () => {
  const map = make(bench(), 'hash', 4, 6, 10);
  assert.equal(resolveText(map.spec, 'key', '10.0.0.1'), Uint8Array.of(10, 0, 0, 1));
  assert.equal(resolveText(map.spec, 'value', '02:00:00:00:00:01'), Uint8Array.of(2, 0, 0, 0, 0, 1));
  const entry: MapConfig = { m: [{ key: 'be16:1', value: '02:00:00:00:00:01' }] };
  assert.match(
    refusal(() => configureMaps({ m: map }, entry)),
    /ERR_CONFIG_ENTRY entry 0 of map "m": key: "be16:1" stands for 2 bytes; expected 4 bytes/,
  );
});

test('a trie takes prefixes as keys', () => {
  const trie = make(bench(), 'lpm_trie', 8, 4, 10, { flags: 1 });
  configureMaps({ t: trie }, { t: [{ key: '10.0.0.0/8', value: 7 }] });
  assert.is(new DataView((trie.get('10.1.2.3') as Uint8Array).buffer).getUint32(0, true), 7);
});

test('addresses survive the way to text and back', () => {
  for (const text of ['0.0.0.0', '255.1.2.3', '::', '::1', 'fd00:10::2', '1:2:3:4:5:6:7:8', '1::3:0:0:8'])
    assert.is(formatIp(parseIp(text)), text);
  assert.is(formatIp(parseIp('::ffff:10.1.2.3')), '::ffff:a01:203');
  assert.equal(parsePrefix('10.0.0.0/8').bits, 8);
});

test('what is printed of a map is in the words that configurations take: addresses and ports in network order', () => {
  const { maps } = loadObject('flow_stats');
  const spec = maps.flows;
  const key = resolveText(spec, 'key', {
    src: ['10.77.0.2', 0, 0, 0],
    dst: ['10.77.0.1', 0, 0, 0],
    sport: 'be16:33088',
    dport: 'be16:7777',
    protocol: 17,
  }) as Record<string, unknown>;
  const shown = showText(spec, 'key', key) as Record<string, unknown>;
  assert.equal(shown.src, ['10.77.0.2', '0.0.0.0', '0.0.0.0', '0.0.0.0']);
  assert.equal([shown.sport, shown.dport, shown.protocol], ['be16:33088', 'be16:7777', 17]);
  assert.equal(resolveText(spec, 'key', shown), key, 'and it is taken back');
});
