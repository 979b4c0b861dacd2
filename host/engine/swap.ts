/**
 * Programs in an engine: loading, attaching, and the live swap.
 *
 *   load     host instance ─▶ warm ─▶ every lane: instantiate between two rounds, ack
 *   attach   one store to Port.hook: lanes run it from their next burst on
 *   unload   refused while a hook, a map's entry or a timer names it
 *            grace period (every lane passes a burst boundary) ─▶ no packet on a lane link names the slot (cpumap)
 *            ─▶ every lane empties its slots ─▶ slots are free
 *   swap     load ─▶ attach ─▶ unload of the old
 *   supersede  slots of the old are those of the new, in each lane at one burst boundary ─▶ hooks, entries and timers
 *            name the new (supersede.ts)
 */
import type { CompiledProgram } from '../bpf/jit/compiled.js';
import { instantiateProgram } from '../bpf/jit/instantiate.js';
import { warm } from '../bpf/jit/warm.js';
import { cancelTimersCalling, timersCalling } from '../bpf/maps/map.js';
import { type HookName, hookRow, isRunnable, programTypes } from '../bpf/program_types.js';
import { busy, Residence, requireLoaded, residenceOf, settle } from '../bpf/residence.js';
import { aliasSlots, removeProgram, SlotAllocator, tableEnd } from '../bpf/slots.js';
import { requireCompiled } from '../bpf/stages.js';
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import type { Port } from '../nic/port.js';
import type { SlotRun } from './control.js';
import type { LoadedProgram, PlacedProgram } from './program.js';
import type { SwapReport } from './report.js';
import type { SeatOrder } from './resident.js';
import { Stops } from './stops.js';
import { type Heirs, recall, retarget, slotPairs, UnheardError } from './supersede.js';

/** What attach() takes: a loaded program, or a collection's. */
export type Attachable = LoadedProgram | { readonly placed: LoadedProgram };

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
export type ProgramOrder =
  | { kind: 'install'; place: PlacedProgram }
  /** Pairs of slots: what is called by the first is what stands at the second. */
  | { kind: 'alias'; slots: readonly number[] }
  | { kind: 'remove'; places: readonly SlotRun[] };

/** What one lane is told. */
export type Order = ProgramOrder | { kind: 'seat'; seat: SeatOrder } | { kind: 'unseat'; id: number };

/** The lanes, as this file needs them. */
export interface Lanes {
  /** Tells every running lane; resolves with how long they stood still for each order. */
  tell(orders: readonly ProgramOrder[]): Promise<Stops[]>;
  /** Resolves when every lane has passed a burst boundary. */
  grace(): Promise<void>;
  /** Whether a packet on a lane link names the slot, and somebody will run it. */
  carries(slot: number): boolean;
  /** Gives workers time to take such packets; resolves with whether all are taken. */
  drained(slot: number): Promise<boolean>;
  /** The engine was stopped: nothing runs any more, or is about to. */
  stopped(): boolean;
}

/** Has the lanes stand still, calls `publish` and does what else belongs to the moment. Returns how long they stood. */
export type Together = (publish: () => void, pairs: ReadonlyMap<number, number>) => Promise<Stops>;

export class Programs {
  /** What a lane that starts now must have. */
  readonly placed = new Map<number, PlacedProgram>();
  /** Slots of superseded programs, and whose functions are called by them: a lane that starts now must have that, too. */
  readonly aliases = new Map<number, number>();
  readonly swaps: SwapReport[] = [];
  readonly #slots: SlotAllocator;
  readonly #attached = new Map<string, Attachment>();
  /** Attachments whose programs were superseded: whoever has one means the next. */
  readonly #successors = new WeakMap<Attachment, Attachment>();
  readonly #loaded = new Set<LoadedProgram>();
  /** Unloaded, but packets on a lane link still name them: they keep their slots until those are gone. */
  readonly #retired = new Set<LoadedProgram>();
  readonly #warmed = new WeakSet<WebAssembly.Module>();
  #nextId = 1;

  constructor(
    readonly arena: Arena,
    readonly core: Core,
    readonly warmMs: number | undefined,
    readonly lanes: Lanes,
  ) {
    this.#slots = new SlotAllocator(Math.max(arena.header.tableBase, tableEnd(core)));
  }

