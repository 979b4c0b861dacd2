/** One instruction's effect on what is known: abstract evaluation, shared by analysis and emission. */

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
  Pseudo,
  SRC_X,
  sizeBytes,
} from '../insn.js';
import { alu32, alu64, byteOrder, condition, sext } from '../interp/alu.js';
import { type CallPlan, callResult, planCall } from './calls.js';
import type { UseDefTable } from './liveness.js';
import { isPointer, noFacts, type Program, refuse } from './program.js';
import { ADDRESS, ANY, ANY32, bitsOf, constant, stored64, unknown, type Value, ZERO } from './values.js';

/** Registers, then promoted slots. */
export type State = Value[];

/** How far ahead the next use of a result is looked for, to learn from its fact. */
const LOOK_AHEAD = 24;

export const immediate = (imm: number): Value => constant(BigInt.asUintN(64, BigInt(imm)));

export class Transfer {
  /** How each helper call reached so far is made, by slot; a later visit of the same slot replaces it. */
  readonly plans = new Map<number, CallPlan>();
  /** Arguments of local calls, by slot. */
  readonly localArgs = new Map<number, Value[]>();

  constructor(
    readonly program: Program,
    readonly table: UseDefTable,
    /** Variable index of the slot that the instruction accesses, or -1. */
    readonly slotOf: (pc: number) => number,
  ) {}

  /** Value of `reg` as the instruction at `pc` reads it: what is tracked, refined by the verifier's facts. */
  view(state: State, pc: number, reg: number): Value {
    const value = state[reg];
    if (value.k !== 'w64' && value.k !== 'w32') return value;
    const fact = this.program.facts.fact(pc, reg);
    if (!fact) return value;
    if (fact.kind === 'const' && fact.value !== undefined) return constant(fact.value);
    if (value.k === 'w64' && (fact.u32 || isPointer(fact))) return stored64(32);
    return value;
  }

  /** Second operand of an ALU or jump instruction. */
  operand(state: State, pc: number, insn: Insn): Value {
    return insn.op & SRC_X ? this.view(state, pc, insn.src) : immediate(insn.imm);
  }

