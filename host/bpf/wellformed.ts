/**
 * Is an array of slots a program at all? What both engines rely on before they look at any path: known opcodes with
 * their reserved fields zero, registers that exist, no write to r10, jumps that land on instructions, no way off the end.
 * The verifier checks the same and more (and says it better); conformance and the oracle run unverified code.
 */
import { EtherloomError } from '../errors.js';
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  Mode,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LDDW,
  R10,
  Size,
  SRC_X,
} from './insn.js';

export interface WellformedOptions {
  /** Accept CALLX (0x8d), which the kernel does not have. */
  callx?: boolean;
}

const ATOMIC_OPS: ReadonlySet<number> = new Set([
  ...[Atomic.ADD, Atomic.OR, Atomic.AND, Atomic.XOR].flatMap(op => [op, op | Atomic.FETCH]),
  Atomic.XCHG,
  Atomic.CMPXCHG,
]);

/** Register that a CALLX reads: dst (clang ≥ 19, gcc), src or imm (older encodings). */
export const callxRegister = (insn: Insn): number => insn.dst || insn.src || insn.imm;

/** Slot that a jump or local call at `pc` goes to. */
export const targetOf = (insn: Insn, pc: number): number =>
  pc + 1 + (insn.op === OP_JA32 || insn.op === OP_CALL ? insn.imm : insn.off);

/** Jumps that may go on at either of two places. */
export function isConditional(insn: Insn): boolean {
  const cls = classOf(insn.op);
  if (cls !== Class.JMP && cls !== Class.JMP32) return false;
  const op = insn.op & 0xf0;
  return op !== Jmp.JA && op !== Jmp.CALL && op !== Jmp.EXIT;
}

/** Does control never go on at the next slot? */
export const endsFlow = (insn: Insn): boolean =>
  insn.op === OP_EXIT || insn.op === OP_JA || insn.op === OP_JA32;

function aluProblem(insn: Insn, wide: boolean): string | undefined {
  const op = insn.op & 0xf0;
  const x = (insn.op & SRC_X) !== 0;
  if (insn.dst === R10) return 'writes r10';
  if (op === Alu.END) {
    if (insn.imm !== 16 && insn.imm !== 32 && insn.imm !== 64) return `byte swap of ${insn.imm} bits`;
    if (wide && x) return 'unknown opcode';
    return insn.off || insn.src ? 'reserved field is not zero' : undefined;
  }
  if (op === Alu.NEG) return x || insn.off || insn.src || insn.imm ? 'reserved field is not zero' : undefined;
  if (op > Alu.END) return 'unknown opcode';
  if (x ? insn.imm !== 0 : insn.src !== 0) return 'reserved field is not zero';
  if (insn.off === 0) return undefined;
  if ((op === Alu.DIV || op === Alu.MOD) && insn.off === 1) return undefined;
  if (op === Alu.MOV && x && (insn.off === 8 || insn.off === 16 || (wide && insn.off === 32)))
    return undefined;
  return 'reserved field is not zero';
}

function jumpProblem(insn: Insn, options: WellformedOptions): string | undefined {
  const wide = classOf(insn.op) === Class.JMP;
  const op = insn.op & 0xf0;
  const x = (insn.op & SRC_X) !== 0;
  switch (op) {
    case Jmp.JA:
      return x || insn.dst || insn.src || (wide ? insn.imm : insn.off)
        ? 'reserved field is not zero'
        : undefined;
    case Jmp.CALL:
      if (!wide) return 'unknown opcode';
      if (x) {
        const register = callxRegister(insn);
        if (!options.callx) return 'callx is for conformance only';
        return register < 0 || register > 9 ? 'no such register' : undefined;
      }
      return insn.src > CallKind.KFUNC || insn.dst ? 'reserved field is not zero' : undefined;
    case Jmp.EXIT:
      if (!wide || x) return 'unknown opcode';
      return insn.dst || insn.src || insn.off || insn.imm ? 'reserved field is not zero' : undefined;
    case Jmp.JCOND:
      if (!wide || x) return 'unknown opcode';
      return insn.dst || insn.src || insn.imm ? 'reserved field is not zero' : undefined;
    default:
      if (op > Jmp.JCOND) return 'unknown opcode';
      return (x ? insn.imm : insn.src) ? 'reserved field is not zero' : undefined;
  }
}