  async load(compiled: CompiledProgram): Promise<LoadedProgram> {
    return (await this.loadAll([compiled]))[0];
  }

  /** All or none: lanes are told of all at a time, and take them in one after another. */
  async loadAll(all: readonly CompiledProgram[]): Promise<LoadedProgram[]> {
    this.#assertOpen('load');
    all.forEach(requireCompiled);
    await this.#sweep();
    const places: PlacedProgram[] = [];
    try {
      for (const compiled of all) places.push(this.#place(compiled));
      for (const place of places) this.placed.set(place.id, place);
      const stops = await this.lanes.tell(places.map(place => ({ kind: 'install', place })));
      return places.map((place, i) => this.#settle(place, all[i], stops[i]));
    } catch (cause) {
      await this.#giveBack(places);
      throw cause;
    }
  }

  /** In the host's instance. */
  #place(compiled: CompiledProgram): PlacedProgram {
    const { module, objects, slotCount, spec } = compiled;
    const slots = this.#slots.alloc(slotCount);
    const place: PlacedProgram = {
      id: this.#nextId++,
      name: spec.name,
      slots,
      program: { module, objects, slotCount, spec: { name: spec.name } },
    };
    try {
      this.#instantiate(place);
      // Optimised code belongs to the module: what is made hot here is hot in every lane.
      if (compiled.verified && this.warmMs !== 0 && !this.#warmed.has(compiled.module)) {
        warm(compiled, this.arena, { maxMs: this.warmMs });
        this.#warmed.add(compiled.module);
      }
    } catch (cause) {
      removeProgram(this.core, slots, slotCount);
      this.#slots.free(slots, slotCount);
      throw cause;
    }
    return place;
  }

  #settle(place: PlacedProgram, compiled: CompiledProgram, stops: Stops): LoadedProgram {
    const { slots } = place;
    const residence = new Residence(compiled.spec, this.arena, slots, slots + 1);
    const pausesNs = stops.longestNs;
    const loaded = settle({ ...place, compiled, run: slots, tail: slots + 1, pausesNs, stops }, residence);
    this.#loaded.add(loaded);
    return loaded;
  }

