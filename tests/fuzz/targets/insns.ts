import { readFileSync } from 'node:fs';
import { disassemble } from '../../../host/bpf/asm/disassemble.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { decodeInsns, encodeInsns } from '../../../host/bpf/insn.js';
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';
import { checkWellformed } from '../../../host/bpf/wellformed.js';
import { EtherloomError } from '../../../host/errors.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const OBJECTS = new URL('../../../bpf-progs/obj/', import.meta.url);
const load = (name: string) =>
  Object.values(loadElf(readFileSync(new URL(`${name}.bpf.o`, OBJECTS)), name).programs);
const HOSTED = load('parse_drop')[0];

/** Raw instructions with real maps: printed, checked for form, verified. */
export const target: FuzzTarget = {
  name: 'insns',
  maxBytes: 2048,
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    [
      'b700000002000000 9500000000000000',
      '6112000000000000 6113040000000000 bf24000000000000 070400000e000000 2d34020000000000 712000000c000000 9500000000000000 b700000001000000 9500000000000000',
      'b706000008000000 0706000ffffffff0 5506feff00000000 b700000000000000 9500000000000000',
      '7b1af8ff00000000 79a0f8ff00000000 8510000001000000 9500000000000000 b700000000000000 9500000000000000',
    ]
      .map(h => Buffer.from(h.replace(/ /g, ''), 'hex'))
      .concat([...load('pass'), ...load('drop'), HOSTED].map(p => Buffer.from(encodeInsns(p.insns)))),
  run: input => {
    // Most inputs are cut to whole instructions: the rest tests the length.
    const insns = decodeInsns(input.length % 8 === 1 ? input : input.subarray(0, input.length & ~7), 'fuzz');
    disassemble(insns);
    try {
      checkWellformed(insns, 'fuzz');
    } catch (error) {
      if (!(error instanceof EtherloomError)) throw error;
    }
    const spec = { ...HOSTED, insns, lines: undefined, funcs: undefined };
    try {
      verify(spec, { insnLimit: 20_000 });
    } catch (error) {
      if (error instanceof VerifierError) throw error;
      throw new Error('the verifier threw what is no VerifierError', { cause: error });
    }
  },
  dictionary: [
    Uint8Array.of(0x95, 0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(0x85, 0x10, 0, 0, 1, 0, 0, 0),
    Uint8Array.of(0x18, 0x11, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(0x05, 0, 0xff, 0xff, 0, 0, 0, 0),
    Uint8Array.of(0xe5, 0, 0xfe, 0xff, 0, 0, 0, 0),
    Uint8Array.of(0xdb, 0x10, 0xf8, 0xff, 1, 0, 0, 0),
  ],
};