  /** Does the next use of `reg` after `pc`, in straight line, say that it fits 32 bits? */
  #nextUseIsNarrow(pc: number, reg: number): boolean {
    const { insns, facts } = this.program;
    if (facts === noFacts) return false;
    const { use, def } = this.table;
    const mask = 1 << reg;
    for (let at = pc + 1; at <= pc + LOOK_AHEAD && at < insns.length; at++) {
      if (use[at] & mask) {
        const fact = facts.fact(at, reg);
        return fact !== undefined && (fact.u32 === true || isPointer(fact));
      }
      if (def[at] & mask) return false;
      const { op } = insns[at];
      const cls = op & 7;
      // Beyond a jump the value may go elsewhere.
      if ((cls === Class.JMP || cls === Class.JMP32) && (op & 0xf0) !== Jmp.CALL) return false;
    }
    return false;
  }

  #narrowed(pc: number, reg: number, value: Value): Value {
    return value.k === 'w64' && this.#nextUseIsNarrow(pc, reg) ? ANY32 : value;
  }

  /** Plan of the helper call at `pc`. */
  plan(state: State, pc: number): CallPlan {
    return planCall(this.program, this.program.insns[pc], pc, reg => this.view(state, pc, reg));
  }

  /** Applies the instruction at `pc` (not a jump) to `state`. */
  step(state: State, pc: number): void {
    const insn = this.program.insns[pc];
    switch (classOf(insn.op)) {
      case Class.ALU64:
        state[insn.dst] = this.#narrowed(pc, insn.dst, this.#alu64(state, pc, insn));
        return;
      case Class.ALU:
        state[insn.dst] = this.#alu32(state, pc, insn);
        return;
      case Class.LDX:
        state[insn.dst] = this.#narrowed(pc, insn.dst, this.#load(state, pc, insn));
        return;
      case Class.ST:
      case Class.STX: {
        if ((insn.op & 0xe0) === Mode.ATOMIC) {
          this.#atomic(state, insn);
          return;
        }
        const slot = this.slotOf(pc);
        if (slot < 0) return;
        const v = classOf(insn.op) === Class.ST ? immediate(insn.imm) : this.view(state, pc, insn.src);
        state[slot] = truncated(v, sizeBytes(insn.op) * 8);
        return;
      }
      case Class.LD:
        if (insn.op === OP_LDDW) state[insn.dst] = this.#wide(insn, pc);
        else state[0] = unknown(sizeBytes(insn.op) * 8);
        return;
      default:
        if ((insn.op & 0xf0) === Jmp.CALL) state[0] = this.#narrowed(pc, 0, this.#call(state, pc, insn));
    }
  }

  #alu64(state: State, pc: number, insn: Insn): Value {
    const code = insn.op & 0xf0;
    const a = this.view(state, pc, insn.dst);
    const b = code === Alu.END ? ZERO : this.operand(state, pc, insn);
    if (code === Alu.END)
      return a.k === 'const' ? constant(byteOrder(a.v, true, false, insn.imm)!) : unknown(insn.imm);
    if (code === Alu.MOV && insn.off === 0) return b.k === 'w64' && b.bits <= 32 ? unknown(b.bits) : b;
    if (a.k === 'const' && b.k === 'const') return constant(alu64(code, a.v, b.v, insn.off)!);
    if (code === Alu.NEG && a.k === 'const') return constant(alu64(code, a.v, 0n, 0)!);
    if (code === Alu.MOV && b.k === 'const') return constant(alu64(code, 0n, b.v, insn.off)!);
    if (a.k === 'fp' && b.k === 'const' && (code === Alu.ADD || code === Alu.SUB)) {
      const by = Number(BigInt.asIntN(64, b.v));
      const off = code === Alu.ADD ? a.off + by : a.off - by;
      if (Math.abs(off) <= 0xffff) return { k: 'fp', off };
    }
    if (this.program.mode === 'verified' && (code === Alu.ADD || code === Alu.SUB)) {
      const { facts } = this.program;
      const left = isPointer(facts.fact(pc, insn.dst));
      const right = (insn.op & SRC_X) !== 0 && isPointer(facts.fact(pc, insn.src));
      // Pointer ± little is still below 2^32 (the arena ends 64 KiB before that and begins with what no pointer
      // reaches); for more the next use must say so. Pointer − pointer is a signed scalar.
      if (left !== right && isSmall(left ? b : a)) return ANY32;
    }
    return unknown(resultBits(code, a, b, insn.off, 64));
  }

  #alu32(state: State, pc: number, insn: Insn): Value {
    const code = insn.op & 0xf0;
    const a = this.view(state, pc, insn.dst);
    if (code === Alu.END) {
      if (a.k === 'const') return constant(byteOrder(a.v, false, (insn.op & SRC_X) !== 0, insn.imm)!);
      return (insn.op & SRC_X) === 0 && bitsOf(a) <= insn.imm ? unknown(bitsOf(a)) : unknown(insn.imm);
    }
    const b = this.operand(state, pc, insn);
    if (b.k === 'const' && (a.k === 'const' || code === Alu.MOV))
      return constant(BigInt(alu32(code, a.k === 'const' ? lo(a.v) : 0, lo(b.v), insn.off)!));
    if (code === Alu.NEG && a.k === 'const') return constant(BigInt(alu32(code, lo(a.v), 0, 0)!));
    if (code === Alu.MOV && insn.off === 0 && bitsOf(b) <= 32 && b.k === 'w32') return b;
    return unknown(resultBits(code, low(a), low(b), insn.off, 32));
  }

  #load(state: State, pc: number, insn: Insn): Value {
    const bits = sizeBytes(insn.op) * 8;
    const signed = (insn.op & 0xe0) === Mode.MEMSX;
    const slot = this.slotOf(pc);
    let v: Value = unknown(bits);
    if (slot >= 0) v = state[slot];
    else {
      const base = this.view(state, pc, insn.src);
      const known =
        base.k === 'const'
          ? this.program.constantBytes(BigInt.asUintN(64, base.v + BigInt(insn.off)), bits / 8)
          : undefined;
      if (known !== undefined) v = constant(known);
    }
    if (!signed) return v;
    if (v.k === 'const') return constant(sext(v.v, bits));
    return bitsOf(v) < bits && v.k === 'w32' ? v : ANY;
  }

  #atomic(state: State, { op, dst, src, imm }: Insn): void {
    const old = unknown(sizeBytes(op) * 8);
    if (imm === Atomic.LOAD_ACQ) state[dst] = old;
    else if (imm === Atomic.CMPXCHG) state[0] = old;
    else if (imm !== Atomic.STORE_REL && imm & Atomic.FETCH) state[src] = old;
  }

  #wide(insn: Insn, pc: number): Value {
    const { program } = this;
    const hi = program.insns[pc + 1].imm;
    switch (insn.src) {
      case Pseudo.IMM64:
        return constant((BigInt(hi >>> 0) << 32n) | BigInt(insn.imm >>> 0));
      case Pseudo.FUNC:
        return { k: 'func', pc: pc + 1 + insn.imm };
      case Pseudo.MAP_FD:
      case Pseudo.MAP_IDX:
      case Pseudo.MAP_VALUE:
      case Pseudo.MAP_IDX_VALUE: {
        const map = program.maps[insn.imm];
        if (!map) throw refuse(program, pc, `no map is bound to key ${insn.imm}`, 'ERR_JIT_MAP');
        if (insn.src === Pseudo.MAP_FD || insn.src === Pseudo.MAP_IDX) return constant(BigInt(map.addr));
        return map.dataAt === undefined ? ADDRESS : constant(BigInt(map.dataAt + hi));
      }
      default:
        throw refuse(program, pc, `LDDW of kind ${insn.src} is not supported`);
    }
  }

  #call(state: State, pc: number, insn: Insn): Value {
    if (insn.op & SRC_X) return ANY;
    if (insn.src === CallKind.LOCAL) {
      this.localArgs.set(
        pc,
        [1, 2, 3, 4, 5].map(reg => this.view(state, pc, reg)),
      );
      return ANY;
    }
    const plan = this.plan(state, pc);
    this.plans.set(pc, plan);
    if (plan.kind === 'array_lookup') return this.arrayResult(state, pc, plan);
    return callResult(plan);
  }

  /** What an inlined array lookup gives: a constant address where key and place are constants. */
  arrayResult(state: State, pc: number, plan: CallPlan & { kind: 'array_lookup' }): Value {
    const slot = this.slotOf(pc);
    const key = slot >= 0 ? state[slot] : ANY32;
    if (key.k !== 'const') return ANY32;
    const { spec, dataAt, stride } = plan.map;
    if (key.v >= BigInt(spec.maxEntries)) return ZERO;
    if (plan.perCpu || dataAt === undefined || stride === undefined) return ADDRESS;
    return constant(BigInt(dataAt + Number(key.v) * stride));
  }

  /** Is the conditional jump at `pc` taken? Undefined when that is not known. */
  decided(state: State, pc: number): boolean | undefined {
    const insn = this.program.insns[pc];
    const code = insn.op & 0xf0;
    if (code === Jmp.JCOND) return undefined;
    const a = this.view(state, pc, insn.dst);
    const b = this.operand(state, pc, insn);
    const wide = classOf(insn.op) === Class.JMP;
    if (b.k !== 'const') return undefined;
    if (a.k === 'const') {
      const bits = wide ? 64 : 32;
      return condition(code, BigInt.asUintN(bits, a.v), BigInt.asUintN(bits, b.v), bits);
    }
    const nonzero = a.k === 'fp' || (a.k === 'w32' && a.nonzero === true);
    if (nonzero && b.v === 0n && code === Jmp.JEQ) return false;
    if (nonzero && b.v === 0n && code === Jmp.JNE) return true;
    return undefined;
  }
}

