import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { disassembleProgram } from '../../../host/bpf/asm/disassemble.js';
import { formatMaps } from '../../../host/bpf/btf/print.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** Whole objects: loaded, and what was loaded printed. */
export const target: FuzzTarget = {
  name: 'elf',
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    readdirSync(FIXTURES)
      .filter(f => f.endsWith('.o'))
      .map(f => readFileSync(join(FIXTURES, f))),
  run: input => {
    const collection = loadElf(input, 'fuzz.o');
    formatMaps(collection);
    for (const program of Object.values(collection.programs).slice(0, 3)) disassembleProgram(program);
  },
  dictionary: [
    '.maps',
    'maps',
    '.rodata',
    '.bss',
    '.ksyms',
    '.BTF',
    '.BTF.ext',
    'license',
    'xdp',
    '.text',
    '\x7fELF',
  ],
};
