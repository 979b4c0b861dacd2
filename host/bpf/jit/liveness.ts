/**
 * Which variables each instruction reads and writes, and which are live where.
 * Variables are the registers r0–r10 (bits 0–10) and promoted stack slots (bits 11–31), as masks in an i32.
 */
import { Atomic, CallKind, Class, classOf, type Insn, Jmp, Mode, OP_LDDW, SRC_X } from '../insn.js';
import { callxRegister, targetOf } from '../wellformed.js';
import type { Graph } from './cfg.js';

export const FIRST_SLOT = 11;
/** Promoted stack slots of one function, at most. */
export const MAX_SLOTS = 32 - FIRST_SLOT;
const ARGS = 0b111110;

/** What liveness must be told about calls and promoted slots. */
export interface UseModel {
  /** Registers that the helper call at `pc` reads. */
  helperUses(pc: number): number;
  /** Parameters (mask of r1–r5) that the local function at slot `entry` reads. */
  localUses(entry: number): number;
  /** Do calls leave r1–r5 undefined (verified programs), or as they were (guarded)? */
  clobbers: boolean;
  /** Variable of the promoted stack slot that the instruction at `pc` accesses, or 0. */
  slot(pc: number): number;
}

export interface UseDef {
  use: number;
  def: number;
}

const bit = (reg: number): number => 1 << reg;

/** Registers (and promoted slots) read and written by the instruction at `pc`. */
export function useDef(insn: Insn, pc: number, model: UseModel, out: UseDef): void {
  const { op, dst, src, imm } = insn;
  out.use = 0;
  out.def = 0;
  const slot = model.slot(pc);
  switch (classOf(op)) {
    case Class.ALU:
    case Class.ALU64: {
      const code = op & 0xf0;
      out.def = bit(dst);
      if (code !== 0xb0) out.use = bit(dst);
      if (op & SRC_X && code !== 0xd0) out.use |= bit(src);
      return;
    }
    case Class.LDX:
      out.def = bit(dst);
      out.use = slot || bit(src);
      return;
    case Class.ST:
      if (slot) out.def = slot;
      else out.use = bit(dst);
      return;
    case Class.STX:
      if ((op & 0xe0) === Mode.ATOMIC) {
        if (imm === Atomic.LOAD_ACQ) {
          out.use = bit(src);
          out.def = bit(dst);
          return;
        }
        out.use = bit(dst) | bit(src) | (imm === Atomic.CMPXCHG ? 1 : 0);
        if (imm !== Atomic.STORE_REL && imm & Atomic.FETCH) out.def = imm === Atomic.CMPXCHG ? 1 : bit(src);
        return;
      }
      out.use = bit(src);
      if (slot) out.def = slot;
      else out.use |= bit(dst);
      return;
    case Class.LD:
      if (op === OP_LDDW) out.def = bit(dst);
      else {
        out.use = bit(6) | ((op & 0xe0) === Mode.IND ? bit(src) : 0);
        out.def = 1 | (model.clobbers ? ARGS : 0);
      }
      return;
    default: {
      const code = op & 0xf0;
      if (code === Jmp.EXIT) out.use = 1;
      else if (code === Jmp.CALL) {
        out.def = 1 | (model.clobbers ? ARGS : 0);
        if (op & SRC_X) out.use = ARGS | bit(callxRegister(insn));
        else if (src === CallKind.LOCAL) out.use = model.localUses(targetOf(insn, pc));
        else out.use = model.helperUses(pc) | slot;
      } else if (code !== Jmp.JA && code !== Jmp.JCOND) out.use = bit(dst) | (op & SRC_X ? bit(src) : 0);
    }
  }
}

/** Masks by slot, computed once: liveness and the search for next uses read them again and again. */
export interface UseDefTable {
  use: Int32Array;
  def: Int32Array;
}

/** Masks of every instruction in the blocks. */
export function useDefTable(insns: readonly Insn[], graph: Graph, model: UseModel): UseDefTable {
  const use = new Int32Array(insns.length);
  const def = new Int32Array(insns.length);
  const ud: UseDef = { use: 0, def: 0 };
  for (const { start, last } of graph.blocks)
    for (let pc = start; pc <= last; pc++) {
      // The second slot of an LDDW; no instruction has opcode 0.
      if (insns[pc].op === 0) continue;
      useDef(insns[pc], pc, model, ud);
      use[pc] = ud.use;
      def[pc] = ud.def;
    }
  return { use, def };
}

export interface Liveness {
  /** Live on entry to the block, by block index. */
  liveIn: Int32Array;
  /** Live after the instruction, by slot. */
  liveAfter: Int32Array;
}

export function liveness(graph: Graph, { use, def }: UseDefTable): Liveness {
  const { blocks } = graph;
  const count = blocks.length;
  const blockUse = new Int32Array(count);
  const blockDef = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const { start, last } = blocks[i];
    let u = 0;
    let d = 0;
    for (let pc = last; pc >= start; pc--) {
      u = (u & ~def[pc]) | use[pc];
      d |= def[pc];
    }
    blockUse[i] = u;
    blockDef[i] = d;
  }
  const liveIn = new Int32Array(count);
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = count - 1; i >= 0; i--) {
      const { taken, next } = blocks[i];
      const out = (taken >= 0 ? liveIn[taken] : 0) | (next >= 0 ? liveIn[next] : 0);
      const live = (out & ~blockDef[i]) | blockUse[i];
      if (live !== liveIn[i]) {
        liveIn[i] = live;
        changed = true;
      }
    }
  }
  const liveAfter = new Int32Array(use.length);
  for (let i = 0; i < count; i++) {
    const { start, last, taken, next } = blocks[i];
    let live = (taken >= 0 ? liveIn[taken] : 0) | (next >= 0 ? liveIn[next] : 0);
    for (let pc = last; pc >= start; pc--) {
      liveAfter[pc] = live;
      live = (live & ~def[pc]) | use[pc];
    }
  }
  return { liveIn, liveAfter };
}
