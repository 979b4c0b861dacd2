/**
 * Arithmetic: moves, scalar operations, and what may be done to pointers
 * (kernel: check_alu_op, adjust_reg_min_max_vals, adjust_ptr_min_max_vals).
 */
import { Alu, Class, classOf, type Insn, Jmp, SRC_X } from '../insn.js';
import { markPrecise } from './precision.js';
import {
  constReg,
  describeKind,
  Flag,
  isNullable,
  isPacket,
  isPointer,
  isScalar,
  Kind,
  Reg,
  scalarReg,
  UNKNOWN_REG,
  withId,
  ZERO_S,
} from './regs.js';
import { constant, isConst, S64_MIN, type Scalar, UNKNOWN } from './scalar.js';
import { aluScalar } from './scalar_alu.js';
import { refine } from './scalar_jump.js';
import { endScalar, signExtend, zext32 } from './scalar_width.js';
import { asSigned, LOW32 } from './tnum.js';
import type { Walk } from './walk.js';

/** BPF_MAX_VAR_OFF: no pointer's offset may reach it. */
export const MAX_OFF = 1n << 29n;
const LIMIT = 1 << 29;
/** Constants that need no bigints. */
const SMALL = 1n << 20n;

/** The register as a move reads it: an unknown scalar gets an id, so that both copies learn from one comparison. */
export function linkForMove(v: Walk, n: number): Reg {
  let r = v.cur.regs[n];
  if (r.kind !== Kind.SCALAR) return r;
  if (r.flags & Flag.ADD_CONST) r = scalarReg(r.s);
  if (r.id === 0 && !isConst(r.s)) r = withId(r, v.newId());
  v.cur.regs[n] = r;
  return r;
}

function move(v: Walk, insn: Insn, wide: boolean): void {
  const regs = v.cur.regs;
  if (!(insn.op & SRC_X)) {
    regs[insn.dst] = constReg(wide ? BigInt(insn.imm) : BigInt(insn.imm >>> 0));
    return;
  }
  const src = v.read(insn.src);
  if (wide && insn.off === 0) {
    regs[insn.dst] = linkForMove(v, insn.src);
    return;
  }
  if (src.kind !== Kind.SCALAR) {
    regs[insn.dst] = wide ? UNKNOWN_REG : scalarReg(zext32(UNKNOWN));
    return;
  }
  if (insn.off !== 0) {
    const bits = insn.off as 8 | 16 | 32;
    const s = signExtend(src.s, bits, wide);
    // Without a sign bit to extend the copy equals the original.
    regs[insn.dst] = src.s.umax < 1n << BigInt(bits - 1) ? linkForMove(v, insn.src) : scalarReg(s);
    return;
  }
  regs[insn.dst] = src.s.umax <= LOW32 ? linkForMove(v, insn.src) : scalarReg(zext32(src.s));
}

const OFFSET_KINDS: ReadonlySet<number> = new Set([
  Kind.CTX,
  Kind.MAP_VALUE,
  Kind.MAP_KEY,
  Kind.STACK,
  Kind.PACKET,
  Kind.PACKET_META,
  Kind.MEM,
  Kind.FUNC,
  Kind.OBJECT,
  Kind.OWNED,
]);

/** Offsets stay small enough that no sum of them can wrap. */
function checkOffset(v: Walk, s: Scalar, off: number, kind: number): void {
  const what = describeKind(kind);
  if (isConst(s)) {
    const val = asSigned(s.tv);
    if (val >= MAX_OFF || val <= -MAX_OFF)
      v.fail('pointer-offset', `math between a ${what} pointer and ${val} is not allowed`);
  }
  if (BigInt(off) >= MAX_OFF || BigInt(off) <= -MAX_OFF)
    v.fail('pointer-offset', `a ${what} pointer with offset ${off} is not allowed`);
  if (s.smin === S64_MIN)
    v.fail(
      'pointer-offset',
      `math between a ${what} pointer and a register without lower bound is not allowed`,
    );
  if (s.smin >= MAX_OFF || s.smin <= -MAX_OFF)
    v.fail('pointer-offset', `the value ${s.smin} brings a ${what} pointer out of bounds`);
}

