/** ALU instructions, in 32 bits wherever the result allows it. */
import { Alu, Class, classOf, type Insn, SRC_X } from '../insn.js';
import type { FunctionEmitter } from './emitter.js';
import { bitsOf, type Value } from './values.js';
import { I32, I64, Op } from './wasm/opcodes.js';

/** Operations whose low half depends on the low halves of the operands only: [i32, i64]. */
const LOW_CLOSED: Record<number, readonly [number, number]> = {
  [Alu.ADD]: [Op.i32_add, Op.i64_add],
  [Alu.SUB]: [Op.i32_sub, Op.i64_sub],
  [Alu.MUL]: [Op.i32_mul, Op.i64_mul],
  [Alu.OR]: [Op.i32_or, Op.i64_or],
  [Alu.AND]: [Op.i32_and, Op.i64_and],
  [Alu.XOR]: [Op.i32_xor, Op.i64_xor],
};
const SHIFT: Record<number, readonly [number, number]> = {
  [Alu.LSH]: [Op.i32_shl, Op.i64_shl],
  [Alu.RSH]: [Op.i32_shr_u, Op.i64_shr_u],
  [Alu.ARSH]: [Op.i32_shr_s, Op.i64_shr_s],
};

interface Operands {
  a: Value;
  aVar: number;
  b: Value;
  bVar: number;
}

/** `result` is what the transfer function says of the destination afterwards. */
export function emitAlu(e: FunctionEmitter, pc: number, insn: Insn, result: Value): void {
  if (!e.lives(pc, insn.dst) || (result.k !== 'w32' && result.k !== 'w64')) return;
  const wide = classOf(insn.op) === Class.ALU64;
  const code = insn.op & 0xf0;
  const a = e.view(pc, insn.dst);
  if (code === Alu.END) {
    emitByteOrder(e, insn, wide || (insn.op & SRC_X) !== 0, a, result);
    e.assign(insn.dst, result);
    return;
  }
  const [b, bVar] = e.operand(pc, insn);
  const o: Operands = { a, aVar: insn.dst, b, bVar };
  const pushed = wide ? emit64(e, insn, code, o, result.k === 'w32') : emit32(e, insn, code, o);
  // What came out as i64 although the result is known to be narrow.
  if (pushed === I64 && result.k === 'w32') e.f.op(Op.i32_wrap_i64);
  e.assign(insn.dst, result);
}

/** Pushes the result; says as what. */
function emit64(
  e: FunctionEmitter,
  insn: Insn,
  code: number,
  o: Operands,
  narrow: boolean,
): typeof I32 | typeof I64 {
  const { f } = e;
  const { a, aVar, b, bVar } = o;
  const is32 = narrow && code in LOW_CLOSED;
  const inner32 = bitsOf(a) <= 32 && bitsOf(b) <= 32;
  switch (code) {
    case Alu.MOV:
      return emitMove64(e, insn, b, bVar, narrow);
    case Alu.NEG:
      if (narrow) {
        f.i32(0);
        e.pushLow(a, aVar);
        f.op(Op.i32_sub);
        return I32;
      }
      f.i64(0n);
      e.push(a, aVar);
      f.op(Op.i64_sub);
      return I64;
    case Alu.DIV:
    case Alu.MOD:
      if (inner32 && insn.off === 0) {
        emitDivide(e, code, false, o, true);
        return widened(e, narrow);
      }
      emitDivide(e, code, insn.off === 1, o, false);
      return I64;
    case Alu.LSH:
    case Alu.RSH:
    case Alu.ARSH: {
      const by = b.k === 'const' ? Number(b.v & 63n) : -1;
      const low = code === Alu.LSH ? narrow : bitsOf(a) <= 32;
      if (low && by >= 0 && by < 32) {
        e.pushLow(a, aVar);
        f.i32(by).op(code === Alu.LSH ? Op.i32_shl : Op.i32_shr_u);
        return widened(e, narrow);
      }
      e.push(a, aVar);
      if (by >= 0) f.i64(BigInt(by));
      else e.push(b, bVar);
      f.op(SHIFT[code][1]);
      return I64;
    }
    default:
      if (is32) {
        e.pushLow(a, aVar);
        e.pushLow(b, bVar);
        f.op(LOW_CLOSED[code][0]);
        return I32;
      }
      e.push(a, aVar);
      e.push(b, bVar);
      f.op(LOW_CLOSED[code][1]);
      return I64;
  }
}

/** An i32 was computed: zero-extends it when the result lives in an i64. */
function widened(e: FunctionEmitter, narrow: boolean): typeof I32 | typeof I64 {
  if (narrow) return I32;
  e.f.op(Op.i64_extend_i32_u);
  return I64;
}

function emitMove64(
  e: FunctionEmitter,
  insn: Insn,
  b: Value,
  bVar: number,
  narrow: boolean,
): typeof I32 | typeof I64 {
  if (insn.off === 0 || bitsOf(b) < insn.off) {
    if (narrow) e.pushLow(b, bVar);
    else e.push(b, bVar);
    return narrow ? I32 : I64;
  }
  if (insn.off === 32) {
    e.pushLow(b, bVar);
    e.f.op(Op.i64_extend_i32_s);
  } else {
    e.push(b, bVar);
    e.f.op(insn.off === 8 ? Op.i64_extend8_s : Op.i64_extend16_s);
  }
  return I64;
}

