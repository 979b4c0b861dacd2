/** Loads, stores, atomics, wide immediates, and the legacy packet loads. */
import { SkBuffLayout } from '../../layout/layout.gen.js';
import { Eth } from '../../wire/layout.gen.js';
import { Atomic, Class, classOf, type Insn, Mode, OP_LDDW, Pseudo, sizeBytes } from '../insn.js';
import { programTypes } from '../program_types.js';
import type { FunctionEmitter } from './emitter.js';
import { refuse } from './program.js';
import { immediate, type State } from './transfer.js';
import { FRAME_BYTES } from './unit.js';
import { bitsOf, type Value } from './values.js';
import type { FunctionBuilder, ModuleBuilder } from './wasm/encoder.js';
import { AtomicOp, I32, I64, Op } from './wasm/opcodes.js';

/** Static offsets below this cannot carry an address over 2^32: page 0 of the arena holds no object. */
const STATIC_LIMIT = 4096;
/** MapHeader.dataAt. */
const DATA_AT = 24;

export function emitMemory(e: FunctionEmitter, pc: number, insn: Insn, after: State): void {
  switch (classOf(insn.op)) {
    case Class.LDX:
      emitLoad(e, pc, insn, after[insn.dst]);
      return;
    case Class.LD:
      if (insn.op === OP_LDDW) emitWide(e, pc, insn, after[insn.dst]);
      else emitPacketLoad(e, pc, insn);
      return;
    default:
      if ((insn.op & 0xe0) === Mode.ATOMIC) emitAtomic(e, pc, insn, after);
      else emitStore(e, pc, insn, after);
  }
}

/** Pushes the address of value + off; returns the static offset to use with it. */
export function emitAddress(
  e: FunctionEmitter,
  pc: number,
  base: Value,
  v: number,
  off: number,
  size: number,
  aligned = false,
): number {
  const { f } = e;
  if (e.unit.guard) return e.unit.guard.address(e, pc, base, v, off, size, aligned);
  if (base.k === 'const') {
    f.i32(Number(BigInt.asIntN(32, base.v + BigInt(off))));
    return 0;
  }
  if (base.k === 'fp') {
    const at = FRAME_BYTES + base.off + off;
    f.get(e.frame);
    if (at >= 0 && at < STATIC_LIMIT) return at;
    f.i32(at).op(Op.i32_add);
    return 0;
  }
  e.pushLow(base, v);
  if (off >= 0 && off < STATIC_LIMIT) return off;
  f.i32(off).op(Op.i32_add);
  return 0;
}

function emitLoad(e: FunctionEmitter, pc: number, insn: Insn, result: Value): void {
  const { f } = e;
  const signed = (insn.op & 0xe0) === Mode.MEMSX;
  const size = sizeBytes(insn.op);
  const slot = e.transfer.slotOf(pc);
  const dead = !e.lives(pc, insn.dst);
  if (slot >= 0) {
    if (dead || (result.k !== 'w32' && result.k !== 'w64')) return;
    const held = e.state[slot];
    if (result.k === 'w32') e.pushLow(held, slot);
    else e.push(held, slot);
    if (signed && result.k === 'w64') f.op(SIGN_EXTEND[size]);
    e.assign(insn.dst, result);
    return;
  }
  if (dead && !e.unit.guard) return;
  if (result.k === 'const') return;
  const off = emitAddress(e, pc, e.view(pc, insn.src), insn.src, insn.off, size);
  const narrow = result.k === 'w32';
  switch (size) {
    case 1:
      f.mem(signed ? (narrow ? Op.i32_load8_s : Op.i64_load8_s) : Op.i32_load8_u, off);
      break;
    case 2:
      f.mem(signed ? (narrow ? Op.i32_load16_s : Op.i64_load16_s) : Op.i32_load16_u, off);
      break;
    case 4:
      f.mem(signed && !narrow ? Op.i64_load32_s : Op.i32_load, off);
      break;
    default:
      // Little-endian: the low half of a value known to be narrow is at the same address.
      f.mem(narrow ? Op.i32_load : Op.i64_load, off);
  }
  if (dead) f.op(Op.drop);
  else e.assign(insn.dst, result);
}

