/**
 * Control flow of one function: basic blocks in reverse postorder, dominator tree, merge points, loop heads.
 * Made for structure.ts, which turns it into nested Wasm blocks.
 */
import { type Insn, OP_EXIT, OP_JA, OP_JA32, OP_LDDW } from '../insn.js';
import { isConditional, targetOf } from '../wellformed.js';

export interface Block {
  /** Position in reverse postorder: also the index into Graph.blocks. */
  index: number;
  /** First slot. */
  start: number;
  /** Slot of the last instruction. */
  last: number;
  /** Where control goes when the last instruction is a taken jump; -1 for none. */
  taken: number;
  /** Where control goes otherwise; -1 for none. */
  next: number;
  /** Blocks (indices) that lead here. */
  preds: number[];
  /** Immediate dominator; the entry is its own. */
  idom: number;
  /** Blocks that this one immediately dominates, in reverse postorder. */
  children: number[];
  /** At least two forward edges meet here. */
  merge: boolean;
  /** A back edge ends here. */
  loopHead: boolean;
  /** Blocks dominated, itself included. */
  weight: number;
}

export interface Graph {
  blocks: Block[];
  /** Every back edge ends at a block that dominates its source. Known after finishGraph. */
  reducible: boolean;
}

/** Which of the two ways out of the conditional jump at `pc` exist. Undefined: both. */
export type EdgeFilter = (pc: number) => { taken: boolean; fallthrough: boolean } | undefined;

const slots = (insn: Insn): number => (insn.op === OP_LDDW ? 2 : 1);

interface Draft {
  start: number;
  last: number;
  taken: number;
  next: number;
}

/** Ways out of the instruction at `pc`: -1 for none. */
function ways(insns: readonly Insn[], pc: number, filter: EdgeFilter): { taken: number; next: number } {
  const insn = insns[pc];
  if (insn.op === OP_EXIT) return { taken: -1, next: -1 };
  if (insn.op === OP_JA || insn.op === OP_JA32) return { taken: targetOf(insn, pc), next: -1 };
  const next = pc + slots(insn);
  if (!isConditional(insn)) return { taken: -1, next };
  const taken = targetOf(insn, pc);
  const known = filter(pc);
  if (!known || known.taken === known.fallthrough)
    return taken === next ? { taken: -1, next } : { taken, next };
  return known.taken ? { taken, next: -1 } : { taken: -1, next };
}

/** Splits what `entry` reaches into blocks, by start slot. */
function draftBlocks(insns: readonly Insn[], entry: number, filter: EdgeFilter): Map<number, Draft> {
  const seen = new Uint8Array(insns.length);
  const leader = new Uint8Array(insns.length);
  leader[entry] = 1;
  const work = [entry];
  const out = new Map<number, { taken: number; next: number }>();
  while (work.length) {
    let pc = work.pop()!;
    while (!seen[pc]) {
      seen[pc] = 1;
      const w = ways(insns, pc, filter);
      const jumps = w.taken >= 0 || w.next !== pc + slots(insns[pc]);
      if (jumps || isConditional(insns[pc])) {
        out.set(pc, w);
        if (w.taken >= 0) {
          leader[w.taken] = 1;
          work.push(w.taken);
        }
        if (w.next >= 0) leader[w.next] = 1;
      }
      if (w.next < 0) break;
      pc = w.next;
    }
  }
  const drafts = new Map<number, Draft>();
  for (let start = 0; start < insns.length; start++) {
    if (!leader[start] || !seen[start]) continue;
    let pc = start;
    for (;;) {
      const w = out.get(pc);
      if (w) {
        drafts.set(start, { start, last: pc, ...w });
        break;
      }
      const next = pc + slots(insns[pc]);
      if (leader[next]) {
        drafts.set(start, { start, last: pc, taken: -1, next });
        break;
      }
      pc = next;
    }
  }
  return drafts;
}

/** Reverse postorder of the drafts; the fall-through successor follows its block where it can. */
function reversePostorder(drafts: ReadonlyMap<number, Draft>, entry: number): number[] {
  const order: number[] = [];
  const seen = new Set<number>([entry]);
  const stack: { at: number; step: number }[] = [{ at: entry, step: 0 }];
  while (stack.length) {
    const top = stack[stack.length - 1];
    const d = drafts.get(top.at)!;
    const to = top.step === 0 ? d.taken : top.step === 1 ? d.next : undefined;
    top.step++;
    if (to === undefined) {
      order.push(top.at);
      stack.pop();
    } else if (to >= 0 && !seen.has(to)) {
      seen.add(to);
      stack.push({ at: to, step: 0 });
    }
  }
  return order.reverse();
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". */
function dominators(blocks: Block[]): void {
  blocks[0].idom = 0;
  const meet = (a: number, b: number): number => {
    while (a !== b) {
      while (a > b) a = blocks[a].idom;
      while (b > a) b = blocks[b].idom;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < blocks.length; i++) {
      let idom = -1;
      for (const p of blocks[i].preds) if (blocks[p].idom >= 0) idom = idom < 0 ? p : meet(p, idom);
      if (blocks[i].idom !== idom) {
        blocks[i].idom = idom;
        changed = true;
      }
    }
  }
}

function dominates(blocks: readonly Block[], a: number, b: number): boolean {
  while (b > a) b = blocks[b].idom;
  return a === b;
}

/** Blocks and edges of the function that starts at slot `entry`. */
export function buildGraph(
  insns: readonly Insn[],
  entry: number,
  filter: EdgeFilter = () => undefined,
): Graph {
  const drafts = draftBlocks(insns, entry, filter);
  const order = reversePostorder(drafts, entry);
  const indexOf = new Map(order.map((start, i) => [start, i]));
  const at = (pc: number): number => (pc < 0 ? -1 : indexOf.get(pc)!);
  const blocks = order.map((start, index): Block => {
    const d = drafts.get(start)!;
    return {
      index,
      start,
      last: d.last,
      taken: at(d.taken),
      next: at(d.next),
      preds: [],
      idom: -1,
      children: [],
      merge: false,
      loopHead: false,
      weight: 1,
    };
  });
  return { blocks, reducible: true };
}

/** Completes a graph with what structuring needs: predecessors, dominators, merge points, loop heads. */
export function finishGraph(graph: Graph): void {
  const { blocks } = graph;
  for (const b of blocks) {
    if (b.taken >= 0) blocks[b.taken].preds.push(b.index);
    if (b.next >= 0) blocks[b.next].preds.push(b.index);
  }
  dominators(blocks);
  for (const b of blocks) {
    let forward = 0;
    for (const p of b.preds) if (p < b.index) forward++;
    b.merge = forward > 1;
    for (const p of b.preds)
      if (p >= b.index) {
        b.loopHead = true;
        if (!dominates(blocks, b.index, p)) graph.reducible = false;
      }
  }
  for (let i = blocks.length - 1; i > 0; i--) blocks[blocks[i].idom].weight += blocks[i].weight;
  for (let i = 1; i < blocks.length; i++) blocks[blocks[i].idom].children.push(i);
}
