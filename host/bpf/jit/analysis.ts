/**
 * What the emitter must know of one function before it writes code: the graph without dead edges, what every
 * variable holds on entry to every block, which variables are live, and which stack bytes can live in locals.
 */
import { CallKind, Class, classOf, type Insn, Jmp, Mode, OP_EXIT, SRC_X, sizeBytes } from '../insn.js';
import { isConditional, targetOf } from '../wellformed.js';
import { helperUses, pointedBytes } from './calls.js';
import { buildGraph, type EdgeFilter, finishGraph, type Graph } from './cfg.js';
import {
  FIRST_SLOT,
  type Liveness,
  liveness,
  MAX_SLOTS,
  type UseDefTable,
  type UseModel,
  useDefTable,
} from './liveness.js';
import type { Program } from './program.js';
import { type State, Transfer } from './transfer.js';
import { ANY, bitsOf, join, same, unknown, type Value, ZERO } from './values.js';

/** Visits of one block after which growing values go to the top. */
const WIDEN_AFTER = 6;

/** A stack slot that lives in a local. */
export interface Slot {
  /** Offset from r10. */
  off: number;
  size: number;
}

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

/** Bytes of the frame that stay in memory, and accesses at known offsets. */
interface StackUse {
  /** Some address of the frame is used in a way that is not followed. */
  escapes: boolean;
  /** One entry per known access: offset, size, slot of the instruction. */
  accesses: { off: number; size: number; pc: number }[];
  /** Ranges handed to helpers or accessed atomically. */
  memory: { off: number; size: number }[];
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
      helperUses: pc => helperUses(program, program.insns[pc].imm),
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
class Pass {
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

/** How the function uses its frame, by the values of a finished pass. */
function stackUse(program: Program, graph: Graph, pass: Pass): StackUse {
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
  if (insn.op & SRC_X || insn.src !== CallKind.HELPER || program.mode === 'guarded') {
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
function promote(use: StackUse, insnCount: number): { slots: Slot[]; slotAt: Int8Array } {
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
