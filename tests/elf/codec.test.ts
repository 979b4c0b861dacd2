import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Btf, BtfType } from '../../host/bpf/btf/btf.js';
import { decodeValue, encodeValue } from '../../host/bpf/btf/codec.js';
import { declaration, formatMaps, summarizeMaps } from '../../host/bpf/btf/print.js';
import { findType, layout, sizeOf } from '../../host/bpf/btf/types.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import { EtherloomError } from '../../host/errors.js';
import { FIXTURES } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf/codec');

const collection = loadElf(readFileSync(join(FIXTURES, 'maps.bpf.o')), 'maps.bpf.o');
const btf = collection.btf!;
const flow = findType(btf, 'flow', 'struct')!;
const FLOW = {
  packets: 2n ** 63n + 1n,
  bytes: 5n,
  flags: 17,
  state: 5,
  mark: 0xdeadbeef,
  name: 'eth0',
  u: { word: 0x04030201, bytes4: [1, 2, 3, 4] },
  verdict: 'VERDICT_DROP',
  delta: -300,
  seen: true,
};
const refusal = (body: () => unknown): EtherloomError => {
  try {
    body();
  } catch (error) {
    if (error instanceof EtherloomError) return error;
  }
  throw new Error('it was accepted');
};

test('a value of every kind of field goes to bytes and back', () => {
  const bytes = encodeValue(btf, flow, { ...FLOW, u: { word: 0x04030201 } });
  assert.is(bytes.length, sizeOf(btf, flow));
  assert.equal(decodeValue(btf, flow, bytes), FLOW);
});

test('fields lie where the C compiler puts them', () => {
  const bytes = encodeValue(btf, flow, FLOW);
  const view = new DataView(bytes.buffer);
  assert.is(view.getBigUint64(0, true), FLOW.packets);
  assert.is(bytes[16], 17 | (5 << 5), 'bit fields share a byte');
  assert.is(view.getUint32(20, true), 0xdeadbeef);
  assert.is(Buffer.from(bytes.subarray(24, 29)).toString('latin1'), 'eth0\0');
  assert.is(view.getUint32(44, true), 5, 'enum');
  assert.is(view.getInt16(48, true), -300);
  assert.is(bytes[50], 1);
});

test('fields that are left out are zero; a char array that is no text decodes to numbers', () => {
  const bytes = encodeValue(btf, flow, { name: [1, 2, 255] });
  assert.is(bytes.filter(b => b !== 0).length, 3);
  const back = decodeValue(btf, flow, bytes) as { name: number[]; verdict: string };
  assert.equal(back.name.slice(0, 4), [1, 2, 255, 0]);
  assert.is(back.verdict, 'VERDICT_NONE');
});

test('an enum value without a name is its number', () => {
  const bytes = encodeValue(btf, flow, { verdict: 6 });
  assert.is((decodeValue(btf, flow, bytes) as { verdict: unknown }).verdict, 6);
});

test('what does not fit is refused with the path of the field', () => {
  const cases: [unknown, RegExp][] = [
    [{ flags: 32 }, /flags: 32; expected a whole number, 0–31/],
    [{ delta: 40000 }, /delta: 40000; expected a whole number, -32768–32767/],
    [{ packets: -1 }, /packets: -1/],
    [{ mark: 1.5 }, /mark: 1\.5/],
    [{ nothing: 1 }, /nothing: no such field; expected packets, bytes/],
    [{ u: { bytes4: [1, 2, 3, 4, 5] } }, /u\.bytes4: 5 elements/],
    [{ u: { bytes4: [1, 300] } }, /u\.bytes4\[1\]: 300/],
    [{ verdict: 'VERDICT_MAYBE' }, /verdict: "VERDICT_MAYBE"; expected a value of enum verdict/],
    [{ name: 'a name that is too long for it' }, /name: 30 elements/],
    [7, /value: 7; expected an object with fields of struct flow/],
  ];
  for (const [value, message] of cases) {
    const error = refusal(() => encodeValue(btf, flow, value));
    assert.is(error.code, 'ERR_BTF_VALUE');
    assert.match(error.message, message);
  }
  assert.is(refusal(() => decodeValue(btf, flow, new Uint8Array(55))).code, 'ERR_BTF_VALUE');
});

