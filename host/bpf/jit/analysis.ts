/**
 * What the emitter must know of one function before it writes code: the graph without dead edges, what every
 * variable holds on entry to every block, which variables are live, and which stack bytes can live in locals.
 */
import { type Insn, OP_EXIT } from '../insn.js';
import { isConditional, targetOf } from '../wellformed.js';
import { helperUses } from './calls.js';
import { buildGraph, type EdgeFilter, finishGraph, type Graph } from './cfg.js';
import {
  FIRST_SLOT,
  type Liveness,
  liveness,
  type UseDefTable,
  type UseModel,
  useDefTable,
} from './liveness.js';
import type { Program } from './program.js';
import { promote, type Slot, stackUse } from './stack_slots.js';
import { type State, Transfer } from './transfer.js';
import { ANY, bitsOf, join, same, unknown, type Value, ZERO } from './values.js';

/** Visits of one block after which growing values go to the top. */
const WIDEN_AFTER = 6;

export interface LocalCall {
  /** Slot of the callee's first instruction. */
  entry: number;
  /** r1–r5. */
  args: Value[];
}

export interface FunctionAnalysis {
  entry: number;
  graph: Graph;
  live: Liveness;
  transfer: Transfer;
  /** State on entry to a block, by its start slot. */
  states: ReadonlyMap<number, State>;
  slots: readonly Slot[];
  /** The frame in memory is used. */
  usesFrame: boolean;
  /** Parameters among r1–r5 that are live on entry (mask). */
  params: number;
  /** What r1–r5 hold on entry. */
  entryArgs: readonly Value[];
  calls: readonly LocalCall[];
}

/** A function before anything is known of values. */
interface Base {
  graph: Graph;
  table: UseDefTable;
  live: Liveness;
}

const noSlots = (): number => -1;
const ALL_PARAMS = 0b111110;

export class Analyser {
  readonly #graphs = new Map<number, Graph>();
  readonly #bases = new Map<number, Base | 'open'>();
  readonly #factFilter: EdgeFilter;

  constructor(readonly program: Program) {
    this.#factFilter = pc => program.facts.branch(pc);
  }

  /** Blocks of the function at `entry`, without the edges that no path takes. */
  graph(entry: number): Graph {
    let graph = this.#graphs.get(entry);
    if (!graph) {
      graph = buildGraph(this.program.insns, entry, this.#factFilter);
      this.#graphs.set(entry, graph);
    }
    return graph;
  }

  /** Parameters that the function at `entry` reads, whatever the values; all five inside a recursion. */
  localUses(entry: number): number {
    return this.#bases.get(entry) === 'open' ? ALL_PARAMS : this.#base(entry).live.liveIn[0] & ALL_PARAMS;
  }

  #base(entry: number): Base {
    const known = this.#bases.get(entry);
    if (known && known !== 'open') return known;
    this.#bases.set(entry, 'open');
    const graph = this.graph(entry);
    const table = useDefTable(this.program.insns, graph, this.#model(noSlots));
    const base = { graph, table, live: liveness(graph, table) };
    this.#bases.set(entry, base);
    return base;
  }

  #model(slotOf: (pc: number) => number): UseModel {
    const { program } = this;
    return {
      helperUses: pc => helperUses(program, program.insns[pc]),
      localUses: entry => this.localUses(entry),
      clobbers: program.mode === 'verified',
      slot: pc => (slotOf(pc) < 0 ? 0 : 1 << slotOf(pc)),
    };
  }

  /** Analyses the function at `entry`, entered with `args` in r1–r5. */
  analyse(entry: number, args: readonly Value[]): FunctionAnalysis {
    const { program } = this;
    const base = this.#base(entry);
    let { graph } = base;
    let pass = new Pass(program, base, args, noSlots, 0);
    let slots: Slot[] = [];
    let slotAt: Int8Array | undefined;
    const use = stackUse(program, graph, pass);
    if (program.mode === 'verified' && !use.escapes) {
      const promoted = promote(use, program.insns.length);
      slots = promoted.slots;
      if (slots.length) {
        slotAt = promoted.slotAt;
        const slotOf = (pc: number): number => promoted.slotAt[pc];
        const table = useDefTable(program.insns, graph, this.#model(slotOf));
        pass = new Pass(program, { graph, table, live: liveness(graph, table) }, args, slotOf, slots.length);
      }
    }
    const inMemory = use.memory.length > 0 || use.accesses.some(a => !slotAt || slotAt[a.pc] < 0);
    let { live } = pass;
    if (pass.decided.size) {
      // States flowed along live edges only and stay true; what is live shrinks.
      graph = buildGraph(program.insns, entry, pc => {
        const taken = pass.decided.get(pc);
        return taken === undefined ? this.#factFilter(pc) : { taken, fallthrough: !taken };
      });
      live = liveness(graph, pass.table);
    }
    finishGraph(graph);
    return {
      entry,
      graph,
      live,
      transfer: pass.transfer,
      states: pass.states,
      slots,
      // Guarded: every call takes a frame, so that recursion ends with the stack.
      usesFrame: program.mode === 'guarded' || use.escapes || inMemory,
      params: live.liveIn[0] & 0b111110,
      entryArgs: args,
      calls: [...pass.transfer.localArgs].map(([pc, args]) => ({
        entry: targetOf(program.insns[pc], pc),
        args,
      })),
    };
  }
}

/** One fixpoint over one graph. */
export class Pass {
  readonly graph: Graph;
  readonly table: UseDefTable;
  readonly live: Liveness;
  readonly transfer: Transfer;
  readonly states = new Map<number, State>();
  /** State at the end of each block that is reached, by index. */
  readonly exits: State[] = [];
  /** Conditional jumps that go one way only. */
  readonly decided = new Map<number, boolean>();