/** pointer ± scalar; `n` is the register that gets the result. */
function adjustPointer(v: Walk, insn: Insn, wide: boolean, ptr: Reg, by: Scalar, reversed: boolean): Reg {
  const op = insn.op & 0xf0;
  const dst = insn.dst;
  const known = isConst(by);
  const k = known ? asSigned(by.tv) : 0n;
  const what = describeKind(ptr.kind);
  if (!wide) {
    if (op === Alu.SUB) return UNKNOWN_REG;
    v.fail('pointer-arithmetic', `32-bit arithmetic on r${dst}, a pointer, is prohibited`);
  }
  if (isNullable(ptr))
    v.fail(
      'null-pointer',
      `arithmetic on r${dst}, which may be NULL, is prohibited: compare it with 0 first`,
    );
  const nothing = known && k === 0n && op === Alu.ADD;
  if (!OFFSET_KINDS.has(ptr.kind) && !(ptr.kind === Kind.MAP_PTR && nothing))
    v.fail('pointer-arithmetic', `arithmetic on r${dst}, a ${what} pointer, is prohibited`);
  if (wide && known && op === Alu.ADD && ptr.s === ZERO_S && ptr.size >= 0 && k > -SMALL && k < SMALL) {
    const off = ptr.off + Number(k);
    if (off > -LIMIT && off < LIMIT && ptr.off > -LIMIT && ptr.off < LIMIT)
      return new Reg(ptr.kind, ZERO_S, off, ptr.id, ptr.flags, ptr.size, ptr.map, ptr.ref, ptr.uid);
  }
  checkOffset(v, by, 0, ptr.kind);
  checkOffset(v, ptr.s, ptr.off, ptr.kind);
  let out: Reg;
  if (op !== Alu.ADD && op !== Alu.SUB)
    v.fail('pointer-arithmetic', `r${dst} is a pointer: only adding and subtracting is allowed`);
  if (op === Alu.SUB) {
    if (reversed) v.fail('pointer-arithmetic', `a pointer is subtracted from r${dst}, a scalar`);
    if (ptr.kind === Kind.STACK)
      v.fail('pointer-arithmetic', `subtraction from r${dst}, a stack pointer, is prohibited`);
  }
  const sum = BigInt(ptr.off) + (op === Alu.ADD ? k : -k);
  if (known && sum === BigInt.asIntN(32, sum)) {
    // What data_end told about this very address does not hold for another.
    const size = isPacket(ptr) && ptr.size < 0 && k !== 0n ? 0 : ptr.size;
    out = new Reg(ptr.kind, ptr.s, Number(sum), ptr.id, ptr.flags, size, ptr.map, ptr.ref, ptr.uid);
  } else {
    const s = aluScalar(op, true, ptr.s, by);
    let { id, size } = ptr;
    if (isPacket(ptr)) {
      id = v.newId();
      if (op === Alu.ADD || by.smin < 0n || size < 0) size = 0;
    }
    out = new Reg(ptr.kind, s, ptr.off, id, ptr.flags, size, ptr.map, ptr.ref, ptr.uid);
  }
  checkOffset(v, out.s, out.off, out.kind);
  return out;
}

/** to_be swaps on this little-endian machine, to_le only cuts; the 64-bit class always swaps. */
function byteOrder(dst: Reg, insn: Insn, wide: boolean): Reg {
  const swaps = wide || (insn.op & SRC_X) !== 0;
  const bits = insn.imm as 16 | 32 | 64;
  return !swaps && bits === 64 ? dst : scalarReg(endScalar(dst.s, bits, swaps));
}

export function walkAlu(v: Walk, insn: Insn): void {
  const regs = v.cur.regs;
  const wide = classOf(insn.op) === Class.ALU64;
  const op = insn.op & 0xf0;
  if (op === Alu.MOV) return move(v, insn, wide);
  const dst = v.read(insn.dst);
  if (op === Alu.END) {
    regs[insn.dst] = isScalar(dst) ? byteOrder(dst, insn, wide) : UNKNOWN_REG;
    return;
  }
  if (op === Alu.NEG) {
    regs[insn.dst] = isScalar(dst) ? scalarReg(aluScalar(op, wide, dst.s, dst.s)) : UNKNOWN_REG;
    return;
  }
  const x = (insn.op & SRC_X) !== 0;
  const src = x ? v.read(insn.src) : undefined;
  if (isPointer(dst)) {
    if (src && isPointer(src)) {
      if (op !== Alu.SUB)
        v.fail(
          'pointer-arithmetic',
          `r${insn.dst} and r${insn.src} are pointers: they may only be subtracted`,
        );
      regs[insn.dst] = UNKNOWN_REG;
      return;
    }
    if (src) markPrecise(v, insn.src);
    regs[insn.dst] = adjustPointer(v, insn, wide, dst, src ? src.s : constant(BigInt(insn.imm)), false);
    return;
  }
  if (src && isPointer(src)) {
    markPrecise(v, insn.dst);
    regs[insn.dst] = adjustPointer(v, insn, wide, src, dst.s, true);
    return;
  }
  const by = src ? src.s : constant(wide ? BigInt(insn.imm) : BigInt(insn.imm >>> 0));
  if ((op === Alu.AND || op === Alu.OR) && isConst(by)) return maskSign(v, insn, wide, dst, by);
  const s = aluScalar(op, wide, dst.s, by);
  // r1 = r2; r1 += 4: a bound of one is a bound of the other.
  const links = wide && (op === Alu.ADD || op === Alu.SUB) && dst.id !== 0 && !(dst.flags & Flag.ADD_CONST);
  const delta = links && isConst(by) ? asSigned(by.tv) * (op === Alu.SUB ? -1n : 1n) : undefined;
  if (delta !== undefined && delta === BigInt.asIntN(32, delta))
    regs[insn.dst] = new Reg(Kind.SCALAR, s, Number(delta), dst.id, Flag.ADD_CONST, 0, undefined, 0, 0);
  else regs[insn.dst] = scalarReg(s);
}

/**
 * A value that is 0 or −1 (a sign, made by an arithmetic shift) and is masked: two paths, each with a constant
 * (kernel: maybe_fork_scalars).
 */
function maskSign(v: Walk, insn: Insn, wide: boolean, dst: Reg, by: Scalar): void {
  const op = insn.op & 0xf0;
  const { smin, smax, s32min, s32max } = dst.s;
  const is64 = smin === -1n && smax === 0n;
  if (is64 || (s32min === -1 && s32max === 0)) {
    const zero = refine(Jmp.JEQ, is64, dst.s, constant(0n), true);
    const ones = refine(Jmp.JEQ, is64, dst.s, constant(-1n), true);
    if (zero && ones) {
      const other = v.cur.clone();
      other.hist = v.step.prev;
      other.regs[insn.dst] = scalarReg(zero[0]);
      v.push(other, v.pc);
      v.setScalar(insn.dst, aluScalar(op, wide, ones[0], by));
      return;
    }
  }
  v.setScalar(insn.dst, aluScalar(op, wide, dst.s, by));
}
