import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseBtfExt } from '../../../host/bpf/btf/ext.js';
import { parseBtf } from '../../../host/bpf/btf/parse.js';
import { readElf } from '../../../host/bpf/elf/reader.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const sections = (name: string) => readElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), name).sections;
const btf = parseBtf(sections('core').find(s => s.name === '.BTF')!.data.bytes, 'core');

/** `.BTF.ext` sections against the strings of one object. */
export const target: FuzzTarget = {
  name: 'btf_ext',
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    ['core', 'calls', 'maps'].flatMap(name =>
      sections(name)
        .filter(s => s.name === '.BTF.ext')
        .map(s => s.data.bytes),
    ),
  run: input => parseBtfExt(input, btf, 'fuzz.ext'),
};
