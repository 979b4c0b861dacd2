/**
 * Constants and 32-bit values, for the compiler: a plain dataflow over the instructions that the walk reached.
 * It joins over all edges and knows nothing of paths, so pruning cannot make it wrong; edges that the walk found
 * impossible are left out (their decision rested on values that pruning compares).
 */
import { calleeOf } from '../callee.js';
import {
  Alu,
  Atomic,
  Class,
  classOf,
  type Insn,
  Mode,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LDDW,
  Pseudo,
  SRC_X,
  sizeBytes,
} from '../insn.js';
import { type Cfg, isConditional, jumpTarget, Point } from './cfg.js';
import type { FactTable } from './facts.js';
import { constant, isConst } from './scalar.js';
import { aluScalar } from './scalar_alu.js';
import { endScalar, signExtend } from './scalar_width.js';

/** A constant, or an upper bound: the value is below 2^bits. */
interface Value {
  readonly v: bigint | undefined;
  readonly bits: number;
}

const below = (bits: number): Value => BELOW[Math.min(Math.max(bits, 0), 64)];
const BELOW: readonly Value[] = Array.from({ length: 65 }, (_, bits) => ({ v: undefined, bits }));
const ANY = BELOW[64];

function bitLength(v: bigint): number {
  const high = Number(v >> 32n);
  return high ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(v & 0xffff_ffffn));
}

function known(v: bigint): Value {
  const u = BigInt.asUintN(64, v);
  return { v: u, bits: bitLength(u) };
}

function join(a: Value, b: Value): Value {
  if (a === b || (a.v !== undefined && a.v === b.v)) return a;
  return below(Math.max(a.bits, b.bits));
}

const equal = (a: Value, b: Value): boolean => a.v === b.v && a.bits === b.bits;

function moved(insn: Insn, src: Value, wide: boolean): Value {
  if (insn.off !== 0) {
    const bits = insn.off as 8 | 16 | 32;
    if (src.v !== undefined) return known(signExtend(constant(src.v), bits, wide).tv);
    return src.bits < bits ? src : below(wide ? 64 : 32);
  }
  if (wide || src.bits <= 32) return src;
  return src.v !== undefined ? known(src.v & 0xffff_ffffn) : below(32);
}

function afterAlu(insn: Insn, regs: readonly Value[]): Value {
  const wide = classOf(insn.op) === Class.ALU64;
  const op = insn.op & 0xf0;
  const x = (insn.op & SRC_X) !== 0;
  const a = regs[insn.dst];
  if (op === Alu.END) {
    const bits = insn.imm as 16 | 32 | 64;
    const swaps = wide || x;
    if (a.v !== undefined) return known(endScalar(constant(a.v), bits, swaps).tv);
    return swaps ? below(bits) : below(Math.min(a.bits, bits));
  }
  const b = x ? regs[insn.src] : known(wide ? BigInt(insn.imm) : BigInt(insn.imm >>> 0));
  if (op === Alu.MOV) return moved(insn, b, wide);
  const out = combine(op, wide, a, b);
  return wide || out.bits <= 32 ? out : below(32);
}

function combine(op: number, wide: boolean, a: Value, b: Value): Value {
  if (a.v !== undefined && b.v !== undefined) {
    const s = aluScalar(op, wide, constant(a.v), constant(b.v));
    if (isConst(s)) return known(s.tv);
  }
  const width = wide ? 64 : 32;
  const x = Math.min(a.bits, width);
  const y = Math.min(b.bits, width);
  switch (op) {
    case Alu.ADD:
      return below(Math.max(x, y) + 1);
    case Alu.MUL:
      return below(x + y);
    case Alu.AND:
      return below(Math.min(x, y));
    case Alu.OR:
    case Alu.XOR:
      return below(Math.max(x, y));
    case Alu.LSH:
      return b.v !== undefined && b.v < BigInt(width) ? below(x + Number(b.v)) : ANY;
    case Alu.RSH:
      return b.v !== undefined && b.v < BigInt(width) ? below(x - Number(b.v)) : below(x);
    default:
      return ANY;
  }
}

/** What the instruction leaves in the registers it writes. */
function step(insn: Insn, at: number, regs: Value[], facts: FactTable): void {
  switch (classOf(insn.op)) {
    case Class.ALU:
    case Class.ALU64:
      regs[insn.dst] = afterAlu(insn, regs);
      return;
    case Class.LD:
      if (insn.op !== OP_LDDW) clobber(regs, below(32));
      return;
    case Class.LDX: {
      const constantThere = facts.loaded(at);
      const signed = (insn.op & 0xe0) === Mode.MEMSX;
      regs[insn.dst] =
        constantThere !== undefined ? known(constantThere) : below(signed ? 64 : sizeBytes(insn.op) * 8);
      return;
    }
    case Class.STX: {
      if ((insn.op & 0xe0) !== Mode.ATOMIC) return;
      const loaded = below(sizeBytes(insn.op) * 8);
      if (insn.imm === Atomic.LOAD_ACQ) regs[insn.dst] = loaded;
      else if (insn.imm === Atomic.CMPXCHG) regs[0] = loaded;
      else if (insn.imm !== Atomic.STORE_REL && insn.imm & Atomic.FETCH) regs[insn.src] = loaded;
      return;
    }
    case Class.JMP:
      if (insn.op === OP_CALL) clobber(regs, resultOf(insn));
  }
}

