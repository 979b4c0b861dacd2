import { assemble } from '../../host/bpf/asm/assemble.js';
import { disassemble } from '../../host/bpf/asm/disassemble.js';
import { type Notation, printInsn, slotsAt } from '../../host/bpf/asm/print.js';
import { decodeInsns, encodeInsns, type Insn } from '../../host/bpf/insn.js';
import { assert, suite } from '../support/suite.js';

const test = suite('asm/roundtrip');
/** A busy machine may take its time. */
const LONG = { timeoutMs: 120_000 };
const NOTATIONS: Notation[] = ['kernel', 'clang'];

/** Small deterministic generator, so that a failure can be repeated. */
function random(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return limit => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Deep comparison is slow for a quarter of a million of them. */
const same = (a: readonly Insn[], b: readonly Insn[]): boolean =>
  a.length === b.length &&
  a.every((x, i) => {
    const y = b[i];
    return x.op === y.op && x.dst === y.dst && x.src === y.src && x.off === y.off && x.imm === y.imm;
  });

const OFFS = [0, 1, -1, 8, 16, 32, 32767, -32768];
const IMMS = [0, 1, -1, 16, 32, 0x40, 0x51, 0xe1, 0xf1, 0x100, 0x110, 0x7fffffff, -0x80000000];

test(
  'each opcode with each kind of operand reads back as it was printed, in both notations',
  () => {
    let instructions = 0;
    let raw = 0;
    const forms = new Set<number>();
    for (let op = 0; op < 256; op++)
      for (const [dst, src] of [
        [0, 0],
        [1, 2],
        [0, 1],
        [10, 6],
        [7, 5],
        [11, 0],
      ])
        for (const off of OFFS)
          for (const imm of IMMS) {
            const insns: Insn[] = [
              { op, dst, src, off, imm },
              { op: 0, dst: 0, src: 0, off: 0, imm: op === 0x18 ? imm : 0 },
            ];
            for (const notation of NOTATIONS) {
              const text = printInsn(insns, 0, notation);
              const slots = text.startsWith('.8byte') ? 1 : slotsAt(insns, 0);
              if (text.startsWith('.8byte')) raw++;
              else {
                instructions++;
                forms.add(op);
              }
              if (!same(assemble(text).insns, insns.slice(0, slots)))
                assert.equal(assemble(text).insns, insns.slice(0, slots), `${notation}: ${text}`);
            }
          }
    assert.ok(instructions > 5_000 && raw > 5_000, `${instructions} instructions, ${raw} raw`);
    // LD: LDDW, 3 ABS, 3 IND · LDX: 4 and 3 signed · ST 4 · STX: 4 and atomics of 4 sizes · ALU: 12 × 2, neg, le, be ·
    // ALU64: 12 × 2, neg, bswap · JMP: 11 × 2, ja, call, callx, exit, may_goto · JMP32: 11 × 2, gotol.
    assert.is(forms.size, 7 + 7 + 4 + 8 + 27 + 26 + 27 + 23, 'opcodes that print as instructions');
  },
  LONG,
);

test(
  'random programs with labels, maps and functions read back, in both notations',
  () => {
    const next = random(7);
    for (let round = 0; round < 150; round++) {
      const bytes = new Uint8Array(8 * (2 + next(40)));
      for (let i = 0; i < bytes.length; i++) bytes[i] = next(256);
      const insns = decodeInsns(bytes);
      for (const insn of insns) {
        if (next(4) === 0) insn.off = next(9) - 4;
        if (next(3) === 0) insn.imm = next(20) - 6;
        if (next(2) === 0) [insn.dst, insn.src] = [next(11), next(4)];
        if (next(6) === 0) insn.op = [0x05, 0x85, 0x18, 0x06, 0x15][next(5)];
        if (next(6) === 0) Object.assign(insn, { op: 0, dst: 0, src: 0, off: 0 });
      }
      for (const notation of NOTATIONS)
        for (const labels of [true, false])
          for (const numbers of [true, false]) {
            const text = disassemble(insns, { notation, labels, numbers });
            if (!same(assemble(text).insns, insns))
              assert.equal(encodeInsns(assemble(text).insns), encodeInsns(insns), text);
          }
    }
  },
  LONG,
);
