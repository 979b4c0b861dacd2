/** Breaks a program a little: the near-valid programs in which an unsound verifier is found out. */
import { Alu, Class, type Insn, Jmp, OP_CALL, OP_EXIT, OP_LDDW, SRC_X } from '../../../host/bpf/insn.js';
import type { Rng } from '../fuzz.js';
import { CONDITIONS } from '../insns.js';
import { jumpsByOff } from './code.js';
import { without } from './shrink.js';

const NEAR = [-8, -4, -2, -1, 1, 2, 4, 8];
const FAR = [0, -1, 63, 64, 255, 256, 4095, 0x7fff_ffff, -0x8000_0000, 0xffff];
const OPERATIONS = [Alu.ADD, Alu.SUB, Alu.MUL, Alu.OR, Alu.AND, Alu.LSH, Alu.RSH, Alu.XOR, Alu.MOV, Alu.ARSH];

const classOf = (insn: Insn): number => insn.op & 7;
const isAlu = (insn: Insn): boolean => classOf(insn) === Class.ALU || classOf(insn) === Class.ALU64;
const isMemory = (insn: Insn): boolean => insn.op !== OP_LDDW && insn.op !== 0 && classOf(insn) <= Class.STX;
const isConditional = (insn: Insn): boolean =>
  jumpsByOff(insn) && (insn.op & 0xf0) !== Jmp.JA && (insn.op & 0xf0) !== Jmp.JCOND;

type Mutation = (rng: Rng, insn: Insn) => Insn | undefined;

/** Each changes one instruction, or answers undefined where it does not apply. */
const MUTATIONS: readonly Mutation[] = [
  // an offset beside the right one
  (rng, i) => (isMemory(i) ? { ...i, off: i.off + rng.pick(NEAR) } : undefined),
  // a constant beside the right one: bounds, sizes, masks
  (rng, i) =>
    isAlu(i) || isConditional(i)
      ? { ...i, imm: i.op & SRC_X ? i.imm : (i.imm + rng.pick(NEAR)) | 0 }
      : undefined,
  (rng, i) =>
    (isAlu(i) || isConditional(i)) && !(i.op & SRC_X) ? { ...i, imm: rng.pick(FAR) | 0 } : undefined,
  // another access size
  (rng, i) => (isMemory(i) ? { ...i, op: (i.op & ~0x18) | rng.pick([0x00, 0x08, 0x10, 0x18]) } : undefined),
  // another comparison
  (rng, i) => (isConditional(i) ? { ...i, op: (i.op & 0x0f) | rng.pick(CONDITIONS) } : undefined),
  // the other width
  (_, i) => (isAlu(i) ? { ...i, op: i.op ^ (Class.ALU ^ Class.ALU64) } : undefined),
  (_, i) => (isConditional(i) ? { ...i, op: i.op ^ (Class.JMP ^ Class.JMP32) } : undefined),
  // another operation
  (rng, i) => (isAlu(i) ? { ...i, op: (i.op & 0x0f) | rng.pick(OPERATIONS) } : undefined),
  // another register
  (rng, i) => (i.op !== OP_LDDW && i.op !== OP_CALL && i.op !== 0 ? { ...i, dst: rng.below(10) } : undefined),
  (rng, i) => ((i.op & SRC_X && isAlu(i)) || isMemory(i) ? { ...i, src: i.src && rng.below(11) } : undefined),
  // another target
  (rng, i) => (isConditional(i) ? { ...i, off: Math.max(0, i.off + rng.between(-3, 3)) } : undefined),
  // another map of the same kind of use
  (rng, i) => (i.op === OP_LDDW && i.src === 1 ? { ...i, imm: rng.between(1, 4) } : undefined),
];

/** The program with `count` changes. Structure (where LDDWs and calls stand) is left whole, meaning is not. */
export function mutate(rng: Rng, insns: readonly Insn[], count: number): Insn[] {
  let made = insns.map(insn => ({ ...insn }));
  for (let n = 0, tries = 0; n < count && tries < 100; tries++) {
    const at = rng.below(made.length);
    const insn = made[at];
    const second = at > 0 && made[at - 1].op === OP_LDDW;
    if (second || insn.op === OP_EXIT) continue;
    if (rng.chance(0.12)) {
      if (insn.op === OP_LDDW) continue;
      made = without(made, i => i === at);
      n++;
      continue;
    }
    const changed = rng.pick(MUTATIONS)(rng, insn);
    if (!changed) continue;
    made[at] = changed;
    n++;
  }
  return made;
}
