/** Which bytes of a function's frame must be memory, and which accesses can be locals instead. */
import { CallKind, Class, classOf, type Insn, Jmp, Mode, SRC_X, sizeBytes } from '../insn.js';
import type { Pass } from './analysis.js';
import { pointedBytes } from './calls.js';
import type { Graph } from './cfg.js';
import { FIRST_SLOT, MAX_SLOTS } from './liveness.js';
import type { Program } from './program.js';
import type { State } from './transfer.js';
import type { Value } from './values.js';

/** A stack slot that lives in a local. */
export interface Slot {
  /** Offset from r10. */
  off: number;
  size: number;
}

/** Bytes of the frame that stay in memory, and accesses at known offsets. */
interface StackUse {
  /** Some address of the frame is used in a way that is not followed. */
  escapes: boolean;
  /** One entry per known access: offset, size, slot of the instruction. */
  accesses: { off: number; size: number; pc: number }[];
  /** Ranges handed to helpers or accessed atomically. */
  memory: { off: number; size: number }[];
}

/** How the function uses its frame, by the values of a finished pass. */
export function stackUse(program: Program, graph: Graph, pass: Pass): StackUse {
  const use: StackUse = { escapes: false, accesses: [], memory: [] };
  const { transfer } = pass;
  pass.each((pc, insn, state) => {
    if (use.escapes || transfer.slotOf(pc) >= 0) {
      // A promoted access uses no memory; an inlined lookup by a promoted key neither.
      return;
    }
    const isFp = (reg: number): boolean => state[reg].k === 'fp';
    const offset = (reg: number): number => (state[reg] as { off: number }).off;
    const cls = classOf(insn.op);
    switch (cls) {
      case Class.LDX:
        if (isFp(insn.src))
          use.accesses.push({ off: offset(insn.src) + insn.off, size: sizeBytes(insn.op), pc });
        return;
      case Class.ST:
      case Class.STX: {
        const isAtomic = cls === Class.STX && (insn.op & 0xe0) === Mode.ATOMIC;
        if (cls === Class.STX && !(isAtomic && insn.imm === 0x100) && isFp(insn.src)) use.escapes = true;
        const base = isAtomic && insn.imm === 0x100 ? insn.src : insn.dst;
        if (!isFp(base)) return;
        const range = { off: offset(base) + insn.off, size: sizeBytes(insn.op) };
        if (isAtomic) use.memory.push(range);
        else use.accesses.push({ ...range, pc });
        return;
      }
      case Class.ALU:
      case Class.ALU64: {
        const code = insn.op & 0xf0;
        const fromSrc = (insn.op & SRC_X) !== 0 && code !== 0xd0 && isFp(insn.src);
        const fromDst = code !== 0xb0 && isFp(insn.dst);
        if (!fromSrc && !fromDst) return;
        const after = state.slice();
        transfer.step(after, pc);
        // The result is an address of the frame still, or is not needed.
        if (after[insn.dst].k !== 'fp' && pass.live.liveAfter[pc] & (1 << insn.dst)) use.escapes = true;
        return;
      }
      case Class.LD:
        return;
      default:
        stackUseOfJump(program, pass, pc, insn, state, use);
    }
  });
  if (!use.escapes) use.escapes = losesFrame(graph, pass);
  return use;
}

function stackUseOfJump(
  program: Program,
  pass: Pass,
  pc: number,
  insn: Insn,
  state: State,
  use: StackUse,
): void {
  const code = insn.op & 0xf0;
  const isFp = (reg: number): boolean => state[reg].k === 'fp';
  if (code === Jmp.EXIT) {
    if (isFp(0)) use.escapes = true;
    return;
  }
  if (code !== Jmp.CALL) {
    if (code !== Jmp.JA && code !== Jmp.JCOND && (isFp(insn.dst) || (insn.op & SRC_X && isFp(insn.src))))
      if (pass.transfer.decided(state, pc) === undefined) use.escapes = true;
    return;
  }
  const args = [1, 2, 3, 4, 5].filter(r => pass.table.use[pc] & (1 << r) && isFp(r));
  if (!args.length) return;
  if (insn.op & SRC_X || insn.src === CallKind.LOCAL || program.mode === 'guarded') {
    use.escapes = true;
    return;
  }
  const plan = pass.transfer.plan(state, pc);
  const value = (reg: number): Value => pass.transfer.view(state, pc, reg);
  for (const reg of args) {
    const off = (state[reg] as { off: number }).off;
    const bytes = pointedBytes(plan, reg - 1, program, value);
    if (bytes === undefined) use.escapes = true;
    else if (plan.kind === 'array_lookup') use.accesses.push({ off, size: 4, pc });
    else use.memory.push({ off, size: bytes });
  }
}

/** Does an address of the frame flow into a merge point where it is no longer known? */
function losesFrame(graph: Graph, pass: Pass): boolean {
  for (const b of graph.blocks) {
    const state = pass.exits[b.index];
    if (!state) continue;
    for (const to of [b.taken, b.next]) {
      const target = to < 0 ? undefined : pass.states.get(graph.blocks[to].start);
      if (!target) continue;
      for (let v = 0; v < FIRST_SLOT - 1; v++)
        if (state[v].k === 'fp' && target[v].k !== 'fp' && pass.live.liveIn[to] & (1 << v)) return true;
    }
  }
  return false;
}

/** Groups of accesses that all have the same place and size, apart from every other use, become slots. */
export function promote(use: StackUse, insnCount: number): { slots: Slot[]; slotAt: Int8Array } {
  const groups = new Map<string, { off: number; size: number; pcs: number[] }>();
  for (const a of use.accesses) {
    const key = `${a.off}/${a.size}`;
    const g = groups.get(key);
    if (g) g.pcs.push(a.pc);
    else groups.set(key, { off: a.off, size: a.size, pcs: [a.pc] });
  }
  const overlaps = (a: Slot, b: Slot): boolean => a.off < b.off + b.size && b.off < a.off + a.size;
  const all = [...groups.values()];
  const fit = all.filter(
    g => !use.memory.some(m => overlaps(g, m)) && !all.some(other => other !== g && overlaps(g, other)),
  );
  fit.sort((a, b) => b.pcs.length - a.pcs.length);
  const slotAt = new Int8Array(insnCount).fill(-1);
  const slots = fit.slice(0, MAX_SLOTS).map((g, i): Slot => {
    for (const pc of g.pcs) slotAt[pc] = FIRST_SLOT + i;
    return { off: g.off, size: g.size };
  });
  return { slots, slotAt };
}
