/**
 * Which registers may still be read before they are written, by instruction: found once per program by a backward
 * fixpoint inside each function (kernel: compute_live_registers). Dead registers are not compared when pruning.
 */
import { calleeOf } from '../callee.js';
import {
  Alu,
  Atomic,
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
  SRC_X,
} from '../insn.js';
import { type Cfg, isConditional, jumpTarget, Point } from './cfg.js';

const R0 = 1;
const ARGS = 0x3e;
const CALLER_SAVED = 0x3f;
const LEGACY_CTX = 1 << 6;

/** Registers that an instruction reads and writes, as bit sets: reads | writes << 16. */
export function usesOf(insn: Insn): number {
  const dst = 1 << insn.dst;
  const src = 1 << insn.src;
  const pack = (reads: number, writes: number): number => reads | (writes << 16);
  switch (classOf(insn.op)) {
    case Class.LD: {
      if (insn.op === OP_LDDW) return pack(0, dst);
      const reads = LEGACY_CTX | ((insn.op & 0xe0) === Mode.IND ? src : 0);
      return pack(reads, CALLER_SAVED);
    }
    case Class.LDX:
      return pack(src, dst);
    case Class.ST:
      return pack(dst, 0);
    case Class.STX: {
      if ((insn.op & 0xe0) !== Mode.ATOMIC) return pack(dst | src, 0);
      if (insn.imm === Atomic.LOAD_ACQ) return pack(src, dst);
      if (insn.imm === Atomic.CMPXCHG) return pack(dst | src | R0, R0);
      return pack(dst | src, insn.imm !== Atomic.STORE_REL && insn.imm & Atomic.FETCH ? src : 0);
    }
    case Class.ALU:
    case Class.ALU64: {
      const op = insn.op & 0xf0;
      if (op === Alu.END || op === Alu.NEG) return pack(dst, dst);
      const x = insn.op & SRC_X ? src : 0;
      return op === Alu.MOV ? pack(x, dst) : pack(dst | x, dst);
    }
    default:
      if (insn.op === OP_EXIT) return pack(R0, 0);
      if (insn.op === OP_CALL) return pack(callArgs(insn), CALLER_SAVED);
      if (insn.op === OP_JA || insn.op === OP_JA32 || (insn.op & 0xf0) === Jmp.JCOND) return 0;
      return pack(dst | (insn.op & SRC_X ? src : 0), 0);
  }
}

function callArgs(insn: Insn): number {
  const callee = calleeOf(insn);
  if (!callee) return ARGS;
  let reads = 0;
  for (const [i, arg] of callee.args.entries())
    if (!('type' in arg ? arg.type === 'dontcare' : arg.kind === 'ignored')) reads |= 2 << i;
  return reads;
}

/** Where control may go from `at` inside its function. */
function nextOf(insn: Insn, at: number): [number, number] {
  if (insn.op === OP_EXIT) return [-1, -1];
  if (insn.op === OP_JA || insn.op === OP_JA32) return [jumpTarget(insn, at), -1];
  return [insn.op === OP_LDDW ? at + 2 : at + 1, isConditional(insn) ? jumpTarget(insn, at) : -1];
}

/** Bit sets of registers live before each slot. */
export function liveRegisters(insns: readonly Insn[], cfg: Cfg): Uint16Array {
  const count = insns.length;
  const live = new Uint16Array(count);
  const uses = Uint32Array.from(insns, (insn, at) => (cfg.points[at] & Point.SECOND ? 0 : usesOf(insn)));
  // Jumps that lead to a slot, as linked lists: a slot's change asks its predecessors again, and only those.
  const head = new Int32Array(count).fill(-1);
  const link = new Int32Array(count).fill(-1);
  for (let at = 0; at < count; at++) {
    if (cfg.points[at] & Point.SECOND) continue;
    const insn = insns[at];
    if (!isConditional(insn) && insn.op !== OP_JA && insn.op !== OP_JA32) continue;
    const to = jumpTarget(insn, at);
    link[at] = head[to];
    head[to] = at;
  }
  const todo: number[] = [];
  const waiting = new Uint8Array(count);
  for (let at = 0; at < count; at++) {
    if (cfg.points[at] & Point.SECOND) continue;
    todo.push(at);
    waiting[at] = 1;
  }
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    waiting[at] = 0;
    const insn = insns[at];
    const [next, other] = nextOf(insn, at);
    const after = (next >= 0 && next < count ? live[next] : 0) | (other >= 0 ? live[other] : 0);
    const before = (after & ~(uses[at] >>> 16)) | (uses[at] & 0xffff);
    if (before === live[at]) continue;
    live[at] = before;
    const ask = (from: number): void => {
      if (from < 0 || waiting[from]) return;
      waiting[from] = 1;
      todo.push(from);
    };
    ask(cfg.points[at - 1] & Point.SECOND ? at - 2 : at - 1);
    for (let from = head[at]; from >= 0; from = link[from]) ask(from);
  }
  return live;
}