const SIGN_EXTEND: Record<number, number> = {
  1: Op.i64_extend8_s,
  2: Op.i64_extend16_s,
  4: Op.i64_extend32_s,
};

function emitStore(e: FunctionEmitter, pc: number, insn: Insn, after: State): void {
  const { f } = e;
  const size = sizeBytes(insn.op);
  const fromImm = classOf(insn.op) === Class.ST;
  const value = fromImm ? immediate(insn.imm) : e.view(pc, insn.src);
  const slot = e.transfer.slotOf(pc);
  if (slot >= 0) {
    const kept = after[slot];
    if (!e.lives(pc, slot) || (kept.k !== 'w32' && kept.k !== 'w64')) return;
    if (kept.k === 'w64') e.push(value, insn.src);
    else {
      e.pushLow(value, insn.src);
      if (size < 4 && bitsOf(value) > size * 8) f.i32(size === 1 ? 0xff : 0xffff).op(Op.i32_and);
    }
    e.assign(slot, kept);
    return;
  }
  const off = emitAddress(e, pc, e.view(pc, insn.dst), insn.dst, insn.off, size);
  if (size === 8) e.push(value, insn.src);
  else e.pushLow(value, insn.src);
  f.mem(
    size === 1 ? Op.i32_store8 : size === 2 ? Op.i32_store16 : size === 4 ? Op.i32_store : Op.i64_store,
    off,
  );
}

function emitWide(e: FunctionEmitter, pc: number, insn: Insn, result: Value): void {
  if (result.k !== 'w32' || !e.lives(pc, insn.dst)) return;
  // A map value whose address is known at run time only.
  const map = e.unit.program.maps[insn.imm];
  e.f.i32(map.addr).mem(Op.i32_load, DATA_AT);
  if (insn.src === Pseudo.MAP_VALUE || insn.src === Pseudo.MAP_IDX_VALUE) {
    const offset = e.unit.program.insns[pc + 1].imm;
    if (offset) e.f.i32(offset).op(Op.i32_add);
  }
  e.assign(insn.dst, result);
}

/** Read-modify-write operations: [i32, i64]. */
const RMW: Record<number, readonly [number, number]> = {
  [Atomic.ADD]: [AtomicOp.i32_add, AtomicOp.i64_add],
  [Atomic.OR]: [AtomicOp.i32_or, AtomicOp.i64_or],
  [Atomic.AND]: [AtomicOp.i32_and, AtomicOp.i64_and],
  [Atomic.XOR]: [AtomicOp.i32_xor, AtomicOp.i64_xor],
  [Atomic.XCHG & ~Atomic.FETCH]: [AtomicOp.i32_xchg, AtomicOp.i64_xchg],
};
const LOG2: Record<number, number> = { 1: 0, 2: 1, 4: 2, 8: 3 };
const ACQUIRE: Record<number, number> = {
  1: AtomicOp.i32_load8_u,
  2: AtomicOp.i32_load16_u,
  4: AtomicOp.i32_load,
  8: AtomicOp.i64_load,
};
const RELEASE: Record<number, number> = {
  1: AtomicOp.i32_store8,
  2: AtomicOp.i32_store16,
  4: AtomicOp.i32_store,
  8: AtomicOp.i64_store,
};

function emitAtomic(e: FunctionEmitter, pc: number, insn: Insn, after: State): void {
  const { f } = e;
  const { imm, dst, src } = insn;
  const size = sizeBytes(insn.op);
  const log2 = LOG2[size];
  const put = (reg: number): void => {
    if (size === 8) e.push(e.view(pc, reg), reg);
    else e.pushLow(e.view(pc, reg), reg);
  };
  /** The old value is on the Wasm stack. */
  const keep = (reg: number): void => {
    if (e.lives(pc, reg)) e.assign(reg, after[reg]);
    else f.op(Op.drop);
  };
  if (imm === Atomic.LOAD_ACQ) {
    const off = emitAddress(e, pc, e.view(pc, src), src, insn.off, size, true);
    f.atomic(ACQUIRE[size], log2, off);
    keep(dst);
    return;
  }
  const off = emitAddress(e, pc, e.view(pc, dst), dst, insn.off, size, true);
  if (imm === Atomic.STORE_REL) {
    put(src);
    f.atomic(RELEASE[size], log2, off);
  } else if (imm === Atomic.CMPXCHG) {
    put(0);
    put(src);
    f.atomic(size === 8 ? AtomicOp.i64_cmpxchg : AtomicOp.i32_cmpxchg, log2, off);
    keep(0);
  } else {
    put(src);
    f.atomic(RMW[imm & ~Atomic.FETCH][size === 8 ? 1 : 0], log2, off);
    if (imm & Atomic.FETCH) keep(src);
    else f.op(Op.drop);
  }
}

