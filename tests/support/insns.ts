/** Instructions by hand, for tests that want exact slots rather than assembler text. */
import {
  Alu,
  Class,
  type Insn,
  Jmp,
  Mode,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_LDDW,
  Size,
  SRC_X,
} from '../../host/bpf/insn.js';
import type { ProgramSpec, ProgramType } from '../../host/bpf/spec.js';

export const insn = (op: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ op, dst, src, off, imm });

export const movImm = (dst: number, imm: number) => insn(Class.ALU64 | Alu.MOV, dst, 0, 0, imm);
export const mov = (dst: number, src: number) => insn(Class.ALU64 | Alu.MOV | SRC_X, dst, src);
export const aluImm = (op: number, dst: number, imm: number) => insn(Class.ALU64 | op, dst, 0, 0, imm);
export const alu = (op: number, dst: number, src: number) => insn(Class.ALU64 | op | SRC_X, dst, src);
export const ldx = (size: number, dst: number, src: number, off: number) =>
  insn(Class.LDX | Mode.MEM | size, dst, src, off);
export const stx = (size: number, dst: number, off: number, src: number) =>
  insn(Class.STX | Mode.MEM | size, dst, src, off);
export const st = (size: number, dst: number, off: number, imm: number) =>
  insn(Class.ST | Mode.MEM | size, dst, 0, off, imm);
export const atomic = (size: number, op: number, dst: number, off: number, src: number) =>
  insn(Class.STX | Mode.ATOMIC | size, dst, src, off, op);
export const jmpImm = (op: number, dst: number, imm: number, off: number) =>
  insn(Class.JMP | op, dst, 0, off, imm);
export const jmp = (op: number, dst: number, src: number, off: number) =>
  insn(Class.JMP | op | SRC_X, dst, src, off);
export const ja = (off: number) => insn(OP_JA, 0, 0, off);
export const call = (helper: number) => insn(OP_CALL, 0, 0, 0, helper);
export const callLocal = (rel: number) => insn(OP_CALL, 0, 1, 0, rel);
export const exit = () => insn(OP_EXIT);
/** Two slots. */
export const lddw = (dst: number, v: bigint, src = 0): Insn[] => [
  insn(OP_LDDW, dst, src, 0, Number(BigInt.asIntN(32, v))),
  insn(0, 0, 0, 0, Number(BigInt.asIntN(32, v >> 32n))),
];
/** LDDW of the function `rel` slots after the second slot's successor … as BPF_PSEUDO_FUNC counts: target - pc - 1. */
export const lddwFunc = (dst: number, rel: number): Insn[] => lddw(dst, BigInt(rel), 4);
export const lddwMap = (dst: number, key: number): Insn[] => lddw(dst, BigInt(key), 1);
export { Alu, Jmp, Size };

export const spec = (
  insns: (Insn | Insn[])[],
  type: ProgramType = 'xdp',
  more: Partial<ProgramSpec> = {},
): ProgramSpec => ({
  name: 'test',
  type,
  license: 'GPL',
  insns: insns.flat(),
  maps: {},
  ...more,
});

/** Operations of two operands, and all conditions. */
export const ALU_OPS = [
  Alu.ADD,
  Alu.SUB,
  Alu.MUL,
  Alu.DIV,
  Alu.OR,
  Alu.AND,
  Alu.LSH,
  Alu.RSH,
  Alu.MOD,
  Alu.XOR,
  Alu.MOV,
  Alu.ARSH,
];
export const CONDITIONS = [
  Jmp.JEQ,
  Jmp.JGT,
  Jmp.JGE,
  Jmp.JSET,
  Jmp.JNE,
  Jmp.JSGT,
  Jmp.JSGE,
  Jmp.JLT,
  Jmp.JLE,
  Jmp.JSLT,
  Jmp.JSLE,
];