  constructor(
    readonly program: Program,
    { graph, table, live }: Base,
    args: readonly Value[],
    slotOf: (pc: number) => number,
    slotCount: number,
  ) {
    this.graph = graph;
    this.table = table;
    this.live = live;
    this.transfer = new Transfer(program, this.table, slotOf);
    const first: State = Array.from({ length: FIRST_SLOT + slotCount }, () => ZERO);
    first[10] = { k: 'fp', off: 0 };
    args.forEach((v, i) => {
      first[i + 1] = v;
    });
    this.#run(first);
  }

  #run(first: State): void {
    const { blocks } = this.graph;
    const entryStates: (State | undefined)[] = new Array(blocks.length).fill(undefined);
    // A loop back to the entry meets the arguments there.
    entryStates[0] = first;
    const visits = new Int32Array(blocks.length);
    const dirty = new Uint8Array(blocks.length);
    dirty[0] = 1;
    for (let i = 0; i < blocks.length; ) {
      if (!dirty[i]) {
        i++;
        continue;
      }
      dirty[i] = 0;
      const b = blocks[i];
      visits[i]++;
      const state = entryStates[i]!.slice();
      const last = this.through(b.index, state);
      this.exits[i] = state;
      let again = i + 1;
      const flow = (to: number): void => {
        if (to < 0) return;
        const known = entryStates[to];
        const merged = known
          ? merge(known, state, this.live.liveIn[to], visits[to] > WIDEN_AFTER)
          : state.slice();
        if (!merged) return;
        entryStates[to] = merged;
        dirty[to] = 1;
        again = Math.min(again, to);
      };
      const decided = b.taken >= 0 && b.next >= 0 ? this.transfer.decided(state, last) : undefined;
      if (b.taken >= 0 && b.next >= 0) {
        if (decided === undefined) this.decided.delete(b.last);
        else this.decided.set(b.last, decided);
      }
      if (decided !== false) flow(b.taken);
      if (decided !== true) flow(b.next);
      i = again;
    }
    blocks.forEach((b, i) => {
      const s = entryStates[i];
      if (s) this.states.set(b.start, s);
    });
  }

  /** Steps `state` through the block but for its jump; returns the last slot. */
  through(index: number, state: State, visit?: (pc: number, insn: Insn) => void): number {
    const b = this.graph.blocks[index];
    const { insns } = this.program;
    for (let pc = b.start; pc <= b.last; pc++) {
      const insn = insns[pc];
      if (insn.op === 0) continue;
      visit?.(pc, insn);
      if (pc === b.last && (isConditional(insn) || insn.op === OP_EXIT || (insn.op & 0xf7) === 0x05)) break;
      this.transfer.step(state, pc);
    }
    return b.last;
  }

  /** Visits every reached instruction with the state before it. */
  each(visit: (pc: number, insn: Insn, state: State) => void): void {
    for (const b of this.graph.blocks) {
      const entry = this.states.get(b.start);
      if (!entry) continue;
      const state = entry.slice();
      this.through(b.index, state, (pc, insn) => visit(pc, insn, state));
    }
  }
}

/** Joins `from` into `known` for live variables; undefined when nothing changes. */
function merge(known: State, from: State, live: number, widen: boolean): State | undefined {
  let out: State | undefined;
  for (let v = 0; v < known.length; v++) {
    if (!(live & (1 << v)) || same(known[v], from[v])) continue;
    const joined = join(known[v], from[v], widen);
    if (same(joined, known[v])) continue;
    out ??= known.slice();
    out[v] = joined;
  }
  return out;
}

/** Arguments as the callee sees them: an address of the caller's frame is some address. */
export function joinArguments(known: Value[] | undefined, args: readonly Value[]): Value[] {
  const seen = args.map(
    (v): Value => (v.k === 'const' ? v : v.k === 'w64' && v.bits > 32 ? ANY : unknown(bitsOf(v))),
  );
  if (!known) return seen;
  return known.map((v, i) => join(v, seen[i]));
}

/** Arguments of the entry program: the context's address. */
export const entryArguments = (): Value[] => [unknown(32), ZERO, ZERO, ZERO, ZERO];
export const anyArguments = (): Value[] => [ANY, ANY, ANY, ANY, ANY];
