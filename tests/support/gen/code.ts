/** A program under construction: instructions with labels, resolved to slots at the end. Used by both generators. */
import {
  Alu,
  CallKind,
  Class,
  type Insn,
  Jmp,
  Mode,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LDDW,
  Pseudo,
  Size,
  SRC_X,
} from '../../../host/bpf/insn.js';

/** Size bits by bytes. */
export const SIZE_BITS: Record<number, number> = { 1: Size.B, 2: Size.H, 4: Size.W, 8: Size.DW };

export type Label = number;

/** A second operand: a register by name, or a constant. */
export type Operand = { reg: number } | { imm: number };

interface Slot {
  insn: Insn;
  target?: Label;
}

export class Code {
  private readonly slots: Slot[] = [];
  private readonly at: number[] = [];

  get length(): number {
    return this.slots.length;
  }

  /** A place that may be jumped to before it is known. */
  label(): Label {
    return this.at.push(-1) - 1;
  }

  /** Whether anything jumps there so far. */
  used(label: Label): boolean {
    return this.slots.some(slot => slot.target === label);
  }

  place(label: Label): void {
    this.at[label] = this.slots.length;
  }

  op(op: number, dst = 0, src = 0, off = 0, imm = 0, target?: Label): void {
    this.slots.push({ insn: { op, dst, src, off, imm }, target });
  }

  /** ALU operation `alu` (Alu.*) of either width; `off` 1 makes division signed, 8/16/32 a move sign-extending. */
  alu(alu: number, dst: number, by: Operand, wide = true, off = 0): void {
    const cls = wide ? Class.ALU64 : Class.ALU;
    if ('reg' in by) this.op(cls | alu | SRC_X, dst, by.reg, off);
    else this.op(cls | alu, dst, 0, off, by.imm | 0);
  }

  mov(dst: number, src: number): void {
    this.alu(Alu.MOV, dst, { reg: src });
  }

  movImm(dst: number, imm: number): void {
    this.alu(Alu.MOV, dst, { imm });
  }

  /** Any 64-bit constant: two slots. */
  lddw(dst: number, value: bigint, src: number = Pseudo.IMM64): void {
    this.op(OP_LDDW, dst, src, 0, Number(BigInt.asIntN(32, value)));
    this.op(0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n)));
  }

  map(dst: number, key: number): void {
    this.lddw(dst, BigInt(key), Pseudo.MAP_FD);
  }

  /** Address of value 0 of an array, plus an offset. */
  mapValue(dst: number, key: number, offset: number): void {
    this.lddw(dst, BigInt(key) | (BigInt(offset) << 32n), Pseudo.MAP_VALUE);
  }

  load(bytes: number, dst: number, base: number, off: number, signed = false): void {
    this.op(Class.LDX | (signed ? Mode.MEMSX : Mode.MEM) | SIZE_BITS[bytes], dst, base, off);
  }

  store(bytes: number, base: number, off: number, src: number): void {
    this.op(Class.STX | Mode.MEM | SIZE_BITS[bytes], base, src, off);
  }

  storeImm(bytes: number, base: number, off: number, imm: number): void {
    this.op(Class.ST | Mode.MEM | SIZE_BITS[bytes], base, 0, off, imm | 0);
  }

  atomic(bytes: 4 | 8, op: number, base: number, off: number, src: number): void {
    this.op(Class.STX | Mode.ATOMIC | SIZE_BITS[bytes], base, src, off, op);
  }

  jump(to: Label): void {
    this.op(OP_JA, 0, 0, 0, 0, to);
  }

  jumpLong(to: Label): void {
    this.op(OP_JA32, 0, 0, 0, 0, to);
  }

  branch(jmp: number, dst: number, by: Operand, to: Label, wide = true): void {
    const cls = wide ? Class.JMP : Class.JMP32;
    if ('reg' in by) this.op(cls | jmp | SRC_X, dst, by.reg, 0, 0, to);
    else this.op(cls | jmp, dst, 0, 0, by.imm | 0, to);
  }

  call(helper: number): void {
    this.op(OP_CALL, 0, CallKind.HELPER, 0, helper);
  }

  kfunc(id: number): void {
    this.op(OP_CALL, 0, CallKind.KFUNC, 0, id);
  }

  callLocal(to: Label): void {
    this.op(OP_CALL, 0, CallKind.LOCAL, 0, 0, to);
  }

  /** Address of a callback. */
  func(dst: number, to: Label): void {
    this.op(OP_LDDW, dst, Pseudo.FUNC, 0, 0, to);
    this.op(0);
  }

  exit(): void {
    this.op(OP_EXIT);
  }

  /** The finished slots; every label that is used must have been placed. */
  insns(): Insn[] {
    return this.slots.map(({ insn, target }, i) => {
      if (target === undefined) return insn;
      const distance = this.at[target] - i - 1;
      const inImm = insn.op === OP_CALL || insn.op === OP_LDDW || insn.op === OP_JA32;
      return inImm ? { ...insn, imm: distance } : { ...insn, off: distance };
    });
  }
}

/** True for slots whose jump distance is in `off`. */
export const jumpsByOff = (insn: Insn): boolean => {
  const cls = insn.op & 7;
  const op = insn.op & 0xf0;
  if (cls === Class.JMP) return op !== Jmp.CALL && op !== Jmp.EXIT;
  return cls === Class.JMP32 && op !== Jmp.JA;
};

/** True for slots whose jump distance is in `imm`. */
export const jumpsByImm = (insn: Insn): boolean =>
  insn.op === OP_JA32 ||
  (insn.op === OP_CALL && insn.src === CallKind.LOCAL) ||
  (insn.op === OP_LDDW && insn.src === Pseudo.FUNC);