  #instantiate(place: PlacedProgram): void {
    try {
      instantiateProgram(place.program, this.core, this.arena, place.slots);
    } catch (cause) {
      if (cause instanceof EtherloomError) throw cause;
      throw new EtherloomError('ERR_PROGRAM_INSTANCE', `${place.name} cannot be instantiated`, {
        cause,
        expected: 'a module with the imports and exports of host/bpf/jit/compiled.ts',
      });
    }
  }

  /** After a load that failed half-way: nothing points to the programs, some lanes may have them. */
  async #giveBack(places: readonly PlacedProgram[]): Promise<void> {
    const runs = places.map(({ slots, program: { slotCount } }) => ({ slots, count: slotCount }));
    const told = places.filter(place => this.placed.delete(place.id)).length > 0;
    for (const { slots, count } of runs) removeProgram(this.core, slots, count);
    try {
      if (told) await this.lanes.tell([{ kind: 'remove', places: runs }]);
    } catch {
      // A lane that cannot be told may still hold them: slots that are not handed on do no harm.
      return;
    }
    for (const { slots, count } of runs) this.#slots.free(slots, count);
  }

  /** Who points to the program: hooks and timers of a live engine, and maps that are not in `except`. */
  holders(program: LoadedProgram, except?: ReadonlySet<object>): string[] {
    const stopped = this.lanes.stopped();
    const hooks = stopped ? [] : [...this.#attached.values()].filter(a => a.program === program);
    const { slotCount } = program.program;
    return [
      ...hooks.map(a => `port ${a.port.name} (${a.hook})`),
      ...(residenceOf(program)?.holders(except) ?? []),
      ...(stopped ? [] : timersCalling(this.arena, program.slots, slotCount, except)),
    ];
  }

  async unload(program: LoadedProgram): Promise<void> {
    await this.unloadAll([program]);
  }

  /** All at a time: one grace period, one order to the lanes. Nothing is done when one of them is in use. */
  async unloadAll(all: readonly LoadedProgram[]): Promise<void> {
    const programs = all.filter(program => {
      const { loaded } = requireLoaded(program);
      if (loaded && !this.#loaded.has(program)) throw unloaded(program);
      return loaded;
    });
    if (!programs.length) return;
    for (const program of programs) {
      const holders = this.holders(program);
      if (holders.length) throw busy(program.name, holders);
    }
    for (const program of programs) {
      this.#loaded.delete(program);
      requireLoaded(program).loaded = false;
    }
    await this.lanes.grace();
    // A run that was under way may have set a callback yet, in a map that outlives the program.
    const cancelled = programs.map(p => cancelTimersCalling(this.arena, p.slots, p.program.slotCount));
    if (cancelled.some(n => n)) await this.lanes.grace();
    await this.#sweep();
    const free: LoadedProgram[] = [];
    // Only the program of a cpumap entry is named on links: it runs at the other end.
    for (const program of programs)
      if (requireLoaded(program).attach === 'cpumap' && !(await this.lanes.drained(program.run)))
        this.#retired.add(program);
      else free.push(program);
    await this.#remove(free);
  }

  /** Removes what was unloaded earlier and is named nowhere by now. */
  async #sweep(): Promise<void> {
    const free = [...this.#retired].filter(program => !this.lanes.carries(program.run));
    for (const program of free) this.#retired.delete(program);
    await this.#remove(free);
  }

  async #remove(programs: readonly LoadedProgram[]): Promise<void> {
    if (!programs.length) return;
    const places = programs.map(({ slots, program: { slotCount } }) => ({ slots, count: slotCount }));
    // Until now a lane that is replaced gets them, too.
    for (const { id } of programs) this.placed.delete(id);
    for (const { slots, count } of places) for (let i = 0; i < count; i++) this.aliases.delete(slots + i);
    const [stops] = await this.lanes.tell([{ kind: 'remove', places }]);
    programs[0].stops.join(stops);
    for (const { slots, count } of places) {
      removeProgram(this.core, slots, count);
      this.#slots.free(slots, count);
    }
  }

  attach(given: Attachable, port: Port, at?: HookName): Attachment {
    this.#assertOpen('attach');
    if (typeof given !== 'object' || given === null)
      throw new EtherloomError('ERR_STAGE_FORGED', `attach of ${given === null ? 'null' : typeof given}`, {
        expected: 'what load() returned, or a program of a collection',
      });
    const program = 'placed' in given ? given.placed : given;
    const { type, attach } = requireLoaded(program);
    if (!this.#loaded.has(program)) throw unloaded(program);
    // Guarded programs of no type are for tests: they hang where they are told to.
    const hook = at ?? programTypes[type].hook?.name ?? 'xdp';
    const row = hookRow(hook);
    if (isRunnable(type) && type !== row.type)
      throw new EtherloomError('ERR_ATTACH_TYPE', `${program.name} is a program of type ${type}`, {
        expected: `${row.type} at hook ${hook}`,
      });
    if (attach)
      throw new EtherloomError('ERR_ATTACH_TYPE', `${program.name} is made to be an entry of a ${attach}`, {
        expected: `a program of another section than ${program.compiled.spec.section}`,
      });
    const attachment: Attachment = Object.freeze({ port, hook, program });
    port.setSlot(row.hook!.slot, program.run);
    this.#attached.set(`${port.ifindex}/${hook}`, attachment);
    return attachment;
  }

  #latest(attachment: Attachment): Attachment {
    let a = attachment;
    for (let next = this.#successors.get(a); next; next = this.#successors.get(a)) a = next;
    return a;
  }

  async detach(given: Attachment): Promise<void> {
    assertAttachment(given, 'detach');
    const attachment = this.#latest(given);
    const key = `${attachment.port.ifindex}/${attachment.hook}`;
    if (this.#attached.get(key) !== attachment) return;
    this.#attached.delete(key);
    attachment.port.setSlot(hookRow(attachment.hook).hook!.slot, 0);
    await this.lanes.grace();
  }

  async swap(was: Attachment, next: CompiledProgram | LoadedProgram): Promise<Swapped> {
    this.#assertOpen('swap');
    assertAttachment(was, 'swap');
    const old = this.#latest(was);
    this.#assertCurrent(old);
    const given = residenceOf(next) !== undefined;
    const loaded = given ? (next as LoadedProgram) : await this.load(next as CompiledProgram);
    let attachment: Attachment;
    try {
      // Another swap may have been faster while the lanes took this one in.
      this.#assertCurrent(old);
      attachment = this.attach(loaded, old.port, old.hook);
    } catch (cause) {
      if (!given) await this.unload(loaded);
      throw cause;
    }
    // What is still at another hook, or in a map, stays.
    if (this.#loaded.has(old.program) && !this.holders(old.program).length) await this.unload(old.program);
    const pausesNs = given ? [] : [...loaded.pausesNs];
    this.swaps.push({ from: old.program.name, to: loaded.name, pausesNs });
    return { attachment, pausesNs };
  }

  /**
   * Puts programs in the place of others, all at one burst boundary of each lane; of the same place in time in all lanes when
   * `together` does its work while they stand still. From then on nothing calls the old ones, and hooks, entries of maps
   * and timers name the new ones. Returns how long each lane stood still to change.
   * @throws EtherloomError ERR_SUPERSEDE for programs that cannot stand for the others, before anything is changed;
   * ERR_ENGINE_STATE; UnheardError when everything is, and only then
   */
  async supersede(heirs: Heirs, together?: Together): Promise<Stops> {
    this.#assertOpen('supersede');
    for (const program of [...heirs.keys(), ...heirs.values()])
      if (requireLoaded(program) && !this.#loaded.has(program)) throw unloaded(program);
    const pairs = slotPairs(this.arena, heirs);
    // Slots that were superseded before, and are named yet, follow.
    for (const [from, to] of this.aliases) {
      const next = pairs.get(to);
      if (next !== undefined) pairs.set(from, next);
    }
    let published = false;
    const publish = (): void => {
      published = true;
      for (const [from, to] of pairs) this.aliases.set(from, to);
      aliasSlots(this.core, [...pairs].flat());
    };
    let stops = new Stops();
    let unheard: UnheardError | undefined;
    try {
      stops = together ? await together(publish, pairs) : await this.#tellAliases(publish, pairs);
    } catch (cause) {
      if (!published) throw cause;
      unheard = new UnheardError(cause);
    }
    for (const [key, a] of this.#attached) {
      const program = heirs.get(a.program);
      if (!program) continue;
      const next = Object.freeze({ ...a, program });
      this.#attached.set(key, next);
      this.#successors.set(a, next);
      a.port.setSlot(hookRow(a.hook).hook!.slot, program.run);
    }
    retarget(this.arena, heirs);
    recall(this.arena, pairs);
    if (unheard) throw unheard;
    return stops;
  }

  /** From here on there is no way back: a lane that begins anew has the new programs, one that lives is told until it heard. */
  async #tellAliases(publish: () => void, pairs: ReadonlyMap<number, number>): Promise<Stops> {
    publish();
    const slots = [...pairs].flat();
    for (let tries = 0; ; tries++) {
      try {
        return (await this.lanes.tell([{ kind: 'alias', slots }]))[0];
      } catch (cause) {
        // A lane was given up, which fails whatever was asked of any: the others have not been heard of yet.
        if (tries >= this.arena.header.laneCount) throw cause;
      }
    }
  }

  #assertCurrent(attachment: Attachment): void {
    const { port, hook } = attachment;
    const now = this.#attached.get(`${port.ifindex}/${hook}`);
    if (now === attachment) return;
    throw new EtherloomError('ERR_ATTACH_STALE', `this attachment to ${port.name} (${hook}) is no more`, {
      expected: now ? `the attachment of ${now.program.name}` : 'a hook with a program',
    });
  }

  #assertOpen(what: string): void {
    if (this.lanes.stopped())
      throw new EtherloomError('ERR_ENGINE_STATE', `${what} on an engine that is stopped`, {
        expected: 'an engine that was not stopped',
      });
  }
}

/** What attach() and swap() return is an object with a port. @throws EtherloomError ERR_ATTACH_STALE */
function assertAttachment(given: Attachment, verb: string): void {
  if (typeof given !== 'object' || given === null || typeof given.port !== 'object')
    throw new EtherloomError('ERR_ATTACH_STALE', `${verb} of what is no attachment`, {
      expected: 'what attach() or swap() returned',
    });
}

const unloaded = (program: LoadedProgram): EtherloomError =>
  new EtherloomError('ERR_PROGRAM_UNLOADED', `${program.name} is not loaded in this engine`);
