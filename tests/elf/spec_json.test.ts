import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import { checkSpec } from '../../host/bpf/maps/check.js';
import { createMap } from '../../host/bpf/maps/index.js';
import { parseSpecJson, printSpecJson } from '../../host/bpf/spec_json.js';
import { verify } from '../../host/bpf/verify/verify.js';
import type { EtherloomError } from '../../host/errors.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { FIXTURES } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf/spec_json');

const LOOKUP = '18110000 03000000 00000000 00000000\n b700000000000000\t9500000000000000';
const HASH = { type: 'hash', key: 8, value: 48, max: 1, flags: 0 };
const refusal = (json: unknown): EtherloomError => {
  try {
    parseSpecJson(typeof json === 'string' ? json : JSON.stringify(json), 'spec.json');
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('it was accepted');
};

test('the external form reads to the letter: hex with white space, maps by the key in imm', () => {
  const spec = parseSpecJson(JSON.stringify({ type: 'xdp', insns: LOOKUP, maps: { 3: HASH } }), 'spec.json');
  assert.is(spec.type, 'xdp');
  assert.is(spec.license, 'GPL');
  assert.is(spec.insns.length, 4);
  assert.is(spec.insns[0].imm, 3);
  assert.equal(spec.maps[3], {
    name: 'map_3',
    type: 'hash',
    keySize: 8,
    valueSize: 48,
    maxEntries: 1,
    flags: 0,
  });
});

test('a map type is a name or the number of the kernel', () => {
  for (const [type, name] of [
    [1, 'hash'],
    [11, 'lpm_trie'],
    ['percpu_array', 'percpu_array'],
    ['BPF_MAP_TYPE_RINGBUF', 'ringbuf'],
  ] as const) {
    const maps = { 3: { ...HASH, type } };
    assert.is(parseSpecJson(JSON.stringify({ type: 'tc', insns: LOOKUP, maps }), 'x').maps[3].type, name);
  }
});

test('every program of the fixtures survives the way to JSON and back', () => {
  for (const name of ['maps', 'globals', 'calls', 'legacy', 'externs', 'isa_v4'])
    for (const program of Object.values(
      loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), name).programs,
    )) {
      const text = printSpecJson(program);
      const back = parseSpecJson(text, name);
      assert.is(printSpecJson(back), text, 'the same JSON again');
      const plain = (spec: typeof program) => ({
        ...spec,
        btf: undefined,
        funcs: spec.funcs?.map(f => ({ ...f, typeId: 0 })),
        maps: Object.fromEntries(
          Object.entries(spec.maps).map(([key, map]) => [
            key,
            { ...map, btf: undefined, inner: map.inner && { ...map.inner, btf: undefined } },
          ]),
        ),
      });
      assert.equal(plain(back), plain(program));
    }
});

test('errors name the path, what was found and what was expected', () => {
  const cases: [unknown, string, RegExp][] = [
    ['{"type": ', 'ERR_SPEC_JSON', /no JSON/],
    [[], 'ERR_SPEC_VALUE', /the document: \[\]/],
    [{ insns: LOOKUP }, 'ERR_SPEC_VALUE', /type: nothing/],
    [{ type: 'kprobe', insns: LOOKUP }, 'ERR_SPEC_VALUE', /type: "kprobe".*expected xdp/],
    [{ type: 'xdp' }, 'ERR_SPEC_VALUE', /insns: nothing/],
    [{ type: 'xdp', insns: 'zz' }, 'ERR_SPEC_HEX', /insns: "z" after 0 digits/],
    [{ type: 'xdp', insns: '950000000000' }, 'ERR_SPEC_HEX', /insns: 6 bytes/],
    [{ type: 'xdp', insns: '' }, 'ERR_SPEC_HEX', /insns: 0 bytes/],
    [{ type: 'xdp', insns: LOOKUP }, 'ERR_SPEC_MAP', /insns\[0\]: an LDDW of map 3/],
    [{ type: 'xdp', insns: LOOKUP, maps: { 4: HASH } }, 'ERR_SPEC_MAP', /a key of maps: 4/],
    [{ type: 'xdp', insns: LOOKUP, maps: { x: HASH } }, 'ERR_SPEC_VALUE', /maps\.x/],
    [{ type: 'xdp', insns: LOOKUP, maps: { 3: { ...HASH, key: -1 } } }, 'ERR_SPEC_VALUE', /maps\.3\.key: -1/],
    [
      { type: 'xdp', insns: LOOKUP, maps: { 3: { ...HASH, key: undefined } } },
      'ERR_SPEC_VALUE',
      /maps\.3\.key: nothing/,
    ],
    [
      { type: 'xdp', insns: LOOKUP, maps: { 3: { ...HASH, type: 99 } } },
      'ERR_SPEC_VALUE',
      /maps\.3\.type: 99/,
    ],
    [
      { type: 'xdp', insns: LOOKUP, maps: { 3: { ...HASH, inner: { ...HASH, inner: HASH } } } },
      'ERR_SPEC_VALUE',
      /maps\.3\.inner\.inner/,
    ],
  ];
  for (const [json, code, message] of cases) {
    const error = refusal(json);
    assert.is(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.file && error.expected);
    if (code === 'ERR_SPEC_JSON') assert.is(error.offset, String(json).length, 'where its end is missing');
  }
});

