import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadElf } from '../../host/bpf/elf/load.js';
import { readElf, Sht, Stb, Stt } from '../../host/bpf/elf/reader.js';
import { OP_CALL, OP_LDDW, Pseudo } from '../../host/bpf/insn.js';
import type { CollectionSpec } from '../../host/bpf/spec.js';
import type { EtherloomError } from '../../host/errors.js';
import { FIXTURES } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf/load');

const load = (name: string): CollectionSpec =>
  loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), `${name}.bpf.o`);
const refusal = (body: () => unknown): EtherloomError => {
  try {
    body();
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('it was accepted');
};

test('a BTF map has type, sizes, flags, extra and pinning as written', () => {
  const { maps } = load('maps');
  const { btf, ...flows } = maps.flows;
  assert.equal(flows, {
    name: 'flows',
    type: 'hash',
    keySize: 16,
    valueSize: 56,
    maxEntries: 1024,
    flags: 1,
  });
  assert.is(btf?.types.types[btf.keyId].kind, 'struct');
  assert.is(maps.counters.pinning, 'by_name');
  assert.is(maps.counters.valueSize, 16);
  assert.is(maps.seen.extra, 3);
  assert.is(maps.events.maxEntries, 4096, '__ulong definition');
  assert.is(maps.routes.type, 'lpm_trie', 'static map');
});

test('inner map definitions and initialisers of values come along', () => {
  const { maps } = load('maps');
  assert.is(maps.outer.inner?.type, 'array');
  assert.is(maps.outer.inner?.valueSize, 8);
  assert.equal(maps.outer.values, [
    { key: 1, name: 'inner_b' },
    { key: 3, name: 'inner_a' },
  ]);
  assert.is(maps.outer_hash.inner?.keySize, 8);
  assert.equal(maps.jumps.values, [{ key: 2, name: 'second' }]);
});

test('legacy maps sections give the same specs, and iproute2 ids tie inner maps and tail calls', () => {
  for (const name of ['legacy', 'no_btf']) {
    const { maps, programs } = load(name);
    assert.equal(maps.hits, {
      name: 'hits',
      type: 'hash',
      keySize: 4,
      valueSize: 8,
      maxEntries: 256,
      flags: 1,
    });
    assert.is(maps.ports.maxEntries, 65536);
    assert.equal(maps.jumps.values, [{ key: 3, name: 'tail' }]);
    assert.is(maps.outer.inner, maps.inner);
    assert.equal(maps.outer.values, [{ key: 5, name: 'inner' }]);
    assert.is(maps.inner.pinning, 'by_name');
    assert.is(programs.tail.type, 'tc');
    assert.is(programs.entry.insns.filter(i => i.op === OP_LDDW && i.src === Pseudo.MAP_FD).length, 5);
  }
});

test('an LDDW of a map names a key of the program, and programs share the map', () => {
  const { maps, programs } = load('calls');
  const wide = programs.two.insns.filter(i => i.op === OP_LDDW && i.src === Pseudo.MAP_FD);
  assert.is(wide.length, 1);
  assert.is(programs.two.maps[wide[0].imm], maps.sums);
});

test('variables live in arrays of one entry, with their initial bytes; constants are frozen', () => {
  const { maps, programs } = load('globals');
  assert.equal([...Object.keys(maps)].sort(), [
    '.bss',
    '.data',
    '.data.cfg',
    '.rodata',
    '.rodata.str1.1',
    'mydata',
  ]);
  assert.is(maps['.rodata'].frozen, true);
  assert.is(maps['.rodata'].flags, 128);
  assert.is(maps['.rodata'].contents?.[0], 7);
  assert.is(maps['.data'].frozen, undefined);
  assert.equal(
    [...(maps['.data'].contents ?? [])].slice(0, 8),
    [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
  );
  assert.ok(maps['.bss'].contents?.every(b => b === 0));
  assert.is(maps.mydata.contents?.[0], 99);
  assert.is(programs.globals.license, 'Dual MIT/GPL');
});

test('every address of a variable lies in its section, at the offset the symbol has', () => {
  const { programs, btf } = load('globals');
  const { insns, maps } = programs.globals;
  const seen = new Set<string>();
  insns.forEach((insn, i) => {
    if (insn.op !== OP_LDDW || insn.src !== Pseudo.MAP_VALUE) return;
    const map = maps[insn.imm];
    assert.ok(insns[i + 1].imm >= 0 && insns[i + 1].imm < map.valueSize);
    const datasec = btf?.types.find(t => t.kind === 'datasec' && t.name === map.name);
    if (datasec?.kind !== 'datasec') return;
    const variable = datasec.vars.find(v => v.offset === insns[i + 1].imm);
    const type = variable && btf?.types[variable.type];
    if (type?.kind === 'var') seen.add(type.name);
  });
  for (const name of [
    'limit',
    'config',
    'table',
    'initialised',
    'hidden_counter',
    'zeroed',
    'custom',
    'named',
  ])
    assert.ok(seen.has(name), `${name} is addressed`);
});

test('the entry comes first, then each reached subprogram once', () => {
  const { programs } = load('calls');
  const names = (p: string) => programs[p].funcs?.map(f => f.name);
  assert.equal(names('one'), ['one', 'beside', 'mix', 'hidden_text', 'global_text']);
  assert.equal(names('two'), ['two', 'add', 'step', 'mix', 'beside', 'in_other']);
  assert.equal(names('three'), ['three', 'global_text', 'mix']);
  assert.equal(
    programs.one.funcs?.map(f => f.linkage),
    ['global', 'static', 'static', 'static', 'global'],
    'hidden functions are static',
  );
});

test('every call and callback lands on the first instruction of a subprogram', () => {
  for (const program of Object.values(load('calls').programs)) {
    const starts = new Set(program.funcs?.map(f => f.insn));
    let edges = 0;
    program.insns.forEach((insn, i) => {
      const local = insn.op === OP_CALL && insn.src === 1;
      const callback = insn.op === OP_LDDW && insn.src === Pseudo.FUNC;
      if (!local && !callback) return;
      edges++;
      assert.ok(starts.has(i + insn.imm + 1), `${program.name} instruction ${i}`);
    });
    assert.ok(edges > 0);
  }
});

test('source lines move along with their function', () => {
  const { programs } = load('calls');
  const mix = programs.one.funcs!.find(f => f.name === 'mix')!;
  const lines = programs.one.lines!.filter(l => l.insn >= mix.insn && l.insn < mix.insn + 7);
  assert.ok(lines.some(l => l.text.includes('x *= 0xff51afd7ed558ccd')));
  assert.ok(lines.every(l => l.file.endsWith('calls.c')));
});

test('section names say type and flags as libbpf reads them, and unknown ones are kept', () => {
  const { programs } = load('sections');
  const role = (name: string) => [programs[name].type, programs[name].section, programs[name].flags];
  assert.equal(role('is_plain'), ['xdp', 'xdp', undefined]);
  assert.equal(role('is_frags_cpumap'), ['xdp', 'xdp.frags/cpumap', { frags: true }]);
  assert.equal(role('is_optional'), ['xdp', 'xdp', { autoload: false }]);
  assert.equal(role('is_tcx'), ['tc', 'tcx/ingress', undefined]);
  assert.equal(role('is_action'), ['tc', 'action', undefined]);
  assert.equal(role('is_socket_named'), ['socket_filter', 'socket_filter/x', undefined]);
  assert.equal(role('is_tracing'), ['unspec', 'fentry.s/some_function', { sleepable: true }]);
  assert.equal(role('is_kprobe')[0], 'unspec');
});

test('kernel functions keep their name; weak symbols that are not there are address 0', () => {
  const { externs } = load('externs').programs;
  assert.equal(Object.values(externs.kfuncs ?? {}).sort(), ['bpf_strong_kfunc', 'bpf_weak_kfunc']);
  const calls = externs.insns.filter(i => i.op === OP_CALL);
  assert.ok(calls.length === 2 && calls.every(c => c.src === 2 && externs.kfuncs?.[c.imm]));
  const nulls = externs.insns.filter(
    (insn, i) => insn.op === OP_LDDW && insn.src === 0 && insn.imm === 0 && externs.insns[i + 1].imm === 0,
  );
  assert.is(nulls.length >= 2, true);
});

test('a variable of the kernel stays a BTF id, for the verifier to refuse', () => {
  const { kernel_variable, externs } = load('externs').programs;
  const lddw = kernel_variable.insns.find(i => i.op === OP_LDDW)!;
  assert.is(lddw.src, Pseudo.BTF_ID);
  const type = kernel_variable.btf?.types[lddw.imm];
  assert.is(type?.kind === 'var' && type.name, 'strong_variable');
  assert.ok(externs.insns.length > 0, 'the other program of the file loads');
});

test('kernel configuration is a read-only map; the caller may give values', () => {
  const bytes = readFileSync(join(FIXTURES, 'externs.bpf.o'));
  const { maps } = loadElf(bytes, 'externs', { kconfig: { CONFIG_HZ: 1000, CONFIG_BPF: 'y' } });
  const view = new DataView(maps['.kconfig'].contents!.buffer);
  const words = [0, 8, 16].map(at => (at === 16 ? view.getUint8(at) : view.getUint32(at, true)));
  assert.equal(
    words.sort((a, b) => a - b),
    [1, 1000, 0x061200],
  );
});

test('CO-RE relocations resolve against the types of the file', () => {
  const { core } = load('core').programs;
  // Bit field c: bits 32–51 of a 40-byte leaf, read through the 4-byte container that libbpf picks.
  const constants = core.insns.filter(i => i.op === 0xb7).map(i => i.imm);
  assert.equal(constants.slice(0, 6), [8 + 40 + 4, 4, 1, 1, 64 - 20, 64 - 20]);
  assert.ok(
    core.insns.some(i => i.op === 0x79 && i.off === 8 + 2 * 40 + 8 + 8),
    'leaves[2].d[1]',
  );
  assert.ok(
    core.insns.some((i, n) => i.op === OP_LDDW && i.imm === 0x22334455 && core.insns[n + 1].imm === 0x11),
  );
});

test('a call of something that no file defines is refused with advice', () => {
  const error = refusal(() => load('unknown_call'));
  assert.is(error.code, 'ERR_ELF_EXTERN');
  assert.match(error.message, /elsewhere/);
  assert.is(error.file, 'unknown_call.bpf.o');
  assert.ok(error.offset! > 0 && error.expected);
});

/** The object with every symbol changed: `edit` gets the bytes of one entry of the symbol table. */
function withSymbols(name: string, edit: (symbol: DataView) => void): Uint8Array {
  const bytes = Uint8Array.from(readFileSync(join(FIXTURES, `${name}.bpf.o`)));
  const table = readElf(bytes, name).sections.find(s => s.type === Sht.SYMTAB)!;
  for (let at = 0; at < table.size; at += 24) edit(new DataView(bytes.buffer, table.offset + at, 24));
  return bytes;
}

test('programs of old objects, whose symbols have neither type nor size, load alike', () => {
  const bytes = withSymbols('no_btf', symbol => {
    if ((symbol.getUint8(4) & 15) !== Stt.FUNC) return;
    symbol.setUint8(4, (Stb.GLOBAL << 4) | Stt.NOTYPE);
    symbol.setBigUint64(16, 0n, true);
  });
  const plain = (collection: CollectionSpec) => ({ ...collection, file: '' });
  assert.equal(plain(loadElf(bytes, 'old.o')), plain(load('no_btf')));
});

test('a section without any symbol is one program of its name', () => {
  const bytes = withSymbols('no_btf', symbol => {
    if ((symbol.getUint8(4) & 15) === Stt.FUNC) symbol.setUint8(4, Stt.NOTYPE);
  });
  const { programs } = loadElf(bytes, 'bare.o');
  assert.equal(Object.keys(programs).sort(), ['7/3', 'classifier', 'socket1']);
  assert.is(programs.classifier.insns.length, load('no_btf').programs.entry.insns.length);
});

test('a call that the compiler left to a C library gets advice', () => {
  const bytes = Uint8Array.from(readFileSync(join(FIXTURES, 'unknown_call.bpf.o')));
  for (let at = 0; (at = Buffer.from(bytes).indexOf('elsewhere\0', at)) >= 0; )
    bytes.set(Buffer.from('memset\0\0\0'), at);
  const error = refusal(() => loadElf(bytes, 'memset.o'));
  assert.is(error.code, 'ERR_ELF_EXTERN');
  assert.match(error.message, /refers to memset.*__builtin_memset/);
});

test('what is no BPF object is refused with the first thing that is wrong', () => {
  const good = readFileSync(join(FIXTURES, 'maps.bpf.o'));
  const patched = (at: number, ...bytes: number[]) => {
    const copy = Uint8Array.from(good);
    copy.set(bytes, at);
    return copy;
  };
  const code = (bytes: Uint8Array) => refusal(() => loadElf(bytes, 'x.o')).code;
  assert.is(code(new Uint8Array(0)), 'ERR_ELF_MAGIC');
  assert.is(code(Uint8Array.from(good.subarray(0, 60))), 'ERR_ELF_TRUNCATED');
  assert.is(code(patched(4, 1)), 'ERR_ELF_FORMAT');
  assert.is(code(patched(5, 2)), 'ERR_ELF_FORMAT');
  assert.is(code(patched(18, 62)), 'ERR_ELF_FORMAT');
  assert.is(code(patched(40, 0xff, 0xff, 0xff, 0xff)), 'ERR_ELF_TRUNCATED');
  assert.is(code(patched(62, 0)), 'ERR_ELF_SECTION');
});
