import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { parseSpecJson, printSpecJson } from '../../../host/bpf/spec_json.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** SPEC.json documents; what is accepted must print to what reads back. */
export const target: FuzzTarget = {
  name: 'spec_json',
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () => {
    const texts = [
      '{"type":"xdp","insns":"b7000000 02000000 95000000 00000000"}',
      '{"type":"socket_filter","insns":"1811000003000000 0000000000000000 9500000000000000","maps":{"3":{"type":"hash","key":8,"value":48,"max":1,"flags":0}}}',
    ];
    for (const name of ['legacy', 'externs', 'kfuncs'])
      for (const program of Object.values(
        loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), name).programs,
      ))
        texts.push(printSpecJson({ ...program, lines: program.lines?.slice(0, 3) }));
    return texts.map(t => Buffer.from(t));
  },
  run: input => {
    const text = printSpecJson(parseSpecJson(input, 'fuzz.json'));
    if (printSpecJson(parseSpecJson(text, 'again.json')) !== text) throw new Error('does not read back');
  },
  dictionary: [
    '"maps"',
    '"type"',
    '"inner":{',
    '{"3":',
    'null',
    '-1',
    '1e9',
    '"lru_hash"',
    '"kfuncs":{"1":"bpf_rcu_read_lock"}',
    '__proto__',
    '[]',
  ],
};