function emit32(e: FunctionEmitter, insn: Insn, code: number, o: Operands): typeof I32 {
  const { f } = e;
  const { a, aVar, b, bVar } = o;
  switch (code) {
    case Alu.MOV:
      e.pushLow(b, bVar);
      if (insn.off === 8) f.op(Op.i32_extend8_s);
      else if (insn.off === 16) f.op(Op.i32_extend16_s);
      return I32;
    case Alu.NEG:
      f.i32(0);
      e.pushLow(a, aVar);
      f.op(Op.i32_sub);
      return I32;
    case Alu.DIV:
    case Alu.MOD:
      emitDivide(e, code, insn.off === 1, o, true);
      return I32;
    default:
      e.pushLow(a, aVar);
      e.pushLow(b, bVar);
      f.op((LOW_CLOSED[code] ?? SHIFT[code])[0]);
      return I32;
  }
}

/**
 * RFC 9669 §4.1: x / 0 = 0, x % 0 = x, INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0. Wasm traps on the first three.
 * Constants need no test at run time.
 */
function emitDivide(e: FunctionEmitter, code: number, signed: boolean, o: Operands, is32: boolean): void {
  const { f } = e;
  const type = is32 ? I32 : I64;
  const zero = (): unknown => (is32 ? f.i32(0) : f.i64(0n));
  const pushA = (): void => (is32 ? e.pushLow(o.a, o.aVar) : e.push(o.a, o.aVar));
  const pushB = (): void => (is32 ? e.pushLow(o.b, o.bVar) : e.push(o.b, o.bVar));
  const negateA = (): void => {
    zero();
    pushA();
    f.op(is32 ? Op.i32_sub : Op.i64_sub);
  };
  const div = code === Alu.DIV;
  const op = div
    ? signed
      ? [Op.i32_div_s, Op.i64_div_s]
      : [Op.i32_div_u, Op.i64_div_u]
    : signed
      ? [Op.i32_rem_s, Op.i64_rem_s]
      : [Op.i32_rem_u, Op.i64_rem_u];
  const divide = (): void => {
    pushA();
    pushB();
    f.op(op[is32 ? 0 : 1]);
  };
  if (o.b.k === 'const') {
    const by = is32 ? BigInt.asIntN(32, o.b.v) : BigInt.asIntN(64, o.b.v);
    if (by === 0n) {
      if (div) zero();
      else pushA();
    } else if (by === -1n && signed && div) negateA();
    else divide();
    return;
  }
  pushB();
  f.op(is32 ? Op.i32_eqz : Op.i64_eqz)
    .op(Op.if)
    .byte(type);
  if (div) zero();
  else pushA();
  f.op(Op.else);
  if (signed && div) {
    pushB();
    if (is32) f.i32(-1).op(Op.i32_eq);
    else f.i64(-1n).op(Op.i64_eq);
    f.op(Op.if).byte(type);
    negateA();
    f.op(Op.else);
    divide();
    f.op(Op.end);
  } else divide();
  f.op(Op.end);
}

function emitByteOrder(e: FunctionEmitter, insn: Insn, swap: boolean, a: Value, result: Value): void {
  const { f } = e;
  const v = insn.dst;
  if (!swap) {
    if (result.k === 'w64') e.push(a, v);
    else {
      e.pushLow(a, v);
      if (insn.imm === 16 && bitsOf(a) > 16) f.i32(0xffff).op(Op.i32_and);
    }
    return;
  }
  if (insn.imm === 16) swap16(e, a, v);
  else if (insn.imm === 32) swap32(e, a, v);
  else {
    swap64(e, a, v);
    if (result.k === 'w32') f.op(Op.i32_wrap_i64);
  }
}

/** ((x << 8) | (x >> 8)) & 0xffff, with the high byte masked first when more may be there. */
function swap16(e: FunctionEmitter, a: Value, v: number): void {
  const { f } = e;
  e.pushLow(a, v);
  f.i32(8).op(Op.i32_shl);
  if (bitsOf(a) > 16) f.i32(0xff00).op(Op.i32_and);
  e.pushLow(a, v);
  f.i32(8).op(Op.i32_shr_u);
  if (bitsOf(a) > 16) f.i32(0xff).op(Op.i32_and);
  f.op(Op.i32_or);
  if (bitsOf(a) <= 16) f.i32(0xffff).op(Op.i32_and);
}

/** (rotl(x, 8) & 0x00ff00ff) | (rotl(x, 24) & 0xff00ff00) */
function swap32(e: FunctionEmitter, a: Value, v: number): void {
  const { f } = e;
  e.pushLow(a, v);
  f.i32(8).op(Op.i32_rotl).i32(0x00ff00ff).op(Op.i32_and);
  e.pushLow(a, v);
  f.i32(24).op(Op.i32_rotl).i32(0xff00ff00).op(Op.i32_and);
  f.op(Op.i32_or);
}

/** Bytes within 16 bits, 16 bits within 32, then the halves. */
function swap64(e: FunctionEmitter, a: Value, v: number): void {
  const { f } = e;
  const t = e.temp(I64, 'swap');
  e.push(a, v);
  f.tee(t).i64(8n).op(Op.i64_shr_u).i64(0x00ff00ff00ff00ffn).op(Op.i64_and);
  f.get(t).i64(0x00ff00ff00ff00ffn).op(Op.i64_and).i64(8n).op(Op.i64_shl).op(Op.i64_or).tee(t);
  f.i64(16n).op(Op.i64_shr_u).i64(0x0000ffff0000ffffn).op(Op.i64_and);
  f.get(t).i64(0x0000ffff0000ffffn).op(Op.i64_and).i64(16n).op(Op.i64_shl).op(Op.i64_or);
  f.i64(32n).op(Op.i64_rotl);
}