test('variables of a data section decode by name', () => {
  const { maps } = loadElf(readFileSync(join(FIXTURES, 'globals.bpf.o')), 'globals.bpf.o');
  const decode = (name: string) => {
    const { btf: types, contents } = maps[name];
    return decodeValue(types!.types, types!.valueId, contents!) as Record<string, unknown>;
  };
  assert.equal(decode('.rodata'), {
    limit: 7,
    config: { port: 443, mac: [2, 0, 0, 0, 0, 1] },
    table: [10n, 20n, 30n, 40n],
  });
  assert.equal(decode('.data'), { initialised: 0x1122334455667788n, hidden_counter: 3 });
});

test('layout opens anonymous members and gives offsets from the outside', () => {
  const types: BtfType[] = [
    { kind: 'void' },
    { kind: 'int', name: 'u32', size: 4, bits: 32, bitOffset: 0, signed: false, char: false, bool: false },
    {
      kind: 'struct',
      name: 'outer',
      size: 12,
      members: [
        { name: 'a', type: 1, bitOffset: 0, bitSize: 0 },
        { name: '', type: 3, bitOffset: 32, bitSize: 0 },
      ],
    },
    {
      kind: 'struct',
      name: '',
      size: 8,
      members: [
        { name: 'b', type: 1, bitOffset: 0, bitSize: 0 },
        { name: 'c', type: 1, bitOffset: 32, bitSize: 0 },
      ],
    },
  ];
  const made: Btf = { types };
  assert.equal(
    layout(made, 2).map(m => [m.name, m.bitOffset]),
    [
      ['a', 0],
      ['b', 32],
      ['c', 64],
    ],
  );
  const bytes = encodeValue(made, 2, { a: 1, b: 2, c: 3 });
  assert.equal([...bytes], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
  assert.equal(decodeValue(made, 2, bytes), { a: 1, b: 2, c: 3 });
});

test('a type that contains itself is refused, not followed', () => {
  const types: BtfType[] = [
    { kind: 'void' },
    { kind: 'struct', name: '', size: 8, members: [{ name: '', type: 1, bitOffset: 0, bitSize: 0 }] },
    { kind: 'typedef', name: 'loop', type: 2 },
    { kind: 'array', type: 3, indexType: 1, count: 2 },
  ];
  for (const body of [
    () => decodeValue({ types }, 1, new Uint8Array(8)),
    () => encodeValue({ types }, 1, { x: 1 }),
    () => layout({ types }, 1),
    () => sizeOf({ types }, 2),
    () => sizeOf({ types }, 3),
  ])
    assert.is(refusal(body).code, 'ERR_BTF_TYPE');
});

test('floats of 4 and 8 bytes have values, others are refused', () => {
  const types = (size: number): Btf => ({ types: [{ kind: 'void' }, { kind: 'float', name: 'f', size }] });
  for (const size of [4, 8]) {
    const bytes = encodeValue(types(size), 1, -1.5);
    assert.is(bytes.length, size);
    assert.is(decodeValue(types(size), 1, bytes), -1.5);
  }
  for (const size of [2, 16]) {
    assert.is(refusal(() => encodeValue(types(size), 1, 1)).code, 'ERR_BTF_TYPE');
    assert.is(refusal(() => decodeValue(types(size), 1, new Uint8Array(16))).code, 'ERR_BTF_TYPE');
  }
});

test('types and maps print as the C that would make them', () => {
  assert.is(declaration(btf, flow, 'f'), 'struct flow f');
  const text = formatMaps(collection);
  assert.match(text, /struct flow_key \{\n\tu32 saddr; \/\* 0 \*\//);
  assert.match(text, /u32 state : 3; \/\* 16\.5 \*\//);
  assert.match(text, /__uint\(type, BPF_MAP_TYPE_HASH\);\n\t__type\(key, struct flow_key\);/);
  assert.match(text, /__array\(values, struct \{/);
  const globals = loadElf(readFileSync(join(FIXTURES, 'globals.bpf.o')), 'globals.bpf.o');
  assert.match(formatMaps(globals), /const volatile struct \{ u16 port; u8 mac\[6\]; \} config; \/\* 4 \*\//);
  const flows = summarizeMaps(collection).find(m => m.name === 'flows')!;
  assert.equal([flows.key, flows.value, flows.usedBy], ['struct flow_key', 'struct flow', ['first']]);
});
