/**
 * From a control-flow graph to nested Wasm blocks, by dominator tree (N. Ramsey, "Beyond Relooper", ICFP 2022).
 *
 *   loop                     X is a loop head: `br` here goes round again
 *     block                  one per merge point that X dominates: `br` here goes to it
 *       code of X, and inline the code of what only X leads to
 *     end
 *     code of the merge point
 *   end
 *
 * Written with a work list instead of recursion: nesting may be thousands deep. A graph that is not reducible
 * becomes one loop around a br_table over its blocks.
 */
import type { Block, Graph } from './cfg.js';
import type { FunctionBuilder } from './wasm/encoder.js';
import { I32, Op, VOID } from './wasm/opcodes.js';

/** What structure.ts asks of the translator. */
export interface BodyEmitter {
  /** Code of a block but for its last jump. A block without successors returns or traps. */
  body(block: Block): void;
  /** Pushes the condition (i32) under which the block's last jump is taken. `negate`: its opposite. */
  condition(block: Block, negate: boolean): void;
}

type Action =
  | { do: 'tree'; block: number }
  /** Ends the innermost construct. */
  | { do: 'end' };

export function emitStructured(graph: Graph, f: FunctionBuilder, emit: BodyEmitter): void {
  if (graph.reducible) new Structurer(graph, f, emit).run();
  else emitDispatch(graph, f, emit);
}

class Structurer {
  /** Open constructs, outermost first: the block that a `br` to it goes to, -1 for a plain `if`. */
  readonly #open: number[] = [];
  readonly #work: Action[] = [];
  /** Every merge point or loop head has one construct open at a time: its depth. */
  readonly #depthOf: Int32Array;

  constructor(
    readonly graph: Graph,
    readonly f: FunctionBuilder,
    readonly emit: BodyEmitter,
  ) {
    this.#depthOf = new Int32Array(graph.blocks.length * 2).fill(-1);
  }

  run(): void {
    this.#work.push({ do: 'tree', block: 0 });
    for (let action = this.#work.pop(); action; action = this.#work.pop()) {
      if (action.do === 'tree') this.#tree(this.graph.blocks[action.block]);
      else this.#end();
    }
    this.f.op(Op.unreachable);
  }

  /** Depths are kept apart for loops (even) and blocks (odd): a merge point may also be a loop head. */
  #begin(op: number, key: number): void {
    this.f.op(op).byte(VOID);
    if (key >= 0) this.#depthOf[key] = this.#open.length;
    this.#open.push(key);
  }

  #end(): void {
    const key = this.#open.pop()!;
    if (key >= 0) this.#depthOf[key] = -1;
    this.f.op(Op.end);
  }

  #tree(x: Block): void {
    const { blocks } = this.graph;
    const work = this.#work;
    if (x.loopHead) {
      this.#begin(Op.loop, x.index * 2);
      work.push({ do: 'end' });
    }
    const merges = x.children.filter(c => blocks[c].merge);
    for (let i = merges.length - 1; i >= 0; i--) {
      this.#begin(Op.block, merges[i] * 2 + 1);
      work.push({ do: 'tree', block: merges[i] }, { do: 'end' });
    }
    this.emit.body(x);
    this.#leave(x);
  }

  #isBranch(from: Block, to: number): boolean {
    return to <= from.index || this.graph.blocks[to].merge;
  }

  #branch(op: number, from: Block, to: number): void {
    const key = to <= from.index ? to * 2 : to * 2 + 1;
    this.f.op1(op, this.#open.length - 1 - this.#depthOf[key]);
  }

  #leave(x: Block): void {
    const { blocks } = this.graph;
    const { taken, next } = x;
    if (taken < 0 && next < 0) return;
    if (taken < 0 || next < 0) {
      const to = Math.max(taken, next);
      if (this.#isBranch(x, to)) this.#branch(Op.br, x, to);
      else this.#work.push({ do: 'tree', block: to });
      return;
    }
    if (this.#isBranch(x, taken)) {
      this.emit.condition(x, false);
      this.#branch(Op.br_if, x, taken);
      if (this.#isBranch(x, next)) this.#branch(Op.br, x, next);
      else this.#work.push({ do: 'tree', block: next });
      return;
    }
    if (this.#isBranch(x, next)) {
      this.emit.condition(x, true);
      this.#branch(Op.br_if, x, next);
      this.#work.push({ do: 'tree', block: taken });
      return;
    }
    // Both are inline: the lighter one inside an `if`, so that nesting grows with the logarithm only.
    const inner = blocks[taken].weight <= blocks[next].weight ? taken : next;
    this.emit.condition(x, inner === next);
    this.#begin(Op.if, -1);
    this.#work.push(
      { do: 'tree', block: inner === taken ? next : taken },
      { do: 'end' },
      { do: 'tree', block: inner },
    );
  }
}

/** loop { switch (label) { case 0: …; label = n; continue; … } } */
function emitDispatch(graph: Graph, f: FunctionBuilder, emit: BodyEmitter): void {
  const { blocks } = graph;
  const label = f.local(I32, 'label');
  f.op(Op.loop).byte(VOID);
  for (let i = 0; i < blocks.length; i++) f.op(Op.block).byte(VOID);
  f.get(label)
    .op(Op.br_table)
    .u32(blocks.length - 1);
  for (let i = 0; i < blocks.length; i++) f.u32(i);
  for (const x of blocks) {
    f.op(Op.end);
    // Open around the code of block i: blocks i + 1 …, then the loop.
    const loop = blocks.length - 1 - x.index;
    emit.body(x);
    if (x.taken < 0 && x.next < 0) continue;
    if (x.taken >= 0 && x.next >= 0) {
      f.i32(x.taken).i32(x.next);
      emit.condition(x, false);
      f.op(Op.select).set(label);
    } else f.i32(Math.max(x.taken, x.next)).set(label);
    f.op1(Op.br, loop);
  }
  f.op(Op.end).op(Op.unreachable);
}
