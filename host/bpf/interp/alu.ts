/**
 * Arithmetic of RFC 9669 §4.1 and §4.2 on one register file, written for clarity: 64-bit values are BigInt,
 * 32-bit ones are numbers. The interpreter executes with it, the JIT folds constants with it.
 */
import { Alu, Jmp } from '../insn.js';

const u64 = (v: bigint): bigint => BigInt.asUintN(64, v);
const s64 = (v: bigint): bigint => BigInt.asIntN(64, v);

/** Sign-extends the low `bits` bits. */
export const sext = (v: bigint, bits: number): bigint => u64(BigInt.asIntN(bits, v));

/**
 * 64-bit result of ALU operation `op` (opcode & 0xf0) on unsigned operands; `off` is the instruction's
 * offset field (1 = signed division, 8/16/32 = sign-extending move). Undefined for no such operation.
 */
export function alu64(op: number, a: bigint, b: bigint, off: number): bigint | undefined {
  switch (op) {
    case Alu.ADD:
      return u64(a + b);
    case Alu.SUB:
      return u64(a - b);
    case Alu.MUL:
      return u64(a * b);
    case Alu.DIV:
      if (off === 0) return b === 0n ? 0n : a / b;
      if (off === 1) return b === 0n ? 0n : u64(s64(a) / s64(b));
      return undefined;
    case Alu.MOD:
      if (off === 0) return b === 0n ? a : a % b;
      if (off === 1) return b === 0n ? a : u64(s64(a) % s64(b));
      return undefined;
    case Alu.OR:
      return a | b;
    case Alu.AND:
      return a & b;
    case Alu.XOR:
      return a ^ b;
    case Alu.LSH:
      return u64(a << (b & 63n));
    case Alu.RSH:
      return a >> (b & 63n);
    case Alu.ARSH:
      return u64(s64(a) >> (b & 63n));
    case Alu.NEG:
      return u64(-a);
    case Alu.MOV:
      if (off === 0) return b;
      if (off === 8 || off === 16 || off === 32) return sext(b, off);
      return undefined;
    default:
      return undefined;
  }
}

/** The same on 32-bit operands given as unsigned numbers; the result is unsigned (upper half zero). */
export function alu32(op: number, a: number, b: number, off: number): number | undefined {
  switch (op) {
    case Alu.ADD:
      return (a + b) >>> 0;
    case Alu.SUB:
      return (a - b) >>> 0;
    case Alu.MUL:
      return Math.imul(a, b) >>> 0;
    case Alu.DIV:
      if (off === 0) return b === 0 ? 0 : Math.floor(a / b);
      // INT_MIN / -1 is 2^31 as a number and wraps back to INT_MIN.
      if (off === 1) return b === 0 ? 0 : Math.trunc((a | 0) / (b | 0)) >>> 0;
      return undefined;
    case Alu.MOD:
      if (off === 0) return b === 0 ? a : a % b;
      if (off === 1) return b === 0 ? a : ((a | 0) % (b | 0)) >>> 0;
      return undefined;
    case Alu.OR:
      return (a | b) >>> 0;
    case Alu.AND:
      return (a & b) >>> 0;
    case Alu.XOR:
      return (a ^ b) >>> 0;
    case Alu.LSH:
      return (a << (b & 31)) >>> 0;
    case Alu.RSH:
      return a >>> (b & 31);
    case Alu.ARSH:
      return ((a | 0) >> (b & 31)) >>> 0;
    case Alu.NEG:
      return -a >>> 0;
    case Alu.MOV:
      if (off === 0) return b >>> 0;
      if (off === 8) return ((b << 24) >> 24) >>> 0;
      if (off === 16) return ((b << 16) >> 16) >>> 0;
      return undefined;
    default:
      return undefined;
  }
}

/** Reverses the low `bits` bits' bytes (16, 32, 64), upper bits zero. Undefined for another width. */
export function byteSwap(v: bigint, bits: number): bigint | undefined {
  if (bits !== 16 && bits !== 32 && bits !== 64) return undefined;
  let out = 0n;
  for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((v >> BigInt(i)) & 0xffn);
  return out;
}

/**
 * END (byte swap) instructions: class ALU is "to little endian" (source bit 0) or "to big endian" (1) on a
 * little-endian machine, class ALU64 swaps unconditionally (source bit 0 only).
 */
export function byteOrder(v: bigint, wide: boolean, sourceBit: boolean, bits: number): bigint | undefined {
  if (wide && sourceBit) return undefined;
  if (wide || sourceBit) return byteSwap(v, bits);
  return bits === 16 || bits === 32 || bits === 64 ? BigInt.asUintN(bits, v) : undefined;
}

/** Is the condition of jump operation `op` (opcode & 0xf0) met? Operands are unsigned, of `bits` bits. */
export function condition(op: number, a: bigint, b: bigint, bits: 32 | 64): boolean | undefined {
  switch (op) {
    case Jmp.JEQ:
      return a === b;
    case Jmp.JNE:
      return a !== b;
    case Jmp.JGT:
      return a > b;
    case Jmp.JGE:
      return a >= b;
    case Jmp.JLT:
      return a < b;
    case Jmp.JLE:
      return a <= b;
    case Jmp.JSET:
      return (a & b) !== 0n;
    case Jmp.JSGT:
      return BigInt.asIntN(bits, a) > BigInt.asIntN(bits, b);
    case Jmp.JSGE:
      return BigInt.asIntN(bits, a) >= BigInt.asIntN(bits, b);
    case Jmp.JSLT:
      return BigInt.asIntN(bits, a) < BigInt.asIntN(bits, b);
    case Jmp.JSLE:
      return BigInt.asIntN(bits, a) <= BigInt.asIntN(bits, b);
    default:
      return undefined;
  }
}
