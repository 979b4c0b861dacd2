/**
 * Form of single instructions: known opcodes, registers that exist, reserved fields zero, shift and division
 * immediates in range (kernel: bpf_opcode_in_insntable, check_alu_op, check_cond_jmp_op, do_check).
 * Looked at for the whole program before any path is walked, dead code included.
 */
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  Mode,
  OP_LDDW,
  R10,
  Size,
  SRC_X,
} from '../insn.js';
import type { Rule } from './errors.js';

export type Problem = [Rule, string] | undefined;

const RESERVED: Problem = ['reserved-field', 'a reserved field is not zero'];
const unknown = (insn: Insn): Problem => [
  'opcode',
  `unknown opcode 0x${insn.op.toString(16).padStart(2, '0')}`,
];
const writesFp: Problem = ['frame-pointer', 'r10 is read-only'];

function aluProblem(insn: Insn): Problem {
  const wide = classOf(insn.op) === Class.ALU64;
  const op = insn.op & 0xf0;
  const x = (insn.op & SRC_X) !== 0;
  if (op === Alu.END) {
    if (wide && x) return unknown(insn);
    if (insn.imm !== 16 && insn.imm !== 32 && insn.imm !== 64)
      return ['reserved-field', `byte swap of ${insn.imm} bits`];
    if (insn.src !== 0 || insn.off !== 0) return RESERVED;
    return insn.dst === R10 ? writesFp : undefined;
  }
  if (op > Alu.END) return unknown(insn);
  if (op === Alu.NEG) {
    if (x || insn.src || insn.off || insn.imm) return x ? unknown(insn) : RESERVED;
    return insn.dst === R10 ? writesFp : undefined;
  }
  if (x ? insn.imm !== 0 : insn.src !== 0) return RESERVED;
  if (op === Alu.MOV) {
    const sx = insn.off === 8 || insn.off === 16 || (wide && insn.off === 32);
    if (insn.off !== 0 && !(x && sx)) return RESERVED;
  } else if (insn.off !== 0 && !((op === Alu.DIV || op === Alu.MOD) && insn.off === 1)) return RESERVED;
  if (!x && (op === Alu.DIV || op === Alu.MOD) && insn.imm === 0)
    return ['division-by-zero', 'division by zero'];
  if (!x && (op === Alu.LSH || op === Alu.RSH || op === Alu.ARSH)) {
    const width = wide ? 64 : 32;
    if (insn.imm < 0 || insn.imm >= width)
      return ['shift-range', `shift by ${insn.imm}; a ${width}-bit value has 0 to ${width - 1}`];
  }
  return insn.dst === R10 ? writesFp : undefined;
}

function jumpProblem(insn: Insn): Problem {
  const wide = classOf(insn.op) === Class.JMP;
  const op = insn.op & 0xf0;
  const x = (insn.op & SRC_X) !== 0;
  switch (op) {
    case Jmp.JA:
      if (x) return unknown(insn);
      return insn.dst || insn.src || (wide ? insn.imm : insn.off) ? RESERVED : undefined;
    case Jmp.CALL:
      if (!wide || x) return unknown(insn);
      if (insn.src > CallKind.KFUNC || insn.dst) return RESERVED;
      return insn.off !== 0 && insn.src !== CallKind.KFUNC ? RESERVED : undefined;
    case Jmp.EXIT:
      if (!wide || x) return unknown(insn);
      return insn.dst || insn.src || insn.off || insn.imm ? RESERVED : undefined;
    case Jmp.JCOND:
      if (!wide || x) return unknown(insn);
      return insn.dst || insn.src || insn.imm ? RESERVED : undefined;
    default:
      if (op > Jmp.JCOND) return unknown(insn);
      return (x ? insn.imm : insn.src) ? RESERVED : undefined;
  }
}

const ATOMICS: ReadonlySet<number> = new Set([
  ...[Atomic.ADD, Atomic.OR, Atomic.AND, Atomic.XOR].flatMap(op => [op, op | Atomic.FETCH]),
  Atomic.XCHG,
  Atomic.CMPXCHG,
]);

function storeProblem(insn: Insn): Problem {
  const mode = insn.op & 0xe0;
  if (mode === Mode.MEM) return insn.imm ? RESERVED : undefined;
  if (mode !== Mode.ATOMIC) return unknown(insn);
  const size = insn.op & 0x18;
  if (insn.imm === Atomic.LOAD_ACQ) return insn.dst === R10 ? writesFp : undefined;
  if (insn.imm === Atomic.STORE_REL) return undefined;
  if (size !== Size.W && size !== Size.DW) return unknown(insn);
  if (!ATOMICS.has(insn.imm))
    return ['atomic', `unknown atomic operation 0x${(insn.imm >>> 0).toString(16)}`];
  const writesSrc = insn.imm & Atomic.FETCH && insn.imm !== Atomic.CMPXCHG;
  return writesSrc && insn.src === R10 ? writesFp : undefined;
}

function loadProblem(insn: Insn): Problem {
  const mode = insn.op & 0xe0;
  const size = insn.op & 0x18;
  if (classOf(insn.op) === Class.LDX) {
    if (mode !== Mode.MEM && (mode !== Mode.MEMSX || size === Size.DW)) return unknown(insn);
    if (insn.imm) return RESERVED;
    return insn.dst === R10 ? writesFp : undefined;
  }
  if (insn.op === OP_LDDW) return insn.off ? RESERVED : insn.dst === R10 ? writesFp : undefined;
  if ((mode !== Mode.ABS && mode !== Mode.IND) || size === Size.DW) return unknown(insn);
  return insn.dst || insn.off || (mode === Mode.ABS && insn.src) ? RESERVED : undefined;
}

/** What is wrong with the form of an instruction, if anything. LDDW's second slot is the caller's matter. */
export function formProblem(insn: Insn): Problem {
  if (insn.dst > R10 || insn.src > R10)
    return ['register-number', `there is no r${Math.max(insn.dst, insn.src)}`];
  switch (classOf(insn.op)) {
    case Class.LD:
    case Class.LDX:
      return loadProblem(insn);
    case Class.ST:
      if ((insn.op & 0xe0) !== Mode.MEM) return unknown(insn);
      return insn.src ? RESERVED : undefined;
    case Class.STX:
      return storeProblem(insn);
    case Class.ALU:
    case Class.ALU64:
      return aluProblem(insn);
    default:
      return jumpProblem(insn);
  }
}