test('a document nested more deeply than the stack is refused by path as any other', () => {
  const depth = 200_000;
  const list = '['.repeat(depth) + ']'.repeat(depth);
  const object = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  for (const text of [`{"type":${list},"insns":"95"}`, `{"type":${object},"insns":"95"}`]) {
    let error: EtherloomError | undefined;
    try {
      parseSpecJson(text, 'deep.json');
    } catch (thrown) {
      error = thrown as EtherloomError;
    }
    assert.equal([error?.code, error?.file, error?.path], ['ERR_SPEC_VALUE', 'deep.json', 'type']);
  }
});

test('an unknown member is refused wherever it stands, by path, with those that are known', () => {
  const map = (more: object) => ({ type: 'xdp', insns: LOOKUP, maps: { 3: { ...HASH, ...more } } });
  const cases: [object, string, RegExp][] = [
    [{ type: 'xdp', insns: LOOKUP, map: {} }, 'map', /one of type, insns, maps/],
    [{ type: 'xdp', instructions: LOOKUP }, 'instructions', /"insns" for it/],
    [map({ max_entires: 5 }), 'maps.3.max_entires', /one of type, key, value, max, flags/],
    [map({ max_entries: 5 }), 'maps.3.max_entries', /"max" for it/],
    [map({ type: 'hash_of_maps', inner: { ...HASH, size: 1 } }), 'maps.3.inner.size', /one of type/],
    [map({ values: [{ key: 1, nam: 'x' }] }), 'maps.3.values[0].nam', /one of key, name/],
    [{ type: 'xdp', insns: LOOKUP, maps: { 3: HASH }, flags: { frag: true } }, 'flags.frag', /frags/],
    [
      { type: 'xdp', insns: LOOKUP, maps: { 3: HASH }, lines: [{ insn: 0, col: 1 }] },
      'lines[0].col',
      /column/,
    ],
  ];
  for (const [json, path, expected] of cases) {
    const error = refusal(json);
    assert.equal([error.code, error.file, error.path], ['ERR_SPEC_MEMBER', 'spec.json', path]);
    assert.match(error.expected!, expected);
    assert.ok(error.message.startsWith(path), error.message);
  }
});

test('members of maps with one sensible value may be left out', () => {
  const read = (map: object) =>
    parseSpecJson(JSON.stringify({ type: 'xdp', insns: LOOKUP, maps: { 3: map } }), 'x').maps[3];
  const sizes = (map: object) => {
    const { keySize, valueSize, maxEntries, flags } = read(map);
    return [keySize, valueSize, maxEntries, flags];
  };
  assert.equal(sizes({ type: 'array', value: 8 }), [4, 8, 1, 0]);
  assert.equal(sizes({ type: 3 }), [4, 4, 1, 0]);
  assert.equal(sizes({ type: 'ringbuf' }), [0, 0, 4096, 0]);
  assert.equal(sizes({ type: 'queue', value: 16, max: 9 }), [0, 16, 9, 0]);
  assert.equal(sizes({ type: 'lpm_trie', key: 8, value: 4 }), [8, 4, 1, 1]);
  // What is left out can be made: creation has nothing against it.
  for (const map of [{ type: 'array', value: 8 }, { type: 'ringbuf' }, { type: 'perf_event_array' }])
    checkSpec(read(map));
});