/** Between -65535 and 65535. */
function isSmall(v: Value): boolean {
  if (v.k !== 'const') return bitsOf(v) <= 16;
  const n = BigInt.asIntN(64, v.v);
  return n > -0x10000n && n < 0x10000n;
}

const lo = (v: bigint): number => Number(v & 0xffffffffn);
const low = (v: Value): Value => (v.k === 'const' ? constant(v.v & 0xffffffffn) : v);

/** Value as a store of `bits` bits into a promoted slot keeps it. */
function truncated(v: Value, bits: number): Value {
  if (v.k === 'const') return constant(BigInt.asUintN(bits, v.v));
  if (v.k === 'w64' && v.bits <= 32) return unknown(Math.min(v.bits, bits));
  return bitsOf(v) <= bits ? v : unknown(bits);
}

/** The result of an operation of `width` bits is below 2^n; the operands are not both constants. */
function resultBits(code: number, a: Value, b: Value, off: number, width: 32 | 64): number {
  const x = Math.min(width, bitsOf(a));
  const y = Math.min(width, bitsOf(b));
  const shift = b.k === 'const' ? Number(b.v & BigInt(width - 1)) : 0;
  switch (code) {
    case Alu.ADD:
      return Math.min(width, Math.max(x, y) + 1);
    case Alu.MUL:
      return Math.min(width, x + y);
    case Alu.DIV:
    case Alu.MOD:
      return off === 0 ? x : width;
    case Alu.OR:
    case Alu.XOR:
      return Math.max(x, y);
    case Alu.AND:
      return Math.min(x, y);
    case Alu.LSH:
      return b.k === 'const' ? Math.min(width, x + shift) : width;
    case Alu.RSH:
      return Math.max(0, x - shift);
    case Alu.ARSH:
      return x === width ? width : Math.max(0, x - shift);
    case Alu.MOV:
      return off && y >= off ? width : y;
    default:
      return width;
  }
}
