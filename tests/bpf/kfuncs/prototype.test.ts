/** Rows: what is read off a C prototype, which rows are refused, and which prototypes of object files fit. */
import type { BtfType } from '../../../host/bpf/btf/btf.js';
import { prototypeMismatch } from '../../../host/bpf/kfuncs/btf.js';
import { defineKfuncs, type KfuncRow, type KfuncTypes } from '../../../host/bpf/kfuncs/kfunc.js';
import { kfuncByName, registerKfuncs } from '../../../host/bpf/kfuncs.js';
import { assert, suite } from '../../support/suite.js';
import '../../support/test_kfuncs.js';

const test = suite('kfuncs: prototypes');

const types: KfuncTypes = { structs: { pair: 16 }, objects: { thing: 0, test_record: 16 } };
const define = (prototype: string, more: Partial<KfuncRow> = {}) =>
  defineKfuncs(types, [{ prototype, types: ['xdp'], doc: 'x', ...more }])[0];

test('kinds of arguments, and the Wasm signature, are read off types and suffixes', () => {
  const k = define(
    'u64 f(struct xdp_md *ctx, const void *data__nullable, u32 data__sz, struct pair *p, u64 n__k)',
  );
  assert.equal(k.args, [
    { kind: 'ctx', name: 'ctx' },
    { kind: 'memory', name: 'data__nullable', bytes: undefined, write: false, nullable: true },
    { kind: 'size', name: 'data__sz', constant: false },
    { kind: 'memory', name: 'p', bytes: 16, write: true, nullable: false },
    { kind: 'constant', name: 'n__k' },
  ]);
  assert.equal(k.wasm, { name: 'f', args: 'ppwpd', result: 'd' });
  const g = define('int g(void *m__map, const char *s__str, void *any__ign, u32 *word, bool flag)', {
    mapTypes: ['array'],
  });
  assert.equal(
    g.args.map(a => a.kind),
    ['map', 'string', 'ignored', 'memory', 'scalar'],
  );
  assert.equal(g.wasm, { name: 'g', args: 'ppppw', result: 'i' });
  const h = define('struct thing *h(void)', { flags: ['acquire', 'ret_null'], exportName: 'make' });
  assert.equal(h.wasm, { name: 'make', args: '', result: 'p' });
  assert.is(h.acquires && h.mayBeNull, true);
  assert.is(define('void r(u32 a, struct thing *t)', { flags: ['release'] }).releases, 1);
  assert.is(h.prototype, 'struct thing *h(void)');
});

test('a row that says nothing sensible is refused with its fault', () => {
  const refused: [string, Partial<KfuncRow>, RegExp][] = [
    ['int f', {}, /is no prototype/],
    ['int f(u32 a, u32 b, u32 c, u32 d, u32 e, u32 f)', {}, /6 arguments/],
    ['int f(word a)', {}, /no type "word"/],
    ['int f(u32)', {}, /has no name/],
    ['int f(char **p)', {}, /pointer to a pointer/],
    ['u16 f(void)', {}, /less than 32 bits/],
    ['int f(void *p)', {}, /unknown size/],
    ['int f(u32 n__sz)', {}, /follows no pointer/],
    ['int f(struct other *o)', {}, /neither among its structs nor its objects/],
    ['int f(struct __sk_buff *skb)', {}, /context of xdp programs is no struct __sk_buff/],
    ['int f(void *m__map)', {}, /mapTypes/],
    ['int f(u32 a)', { flags: ['acquire'] }, /pointer to an object/],
    ['void f(u32 a)', { flags: ['release'] }, /releases one object/],
    ['void f(struct thing *a, struct thing *b)', { flags: ['release'] }, /releases one object/],
    ['u32 *f(void)', {}, /points to an object/],
  ];
  for (const [prototype, more, fault] of refused)
    assert.throws(() => define(prototype, more), fault, prototype);
});