function loadProblem(insn: Insn): string | undefined {
  const mode = insn.op & 0xe0;
  const size = insn.op & 0x18;
  if (mode === Mode.IMM)
    return insn.op !== OP_LDDW ? 'unknown opcode' : insn.dst === R10 ? 'writes r10' : undefined;
  if ((mode === Mode.ABS || mode === Mode.IND) && size !== Size.DW)
    return insn.dst || insn.off || (mode === Mode.ABS && insn.src) ? 'reserved field is not zero' : undefined;
  return 'unknown opcode';
}

function atomicProblem(insn: Insn): string | undefined {
  if (insn.imm === Atomic.LOAD_ACQ) return insn.dst === R10 ? 'writes r10' : undefined;
  if (insn.imm === Atomic.STORE_REL) return undefined;
  const size = insn.op & 0x18;
  if (!ATOMIC_OPS.has(insn.imm) || (size !== Size.W && size !== Size.DW)) return 'unknown atomic operation';
  return insn.imm & Atomic.FETCH && insn.src === R10 && insn.imm !== Atomic.CMPXCHG
    ? 'writes r10'
    : undefined;
}

function memoryProblem(insn: Insn): string | undefined {
  const mode = insn.op & 0xe0;
  switch (classOf(insn.op)) {
    case Class.LDX:
      if (mode !== Mode.MEM && (mode !== Mode.MEMSX || (insn.op & 0x18) === Size.DW)) return 'unknown opcode';
      return insn.dst === R10 ? 'writes r10' : insn.imm ? 'reserved field is not zero' : undefined;
    case Class.ST:
      return mode !== Mode.MEM ? 'unknown opcode' : insn.src ? 'reserved field is not zero' : undefined;
    default:
      if (mode === Mode.ATOMIC) return atomicProblem(insn);
      return mode !== Mode.MEM ? 'unknown opcode' : insn.imm ? 'reserved field is not zero' : undefined;
  }
}

function insnProblem(insn: Insn, options: WellformedOptions): string | undefined {
  if (insn.dst > R10 || insn.src > R10) return 'no such register';
  switch (classOf(insn.op)) {
    case Class.LD:
      return loadProblem(insn);
    case Class.LDX:
    case Class.ST:
    case Class.STX:
      return memoryProblem(insn);
    case Class.ALU:
      return aluProblem(insn, false);
    case Class.ALU64:
      return aluProblem(insn, true);
    default:
      return jumpProblem(insn, options);
  }
}

/**
 * Checks a program's form. Paths are not followed: dead code must be well formed, too.
 * @throws EtherloomError ERR_INSN_FORM with the slot as offset.
 */
export function checkWellformed(
  insns: readonly Insn[],
  file?: string,
  options: WellformedOptions = {},
): void {
  const fail = (pc: number, what: string, expected?: string): never => {
    throw new EtherloomError('ERR_INSN_FORM', `instruction ${pc}: ${what}`, { file, offset: pc, expected });
  };
  if (insns.length === 0) fail(0, 'the program is empty', 'at least one instruction');
  const second = new Uint8Array(insns.length);
  for (let pc = 0; pc < insns.length; pc++) {
    const insn = insns[pc];
    const problem = insnProblem(insn, options);
    if (problem) fail(pc, `${problem} (opcode 0x${insn.op.toString(16).padStart(2, '0')})`);
    if (insn.op === OP_LDDW) {
      const hi = insns[pc + 1];
      if (!hi) fail(pc, 'the second slot of LDDW is missing');
      if (hi.op || hi.dst || hi.src || hi.off)
        fail(pc + 1, 'the second slot of LDDW is not zero but for imm');
      second[++pc] = 1;
    }
  }
  const land = (pc: number, to: number): void => {
    if (to < 0 || to >= insns.length) fail(pc, `goes to slot ${to}`, `a slot from 0 to ${insns.length - 1}`);
    if (second[to]) fail(pc, `goes to slot ${to}, inside an LDDW`);
  };
  for (let pc = 0; pc < insns.length; pc++) {
    const insn = insns[pc];
    if (second[pc]) continue;
    const local = insn.op === OP_CALL && insn.src === CallKind.LOCAL;
    if (local || isConditional(insn) || insn.op === OP_JA || insn.op === OP_JA32)
      land(pc, targetOf(insn, pc));
    if (insn.op === OP_LDDW && insn.src === 4) land(pc, pc + 1 + insn.imm);
  }
  const last = insns.length - 1;
  if (second[last] || !endsFlow(insns[last])) fail(last, 'control can run off the end', 'exit or a jump');
}