test('program types go by the kernel’s names and numbers, too', () => {
  const type = (t: unknown) =>
    parseSpecJson(JSON.stringify({ type: t, insns: '9500000000000000' }), 'x').type;
  assert.equal(['xdp', 6, 'BPF_PROG_TYPE_XDP', 'sched_cls', 3, 'socket_filter', 1].map(type), [
    'xdp',
    'xdp',
    'xdp',
    'tc',
    'tc',
    'socket_filter',
    'socket_filter',
  ]);
});

test('verify refuses the maps that creation refuses, with the same error', () => {
  const arena = Arena.create({ lanes: 1, frames: 1, mapBytes: 1 << 20 });
  const core = instantiateCore(arena, 1);
  const codeOf = (work: () => unknown): string | undefined => {
    try {
      work();
    } catch (error) {
      return `${(error as EtherloomError).code} ${(error as EtherloomError).message}`;
    }
    return undefined;
  };
  const maps = [
    HASH,
    { ...HASH, max: 0 },
    { ...HASH, key: 0 },
    { ...HASH, flags: 1 << 20 },
    { type: 'array', key: 8, value: 8 },
    { type: 'lpm_trie', key: 8, value: 4, flags: 0 },
    { type: 'ringbuf', max: 5000 },
    { type: 'ringbuf' },
    { type: 'perf_event_array' },
    { type: 'sockmap', key: 4, value: 4 },
    { type: 'percpu_array', value: 40000 },
    { type: 'array_of_maps' },
    { ...HASH, contents: '00' },
  ];
  const insns = 'b700000002000000 9500000000000000';
  let refused = 0;
  for (const map of maps) {
    const spec = parseSpecJson(JSON.stringify({ type: 'xdp', insns, maps: { 3: map } }), 'spec.json');
    const verdict = codeOf(() => verify(spec));
    assert.is(
      verdict,
      codeOf(() => createMap(arena, core, spec.maps[3])),
      JSON.stringify(map),
    );
    if (verdict) {
      refused++;
      assert.match(verdict, /^ERR_MAP_E\w+ .*expected/s);
    }
  }
  assert.is(refused, maps.length - 3);
});

test('two maps of one name are refused: they are told apart by it', () => {
  const maps = { 3: { ...HASH, name: 'm' }, 4: { ...HASH, name: 'm' } };
  const error = refusal({ type: 'xdp', insns: LOOKUP, maps });
  assert.equal([error.code, error.path], ['ERR_SPEC_VALUE', 'maps.4.name']);
});

test('assembly text becomes a program with maps, functions and its own lines', () => {
  const spec = assembleSpec(
    `.program socket_filter counter
     .map hits array key=4 value=8 max=2
     r2 = r10
     r2 += -4
     *(u32 *)(r2 +0) = 1
     r1 = map[hits]
     call bpf_map_lookup_elem
     if r0 == 0 goto out
     r1 = r0
     call bump
out: r0 = 0
     exit
bump:
     r0 = *(u64 *)(r1 +0)
     exit`,
    { file: 'counter.s' },
  );
  assert.is(spec.type, 'socket_filter');
  assert.is(spec.name, 'counter');
  assert.is(spec.maps[1].maxEntries, 2);
  assert.equal(
    spec.funcs?.map(f => f.name),
    ['main', 'bump'],
  );
  assert.is(spec.lines?.find(l => l.insn === 5)?.text, 'call bpf_map_lookup_elem');
  assert.is(spec.lines?.[0].line, 3);
});

test('a map directive says contents, freezing and inner maps', () => {
  const { maps } = assembleSpec(
    `.map table array key=4 value=8 max=1 flags=128 contents=0102ff frozen
     .map outer array_of_maps key=4 value=4 max=2 inner=table
     r1 = map[table][0]+4
     r2 = map[outer]
     exit`,
  );
  assert.equal([...(maps[1].contents ?? [])], [1, 2, 255]);
  assert.is(maps[1].frozen, true);
  assert.is(maps[2].inner, maps[1]);
});
