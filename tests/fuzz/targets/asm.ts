import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { disassembleProgram } from '../../../host/bpf/asm/disassemble.js';
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const HAND_WRITTEN = `.program tc x
.license GPL
.map hits hash key=4 value=8 max=16
.map outer array_of_maps key=4 value=4 max=2 inner=hits
start: r1 = map[hits]
r2 = map[outer][0]+8
r3 = subprog[f] # comment
r0 = atomic64_fetch_add((u64 *)(r1 +0), r0)
w0 = cmpxchg32_32(r1 + 0, w0, w2)
lock *(u64 *)(r1 +0) += r2
if w1 s>= -5 goto start ; note
r1 = (s8)r2 // move
r0 = *(u16 *)skb[r6 + 12]
may_goto pc+1
gotol +1
call kfunc bpf_x#9
call bpf_xdp_pull_data
f: call f
.8byte 0x95
exit
`;

/** Text of programs: hand-written and disassembled, in both notations. */
export const target: FuzzTarget = {
  name: 'asm',
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () => {
    const texts = [HAND_WRITTEN];
    for (const name of ['calls', 'isa_v4', 'globals'])
      for (const program of Object.values(
        loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), name).programs,
      )) {
        const maps = Object.values(program.maps).map(m => `.map ${m.name} array key=4 value=8 max=1\n`);
        texts.push(maps.join('') + disassembleProgram(program, { numbers: true }));
        texts.push(maps.join('') + disassembleProgram(program, { notation: 'clang', source: false }));
      }
    return texts.map(t => Buffer.from(t));
  },
  run: input => assembleSpec(Buffer.from(input).toString('latin1'), { file: 'fuzz.s' }),
  dictionary: [
    'goto',
    'if r1',
    ' ll',
    'map[',
    'subprog[',
    '*(u32 *)(',
    'r10',
    'w3',
    'exit\n',
    '.section ',
    '.8byte ',
    'call kfunc ',
  ],
};
