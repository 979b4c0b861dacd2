/**
 * The checked interpreter: runs a program over the arena and looks at every access before it is made.
 * Our oracle: what the verifier accepted must run here without a fault, and the JIT must give the same result.
 */
import { MapHeaderView, SkBuffLayout, SkBuffView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import { Eth } from '../../wire/layout.gen.js';
import type { Btf } from '../btf/btf.js';
import type { Insn } from '../insn.js';
import type { MapBinding } from '../jit/compiled.js';
import { contextView, isRunnable, programTypes } from '../program_types.js';
import { hostSlot } from '../slots.js';
import type { ProgramSpec, ProgramType } from '../spec.js';
import { checkWellformed } from '../wellformed.js';
import { byteSwap } from './alu.js';
import { callHelper, type HelperHost } from './helper_calls.js';
import { callKfunc } from './kfunc_calls.js';
import { type Budget, type Environment, Machine, type Trace } from './machine.js';
import { InterpFault, type MemRegion, Regions } from './regions.js';
import { callbackTrampoline } from './trampoline.js';

export { InterpFault, type MemRegion } from './regions.js';

/** A program that a tail call may reach. */
export interface TailTarget {
  spec: ProgramSpec;
  maps: MapBinding;
}

export interface InterpretOptions {
  arena: Arena;
  /** Core instance whose helpers are called; its lane's stack is used. */
  core: Core;
  maps?: MapBinding;
  /** Address of the XdpContext or SkBuff: r1. */
  ctx: number;
  /** Instructions before the run is given up. Default 2^24. */
  budget?: number;
  /** More memory that the program may touch. */
  regions?: readonly MemRegion[];
  /**
   * The program behind a table slot that a prog_array holds. Without an answer the compiled function in
   * the core's table is called.
   */
  tailTarget?: (slot: number) => TailTarget | undefined;
  /** Looks at every instruction before it runs. The registers are the machine's own: do not keep them. */
  trace?: Trace;
}

export type { Trace } from './machine.js';

export interface InterpretResult {
  /** Unsigned 64-bit. */
  r0: bigint;
  /** Instructions executed, subprograms, callbacks and tail-called programs included. */
  insns: number;
}

const DEFAULT_BUDGET = 2 ** 24;
/** Fields of __sk_buff that tc (the first two also socket filters: cb, mark … ) may write: [offset, bytes]. */
const SKB_WRITABLE: readonly (readonly [number, number])[] = [
  [SkBuffLayout.mark, 8],
  [SkBuffLayout.priority, 4],
  [SkBuffLayout.tcIndex, 24],
  [SkBuffLayout.tcClassid, 4],
  [SkBuffLayout.tstamp, 8],
];
/** SKF_LL_OFF and SKF_NET_OFF: LD_ABS offsets from the link or network header on. */
const SKF_LL_OFF = -0x200000;
const SKF_NET_OFF = -0x100000;

/** A callback that a timer calls: what it was last set with. */
interface AsyncCallback {
  slot: number;
  options: InterpretOptions;
  maps: MapBinding;
  kfuncs: ProgramSpec['kfuncs'];
  btf: Btf | undefined;
}

/** By table of the instance, program and entry: setting the same callback again takes no other slot. */
const asyncCallbacks = new WeakMap<WebAssembly.Table, Map<readonly Insn[], Map<number, AsyncCallback>>>();

/** Bounds of the packet as the context has them now. */
function packetBounds(arena: Arena, type: ProgramType, ctx: number): { lo: number; hi: number } {
  const view = contextView(type, arena.dv, ctx);
  return { lo: Math.min(view.data, view.dataMeta || view.data), hi: view.dataEnd };
}

class ArenaEnvironment implements Environment, HelperHost {
  readonly dv: DataView;
  readonly regions = new Regions();
  readonly arena: Arena;
  readonly core: Core;
  readonly ctx: number;
  readonly type: ProgramType;
  readonly mapPointers = new Set<number>();
  tailCalls = 0;
  readonly #stack: MemRegion;
  readonly #budget: Budget;
  readonly #options: InterpretOptions;
  #maps: MapBinding;
  #kfuncs: ProgramSpec['kfuncs'];
  btf: Btf | undefined;

  /** Without `inRun` it is a callback's, which has no context. */
  constructor(spec: ProgramSpec, options: InterpretOptions, budget: Budget, inRun = true) {
    const { arena, core, ctx } = options;
    this.#options = options;
    this.#budget = budget;
    this.arena = arena;
    this.core = core;
    this.ctx = ctx;
    this.type = spec.type;
    this.dv = arena.dv;
    this.#maps = options.maps ?? {};
    const top = arena.lane(core.lane).stackTop;
    this.#stack = this.regions.add({ name: 'stack', lo: top, hi: top, write: true });
    if (inRun && isRunnable(spec.type)) this.#addContext();
    for (const region of options.regions ?? []) this.regions.add({ ...region });
  }

  #addContext(): void {
    const { regions, arena, type, ctx } = this;
    const row = programTypes[type];
    const packet = regions.add({ name: 'packet', lo: 0, hi: 0, write: true });
    regions.add({ name: 'ctx', lo: ctx, hi: ctx + row.contextBytes, write: false });
    if (row.context === '__sk_buff')
      for (const [at, bytes] of SKB_WRITABLE)
        regions.add({ name: 'ctx', lo: ctx + at, hi: ctx + at + bytes, write: true });
    regions.refresh = () => {
      // Socket filters read their packet through LD_ABS and helpers only.
      if (row.packetPointers) Object.assign(packet, packetBounds(arena, type, ctx));
    };
  }

  /** Runs the program at the frame pointer `fp`. */
  run(spec: ProgramSpec, maps: MapBinding, fp: number): bigint {
    checkWellformed(spec.insns, spec.name);
    const outer = { maps: this.#maps, kfuncs: this.#kfuncs, btf: this.btf };
    this.#maps = maps;
    this.#kfuncs = spec.kfuncs;
    this.btf = spec.btf;
    const machine = new Machine(spec.insns, this, this.#budget, this.#stack, undefined, this.#options.trace);
    machine.regs[1] = BigInt(this.ctx);
    const r0 = machine.call(0, fp);
    this.#maps = outer.maps;
    this.#kfuncs = outer.kfuncs;
    this.btf = outer.btf;
    return r0;
  }

  start(spec: ProgramSpec): bigint {
    return this.run(spec, this.#maps, this.arena.lane(this.core.lane).stackTop);
  }

  helper(machine: Machine, id: number, pc: number) {
    return callHelper(this, machine, id, pc);
  }

  asyncCallback(machine: Machine, entry: number): number {
    const { core } = this;
    let programs = asyncCallbacks.get(core.table);
    if (!programs) asyncCallbacks.set(core.table, (programs = new Map()));
    let entries = programs.get(machine.insns);
    if (!entries) programs.set(machine.insns, (entries = new Map()));
    const found = entries.get(entry);
    const options = { ...this.#options, ctx: 0 };
    if (found) {
      Object.assign(found, { options, maps: this.#maps, kfuncs: this.#kfuncs, btf: this.btf });
      return found.slot;
    }
    const made: AsyncCallback = {
      slot: hostSlot(core),
      options,
      maps: this.#maps,
      kfuncs: this.#kfuncs,
      btf: this.btf,
    };
    const { type } = this;
    core.table.set(
      made.slot,
      callbackTrampoline((map, key, value) =>
        ArenaEnvironment.fire({ type, insns: machine.insns, entry }, made, [map, key, value]),
      ),
    );
    entries.set(entry, made);
    return made.slot;
  }

  /** Runs a timer's callback(map, key, value) on an empty stack. */
  static fire(
    { type, insns, entry }: { type: ProgramType; insns: readonly Insn[]; entry: number },
    { options, maps, kfuncs, btf }: AsyncCallback,
    args: readonly bigint[],
  ): bigint {
    const budget: Budget = { left: options.budget ?? DEFAULT_BUDGET };
    const env = new ArenaEnvironment({ type } as ProgramSpec, { ...options, maps }, budget, false);
    env.#kfuncs = kfuncs;
    env.btf = btf;
    const [map, key, value] = args.map(v => Number(BigInt.asUintN(32, v)));
    const header = new MapHeaderView(env.dv, map);
    env.mapPointers.add(map);
    env.regions.addObject('callback argument', key, header.keySize, false);
    env.regions.addObject('callback argument', value, header.valueSize, true);
    const machine = new Machine(insns, env, budget, env.#stack, undefined, options.trace);
    args.forEach((v, i) => {
      machine.regs[i + 1] = BigInt.asUintN(64, v);
    });
    return BigInt.asIntN(64, machine.call(entry, env.arena.lane(env.core.lane).stackTop));
  }

  kfunc(machine: Machine, id: number, pc: number): bigint {
    return callKfunc(this, machine, this.#kfuncs?.[id], id, pc);
  }

  mapAddress(key: number, value: boolean, offset: number, pc: number): bigint {
    const bound = this.#maps[key];
    if (!bound) throw new InterpFault('map', pc, `no map is bound to key ${key}`);
    if (!value) {
      this.mapPointers.add(bound.addr);
      return BigInt(bound.addr);
    }
    const header = new MapHeaderView(this.dv, bound.addr);
    this.regions.addObject(
      `value of map ${header.id}`,
      header.dataAt,
      header.valueSize,
      !(header.flags & 128),
    );
    return BigInt.asUintN(64, BigInt(header.dataAt + offset));
  }

  packetLoad(machine: Machine, offset: number, size: number): bigint | undefined {
    const { legacyLoads, hiddenBytes } = programTypes[this.type];
    if (Number(machine.regs[6]) !== this.ctx || !legacyLoads) return undefined;
    const skb = new SkBuffView(this.dv, this.ctx);
    const link = skb.data - hiddenBytes;
    let at = skb.data + offset;
    if (offset < 0) {
      if (offset >= SKF_NET_OFF) at = link + Eth.size + (offset - SKF_NET_OFF);
      else if (offset >= SKF_LL_OFF) at = link + (offset - SKF_LL_OFF);
      else return undefined;
    }
    if (at + size > skb.dataEnd) return undefined;
    let v = 0n;
    for (let i = size - 1; i >= 0; i--) v = (v << 8n) | BigInt(this.dv.getUint8(at + i));
    return size === 1 ? v : byteSwap(v, size * 8);
  }

  tailCall(machine: Machine, slot: number): bigint {
    const target = this.#options.tailTarget?.(slot);
    if (target) return this.run(target.spec, target.maps, Number(machine.regs[10]));
    const fn = this.core.table.get(slot) as ((ctx: number) => bigint) | null;
    if (!fn) throw new InterpFault('helper', 0, `table slot ${slot} holds no program`);
    // The compiled program puts its frame where this function's was.
    const lane = this.arena.lane(this.core.lane);
    lane.entryFp = Number(machine.regs[10]);
    lane.tailCalls = this.tailCalls;
    try {
      return BigInt.asUintN(64, fn(this.ctx));
    } finally {
      lane.entryFp = lane.stackTop;
    }
  }
}

/**
 * Runs `spec` once.
 * @throws InterpFault when the program breaks a rule.
 * @throws EtherloomError ERR_INSN_FORM when the instructions are no program at all.
 */
export function interpret(spec: ProgramSpec, options: InterpretOptions): InterpretResult {
  const total = options.budget ?? DEFAULT_BUDGET;
  const budget: Budget = { left: total };
  const r0 = new ArenaEnvironment(spec, options, budget).start(spec);
  return { r0, insns: total - budget.left };
}
