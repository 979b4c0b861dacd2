import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { disassembleProgram, listProgram } from '../../host/bpf/asm/disassemble.js';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import { encodeInsns } from '../../host/bpf/insn.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import { EtherloomError } from '../../host/errors.js';
import { FIXTURES } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('asm/listing');
const FOLDERS = [FIXTURES, fileURLToPath(new URL('../../bpf-progs/obj', import.meta.url))];

/** Every program of the fixtures and of bpf-progs. */
function programs(): ProgramSpec[] {
  const objects = FOLDERS.flatMap(dir => readdirSync(dir).map(f => join(dir, f))).filter(f =>
    f.endsWith('.bpf.o'),
  );
  return objects.flatMap(path => {
    try {
      return Object.values(loadElf(readFileSync(path), path).programs);
    } catch (error) {
      // unknown_call.bpf.o, kfunc_prototype.bpf.o and struct_ops_prototype.bpf.o are there to be refused.
      if (error instanceof EtherloomError && /^ERR_ELF_(EXTERN|KFUNC|STRUCT_OPS)$/.test(error.code))
        return [];
      throw error;
    }
  });
}

test(
  'a listing with numbers, source and labels assembles to the program that it shows, in both notations',
  () => {
    let slots = 0;
    for (const program of programs())
      for (const notation of ['kernel', 'clang'] as const)
        for (const labels of [true, false]) {
          const text = disassembleProgram(program, { notation, labels, numbers: notation === 'kernel' });
          const entries = Object.entries(program.maps);
          const { insns } = assembleSpec(text, {
            maps: Object.fromEntries(entries.map(([key, map]) => [map.name, Number(key)])),
            mapSpecs: Object.fromEntries(entries.map(([, map]) => [map.name, map])),
          });
          assert.equal(
            Buffer.from(encodeInsns(insns)).toString('hex'),
            Buffer.from(encodeInsns(program.insns)).toString('hex'),
            `${program.name} ${notation}`,
          );
          slots += insns.length;
        }
    assert.ok(slots > 20_000, `${slots} slots`);
  },
  { timeoutMs: 120_000 },
);

test('a listing shows each function under its name and the lines of its source', () => {
  const { programs } = loadElf(readFileSync(join(FIXTURES, 'calls.bpf.o')), 'calls.bpf.o');
  const text = disassembleProgram(programs.one);
  for (const name of ['one:', 'beside:', 'mix:', 'hidden_text:', 'global_text:'])
    assert.ok(text.split('\n').includes(name), name);
  assert.match(text, /; return beside\(skb->len\) \+ hidden_text\(skb->mark\); @ \.\/calls\.c:\d+/);
  assert.match(text, /call mix\n/);
});

test('the listing as data has the same instructions, labels and lines as its text', () => {
  const { programs } = loadElf(readFileSync(join(FIXTURES, 'calls.bpf.o')), 'calls.bpf.o');
  const rows = listProgram(programs.two);
  const text = disassembleProgram(programs.two, { source: false });
  const mine = rows.flatMap(r => [...(r.label ? [`${r.label}:`] : []), `\t${r.text}`]);
  assert.is(`${mine.join('\n')}\n`, text);
  assert.equal(
    rows.filter(r => r.label && !/^L\d/.test(r.label)).map(r => r.label),
    programs.two.funcs?.map(f => f.name),
  );
  assert.ok(rows.some(r => r.source?.text.includes('bpf_for_each_map_elem') && r.source.line > 0));
});