test('a name is in the table once, and a structure has one size', () => {
  const row = define('int test_only_once(void)');
  registerKfuncs([row]);
  assert.throws(() => registerKfuncs([row]), /two kfuncs test_only_once/);
  assert.throws(
    () =>
      defineKfuncs({ objects: { test_record: 8 } }, [
        { prototype: 'int f(struct test_record *r)', types: ['xdp'], doc: '' },
      ]),
    /readable by 8 and by 16 bytes/,
  );
});

const int = (name: string, size: number, signed: boolean): BtfType => ({
  kind: 'int',
  name,
  size,
  bits: size * 8,
  bitOffset: 0,
  signed,
  char: name === 'char',
  bool: false,
});
const structOf = (name: string, size: number): BtfType => ({ kind: 'struct', name, size, members: [] });
/** Types of an object file. */
const BASE: BtfType[] = [
  { kind: 'void' },
  int('int', 4, true),
  int('unsigned int', 4, false),
  int('unsigned long long', 8, false),
  int('char', 1, true),
  { kind: 'const', name: '', type: 4 },
  { kind: 'ptr', type: 5 },
  structOf('test_number', 8),
  { kind: 'ptr', type: 7 },
  structOf('test_number', 4),
  { kind: 'ptr', type: 9 },
  structOf('other', 8),
  { kind: 'ptr', type: 11 },
  { kind: 'fwd', name: 'test_number', union: false },
  { kind: 'ptr', type: 13 },
  { kind: 'typedef', name: 'u32', type: 2 },
  { kind: 'ptr', type: 0 },
];
const [S32, U32, U64, CHARS, NUMBER, SMALL, OTHER, FORWARD, TYPEDEF, VOID] = [
  1, 2, 3, 6, 8, 10, 12, 14, 15, 16,
];

/** Our prototype of test_number beside `int test_number(params…)` with such types. */
function mismatch(params: number[], ret = S32): string | undefined {
  const proto: BtfType = {
    kind: 'func_proto',
    ret,
    params: params.map((type, i) => ({ name: 'abcd'[i], type })),
  };
  const func: BtfType = { kind: 'func', name: 'test_number', type: BASE.length, linkage: 'extern' };
  return prototypeMismatch(kfuncByName('test_number')!, { types: [...BASE, proto, func] }, BASE.length + 1);
}

test('a prototype fits by widths and by names of structures', () => {
  assert.is(mismatch([CHARS, U32, U64, NUMBER]), undefined);
  assert.is(mismatch([CHARS, TYPEDEF, U64, FORWARD]), undefined, 'typedefs, forward declarations');
  assert.is(mismatch([CHARS, S32, U64, VOID]), undefined, 'void * is any pointer');
});

test('one that does not fit is named beside ours', () => {
  const ours =
    'the engine has "int test_number(const char *text, __u32 text__sz, __u64 flags, struct test_number *result)"';
  const cases: [number[], number, string][] = [
    [[CHARS, U32, U64], S32, '3 arguments instead of 4'],
    [[CHARS, U64, U64, NUMBER], S32, 'argument 2 is no number of 32 bits'],
    [[U32, U32, U64, NUMBER], S32, 'argument 1 is no pointer'],
    [[CHARS, U32, U64, OTHER], S32, 'argument 4 points to another type'],
    [
      [CHARS, U32, U64, SMALL],
      S32,
      'argument 4 points to a struct test_number of 4 bytes, the engine’s has 8',
    ],
    [[NUMBER, U32, U64, NUMBER], S32, 'argument 1 points to another type'],
    [[CHARS, U32, U64, NUMBER], U32, 'the result is no signed number of 32 bits'],
    [[CHARS, U32, U64, NUMBER], U64, 'the result is no signed number of 32 bits'],
    [[CHARS, U32, U64, NUMBER], 0, 'the result is no signed number of 32 bits'],
  ];
  for (const [params, ret, what] of cases) {
    const text = mismatch(params, ret) ?? 'it fits';
    assert.ok(text.startsWith(`test_number: ${what}; this file declares "`), text);
    assert.ok(text.endsWith(ours), text);
  }
});