/** LD_ABS and LD_IND: bytes of the packet in network order into r0; outside of it the program ends with 0. */
function emitPacketLoad(e: FunctionEmitter, pc: number, insn: Insn): void {
  const { f, unit } = e;
  if (unit.guard || !programTypes[unit.program.spec.type].legacyLoads)
    throw refuse(unit.program, pc, 'packet loads are for tc and socket filter programs');
  const at = e.temp(I32, 'packet');
  const size = sizeBytes(insn.op);
  e.pushLow(e.view(pc, 6), 6);
  f.i32(insn.imm);
  if ((insn.op & 0xe0) === Mode.IND) {
    e.pushLow(e.view(pc, insn.src), insn.src);
    f.op(Op.i32_add);
  }
  f.i32(size).op1(Op.call, unit.skbAt).tee(at).op(Op.i32_eqz).op(Op.if).byte(0x40);
  f.i64(0n).op(Op.return).op(Op.end);
  f.get(at);
  if (size === 1) f.mem(Op.i32_load8_u, 0);
  else if (size === 2) {
    f.mem(Op.i32_load8_u, 0).i32(8).op(Op.i32_shl);
    f.get(at).mem(Op.i32_load8_u, 1).op(Op.i32_or);
  } else {
    f.mem(Op.i32_load, 0).tee(at).i32(8).op(Op.i32_rotl).i32(0x00ff00ff).op(Op.i32_and);
    f.get(at).i32(24).op(Op.i32_rotl).i32(0xff00ff00).op(Op.i32_and).op(Op.i32_or);
  }
  f.set(e.narrow(0));
}

/**
 * skb_at(ctx, offset, size) → address of packet bytes, 0 when they are not all there. Negative offsets count from
 * the link header (SKF_LL_OFF) or the network header (SKF_NET_OFF). `hiddenBytes` of link header lie before what the program is shown.
 */
export function defineSkbAt(m: ModuleBuilder, hiddenBytes: number): FunctionBuilder {
  const f = m.addFunction('skb_at', [I32, I32, I32], [I32]);
  const [ctx, offset, size] = [0, 1, 2];
  const at = f.local(I64, 'at');
  /** 64-bit: nothing wraps. */
  const data = (extra: number): void => {
    f.get(ctx).mem(Op.i64_load32_u, SkBuffLayout.data);
    f.get(offset).op(Op.i64_extend_i32_s).op(Op.i64_add).i64(BigInt(extra)).op(Op.i64_add).set(at);
  };
  const link = -hiddenBytes;
  f.get(offset).i32(0).op(Op.i32_ge_s).op(Op.if).byte(0x40);
  data(0);
  f.op(Op.else).get(offset).i32(-0x100000).op(Op.i32_ge_s).op(Op.if).byte(0x40);
  data(0x100000 + link + Eth.size);
  f.op(Op.else).get(offset).i32(-0x200000).op(Op.i32_ge_s).op(Op.if).byte(0x40);
  data(0x200000 + link);
  f.op(Op.else).i32(0).op(Op.return).op(Op.end).op(Op.end).op(Op.end);
  f.get(at).get(size).op(Op.i64_extend_i32_u).op(Op.i64_add);
  f.get(ctx).mem(Op.i64_load32_u, SkBuffLayout.dataEnd).op(Op.i64_gt_u);
  f.op(Op.if).byte(0x40).i32(0).op(Op.return).op(Op.end);
  f.get(at).op(Op.i32_wrap_i64);
  return f;
}