function resultOf(insn: Insn): Value {
  const result = calleeOf(insn)?.wasm.result;
  return result === 'w' || result === 'p' ? below(32) : ANY;
}

function clobber(regs: Value[], r0: Value): void {
  regs[0] = r0;
  for (let i = 1; i <= 5; i++) regs[i] = ANY;
}

/** Adds constants and `u32` to the facts about scalars. */
export function scalarFacts(insns: readonly Insn[], cfg: Cfg, facts: FactTable): void {
  const into: (Value[] | undefined)[] = new Array(insns.length);
  const todo: number[] = [];
  const flow = (to: number, regs: readonly Value[]): void => {
    const before = into[to];
    if (!before) {
      into[to] = regs.slice();
      todo.push(to);
      return;
    }
    let changed = false;
    for (let i = 0; i < 11; i++) {
      const joined = join(before[i], regs[i]);
      if (equal(joined, before[i])) continue;
      before[i] = joined;
      changed = true;
    }
    if (changed) todo.push(to);
  };
  const leaders = leadersOf(insns, cfg);
  const unknown = new Array<Value>(11).fill(ANY);
  for (const sub of cfg.subprogs) if (facts.reached(sub.start)) flow(sub.start, unknown);
  for (let from = todo.pop(); from !== undefined; from = todo.pop()) {
    const regs = into[from]!.slice();
    for (let at = from; ; ) {
      const insn = insns[at];
      if (insn.op === OP_EXIT || !facts.reached(at)) break;
      if (insn.op === OP_JA || insn.op === OP_JA32) {
        flow(jumpTarget(insn, at), regs);
        break;
      }
      if (isConditional(insn)) {
        const { taken, fallthrough } = facts.branch(at);
        if (taken) flow(jumpTarget(insn, at), regs);
        if (!fallthrough) break;
      } else if (insn.op === OP_LDDW) {
        regs[insn.dst] =
          insn.src === Pseudo.IMM64
            ? known((BigInt(insns[at + 1].imm) << 32n) | BigInt(insn.imm >>> 0))
            : ANY;
      } else step(insn, at, regs, facts);
      at += insn.op === OP_LDDW ? 2 : 1;
      if (leaders[at]) {
        flow(at, regs);
        break;
      }
    }
  }
  write(insns, leaders, into, facts);
}

/** Slots that more than one edge leads to, or that a jump leads to. */
function leadersOf(insns: readonly Insn[], cfg: Cfg): Uint8Array {
  const leaders = new Uint8Array(insns.length + 1);
  for (const sub of cfg.subprogs) leaders[sub.start] = 1;
  insns.forEach((insn, at) => {
    if (cfg.points[at] & Point.SECOND) return;
    if (isConditional(insn) || insn.op === OP_JA || insn.op === OP_JA32) leaders[jumpTarget(insn, at)] = 1;
  });
  return leaders;
}

/** Second round: the fixpoint is known, every operand gets its fact. */
function write(
  insns: readonly Insn[],
  leaders: Uint8Array,
  into: readonly (Value[] | undefined)[],
  facts: FactTable,
): void {
  let regs: Value[] | undefined;
  for (let at = 0; at < insns.length; at++) {
    if (leaders[at]) regs = into[at]?.slice();
    const insn = insns[at];
    if (!regs || !facts.reached(at)) continue;
    for (let i = 0; i < 11; i++) {
      if (facts.fact(at, i)?.kind !== 'scalar') continue;
      const { v, bits } = regs[i];
      if (v !== undefined) facts.refine(at, i, { kind: 'const', value: v, u32: bits <= 32 });
      else if (bits <= 32) facts.refine(at, i, { kind: 'scalar', u32: true });
    }
    if (insn.op === OP_LDDW) {
      regs[insn.dst] =
        insn.src === Pseudo.IMM64 ? known((BigInt(insns[at + 1].imm) << 32n) | BigInt(insn.imm >>> 0)) : ANY;
      at++;
    } else if (insn.op === OP_EXIT || insn.op === OP_JA || insn.op === OP_JA32) regs = undefined;
    else if (!isConditional(insn)) step(insn, at, regs, facts);
  }
}
