/**
 * Programs in an engine: loading, attaching, and the live swap.
 *
 *   load     host instance ─▶ warm ─▶ every lane: instantiate between two rounds, ack
 *   attach   one store to Port.hook: lanes run it from their next burst on
 *   unload   grace period (every lane passes a burst boundary) ─▶ every lane empties its slots ─▶ slots are free
 *   swap     load ─▶ attach ─▶ unload of the old
 */
import type { CompiledProgram } from '../bpf/jit/compiled.js';
import { instantiateProgram } from '../bpf/jit/instantiate.js';
import { warm } from '../bpf/jit/warm.js';
import type { ProgramType } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import { Hook } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import type { Port } from '../nic/port.js';
import { type LoadedProgram, type PlacedProgram, removeProgram, SlotAllocator } from './program.js';
import type { SwapReport } from './report.js';

/** Where a program can be attached, by the name of its hook. */
export type HookName = 'xdp' | 'tc_ingress' | 'socket_filter';

const HOOKS: Record<HookName, { hook: Hook; type: ProgramType }> = {
  xdp: { hook: Hook.XDP, type: 'xdp' },
  tc_ingress: { hook: Hook.TC_INGRESS, type: 'tc' },
  socket_filter: { hook: Hook.SOCKET_FILTER, type: 'socket_filter' },
};

/** A program at a hook of a port. */
export interface Attachment {
  readonly port: Port;
  readonly hook: HookName;
  readonly program: LoadedProgram;
}

export interface Swapped {
  attachment: Attachment;
  /** How long each lane stood still, ns. */
  pausesNs: readonly number[];
}

/** What every lane is told. */
export type Order =
  | { kind: 'install'; place: PlacedProgram }
  | { kind: 'remove'; slots: number; count: number };

/** The lanes, as this file needs them. */
export interface Lanes {
  /** Tells every running lane; resolves with their pauses in ns. */
  tell(order: Order): Promise<number[]>;
  /** Resolves when every lane has passed a burst boundary. */
  grace(): Promise<void>;
}

export class Programs {
  /** What a lane that starts now must have. */
  readonly placed = new Map<number, PlacedProgram>();
  readonly swaps: SwapReport[] = [];
  readonly #slots: SlotAllocator;
  readonly #attached = new Map<string, Attachment>();
  #nextId = 1;

  constructor(
    readonly arena: Arena,
    readonly core: Core,
    readonly warmMs: number | undefined,
    readonly lanes: Lanes,
  ) {
    this.#slots = new SlotAllocator(Math.max(arena.header.tableBase, core.table.length));
  }

  async load(compiled: CompiledProgram): Promise<LoadedProgram> {
    const { module, helpers, slotCount, spec } = compiled;
    const slots = this.#slots.alloc(slotCount);
    const place: PlacedProgram = {
      id: this.#nextId++,
      name: spec.name,
      slots,
      program: { module, helpers, slotCount, spec: { name: spec.name } },
    };
    try {
      instantiateProgram(place.program, this.core, this.arena, slots);
    } catch (cause) {
      this.#slots.free(slots, slotCount);
      if (cause instanceof EtherloomError) throw cause;
      throw new EtherloomError('ERR_PROGRAM_INSTANCE', `${place.name} cannot be instantiated`, {
        cause,
        expected: 'a module with the imports and exports of host/bpf/jit/compiled.ts',
      });
    }
    // Optimised code belongs to the module: what is made hot here is hot in every lane.
    if (compiled.verified && this.warmMs !== 0) warm(compiled, this.arena, { maxMs: this.warmMs });
    this.placed.set(place.id, place);
    const pausesNs = await this.lanes.tell({ kind: 'install', place });
    return { ...place, compiled, run: slots, tail: slots + 1, pausesNs };
  }

  async unload(program: LoadedProgram): Promise<void> {
    for (const a of this.#attached.values())
      if (a.program.id === program.id)
        throw new EtherloomError('ERR_PROGRAM_BUSY', `${program.name} is attached to ${a.port.name}`, {
          expected: 'detach it first',
        });
    if (!this.placed.delete(program.id)) return;
    const { slots } = program;
    const count = program.program.slotCount;
    await this.lanes.grace();
    await this.lanes.tell({ kind: 'remove', slots, count });
    removeProgram(this.core, slots, count);
    this.#slots.free(slots, count);
  }

  attach(program: LoadedProgram, port: Port, hook: HookName): Attachment {
    const { type } = program.compiled.spec;
    if (type !== 'unspec' && type !== HOOKS[hook].type)
      throw new EtherloomError('ERR_ATTACH_TYPE', `${program.name} is a program of type ${type}`, {
        expected: `${HOOKS[hook].type} at hook ${hook}`,
      });
    if (!this.placed.has(program.id))
      throw new EtherloomError('ERR_PROGRAM_UNLOADED', `${program.name} is not loaded in this engine`);
    const attachment: Attachment = { port, hook, program };
    port.setSlot(HOOKS[hook].hook, program.run);
    this.#attached.set(`${port.ifindex}/${hook}`, attachment);
    return attachment;
  }

  async detach(attachment: Attachment): Promise<void> {
    const key = `${attachment.port.ifindex}/${attachment.hook}`;
    if (this.#attached.get(key) !== attachment) return;
    this.#attached.delete(key);
    attachment.port.setSlot(HOOKS[attachment.hook].hook, 0);
    await this.lanes.grace();
  }

  async swap(old: Attachment, next: CompiledProgram): Promise<Swapped> {
    const loaded = await this.load(next);
    const attachment = this.attach(loaded, old.port, old.hook);
    const stillUsed = [...this.#attached.values()].some(a => a.program.id === old.program.id);
    if (!stillUsed) await this.unload(old.program);
    const pausesNs = [...loaded.pausesNs];
    this.swaps.push({ from: old.program.name, to: loaded.name, pausesNs });
    return { attachment, pausesNs };
  }
}
