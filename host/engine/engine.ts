/**
 * The engine: an arena, its NICs, and the lanes that run programs over their packets.
 *
 *   create ─▶ load ─▶ attach ─▶ start ─▶ (load, swap, attach, detach …) ─▶ stop ─▶ report
 *
 * Lanes are piscina workers, or run inline on the caller's thread: one burst of every lane per `step()`, in real or
 * virtual time. Both take the same path through lane.ts and the core.
 */
import { EventEmitter } from 'node:events';
import type { CompiledProgram } from '../bpf/jit/compiled.js';
import { restoreTimers } from '../bpf/maps/map.js';
import type { HookName } from '../bpf/program_types.js';
import { EtherloomError } from '../errors.js';
import { Arena } from '../mem/arena.js';
import { type Core, instantiateCore } from '../mem/core.js';
import { checkLedger, createFramePool, type Ledger, takeLedger } from '../mem/frames.js';
import type { Packet } from '../mem/ring.js';
import { createStreams } from '../mem/streams.js';
import { payingCore } from '../mem/wakes.js';
import type { Nic } from '../nic/nic.js';
import type { Port } from '../nic/port.js';
import type { LearnedNeighbour, Responder, ResponderOptions } from '../responder/index.js';
import { Responders } from '../responder/responders.js';
import { Alive, EngineHold } from './alive.js';
import { endAtExit } from './at_exit.js';
import { type BadDescriptor, BadDescriptors } from './bad_descriptors.js';
import { EngineClock } from './clock.js';
import type { LaneExit } from './control.js';
import { type ControlPlace, ControlSocket } from './control_socket.js';
import { type PortCounters, portCounters } from './counters.js';
import { Fabric } from './fabric.js';
import { HostEnd, type HostSocket, type TakePacket } from './host_end.js';
import { HostTimers } from './host_timers.js';
import { askHugePages } from './huge_pages.js';
import { InlineLanes, type RunOptions, soonest } from './inline_lanes.js';
import { closeNics, openNics } from './nics.js';
import { checkOptions, type EngineOptions, ringBytes } from './options.js';
import { type Heir, Orphans } from './orphans.js';
import type { LoadedProgram } from './program.js';
import type { EngineReport, LaneCrash } from './report.js';
import type { SeatPlan } from './resident.js';
import { Routes } from './routes.js';
import { plantSeeds } from './seeds.js';
import type { Stops } from './stops.js';
import type { Heirs } from './supersede.js';
import { Supervisor } from './supervisor.js';
import { type Attachable, type Attachment, Programs, type Swapped } from './swap.js';
import { type ToldEngine, ToldLanes } from './told.js';
import { TraceLog } from './trace.js';
import { Transports } from './transports.js';

export type { HookName } from '../bpf/program_types.js';
export type { BadDescriptor } from './bad_descriptors.js';
export type { EngineOptions } from './options.js';
export type { Attachable, Attachment, Swapped } from './swap.js';

/** EngineOptions.hangMs, when it is not given. */
const HANG_MS = 5000;
/** Longest time between two looks of the host at what workers did, ms. */
const MOST_POLL_MS = 100;
/** The same once a lane was given up: the host answers for it. */
const ORPHANS_POLL_MS = 10;
/** No two looks are closer while there is nothing to move, ms. */
const LEAST_POLL_MS = 1;

type State = 'new' | 'starting' | 'running' | 'stopped';

/** A listener that throws causes an uncaught exception; with inline lanes `step()` throws it. The engine goes on. */
export interface EngineEvents {
  crash: [LaneCrash];
  failed: [EtherloomError];
  descriptor: [BadDescriptor];
}

export class Engine extends EventEmitter<EngineEvents> {
  readonly arena: Arena;
  /** The host's instance of the core, lane number = number of lanes. Holds every loaded program, too. */
  readonly core: Core;
  readonly ports: readonly Port[];
  readonly nics: readonly Nic[];
  readonly fabric: Fabric;
  readonly inline: boolean;
  /** What bpf_fib_lookup and bpf_redirect_neigh read. */
  readonly routes: Routes;
  /** Live transports of the stacks on it, and what can be put in their place while they run. */
  readonly transports = new Transports();
  /** @internal Held by whoever waits for lanes. */
  readonly alive = new Alive();
  readonly #options: EngineOptions;
  readonly #programs: Programs;
  readonly #told: ToldLanes;
  readonly #responders: Responders;
  readonly #clock: EngineClock;
  readonly #host: HostEnd;
  readonly #timers: HostTimers;
  readonly #orphans: Orphans;
  #trace: TraceLog | undefined;
  /** One of the two, once it is started. */
  #lanes: InlineLanes | undefined;
  #supervisor: Supervisor | undefined;
  readonly #bad: BadDescriptors;
  #state: State = 'new';
  #starting: Promise<void> | undefined;
  #startedMs = 0;
  #pump: NodeJS.Timeout | undefined;
  #pollMs = 1;
  #stopping: Promise<EngineReport> | undefined;
  readonly #onStopped = new Set<() => void>();
  readonly #controls: ControlSocket[] = [];
  /** Of the last seat that was taken. */
  #seat = 0;
  readonly #hold: EngineHold;

  private constructor(options: EngineOptions) {
    super();
    checkOptions(options);
    this.#options = options;
    this.inline = options.inline ?? false;
    this.#hold = new EngineHold(this.alive, this.inline);
    this.#clock = new EngineClock(options.clock === 'virtual', options.startNs ?? 1_000_000_000n);
    const lanes = options.lanes ?? 1;
    const ringSlots = options.ringSlots ?? 1024;
    const burst = options.burst ?? 64;
    this.arena = Arena.create({ ringBytes: ringBytes(options, lanes, ringSlots), ...options });
    // Before it is touched.
    if (options.hugePages) askHugePages(this.arena);
    createFramePool(this.arena);
    this.routes = new Routes(this.arena);
    // bpf_ktime_get_tai_ns: CLOCK_REALTIME, as on a machine whose TAI offset nobody set.
    const { realtimeOffsetNs } = this.#clock;
    for (let i = 0; i <= lanes; i++) this.arena.lane(i).taiOffsetNs = realtimeOffsetNs;
    const core = instantiateCore(this.arena, lanes);
    this.core = options.nics.some(nic => nic.plan) ? payingCore(core, this.arena) : core;
    this.#timers = new HostTimers(this.arena, this.core);
    this.#orphans = new Orphans(this.arena, this.core);
    if (options.streams) createStreams(this.arena, this.core, options.streams);
    plantSeeds(this.arena, this.core, options.seed);
    this.#responders = new Responders(this.arena, this.core, this.routes, () => this.now());
    this.#told = new ToldLanes(this.#toldEngine(options.hangMs ?? HANG_MS));
    this.#programs = new Programs(this.arena, this.core, options.warmMs, this.#told);
    this.nics = [...options.nics];
    const env = {
      arena: this.arena,
      core: this.core,
      lanes,
      ringSlots,
      // Those that only pass frames on hold none.
      lenders: Math.max(1, this.nics.filter(nic => nic.lends).length),
      now: () => this.now(),
      paused: (work: () => void) => this.#paused(work),
    };
    this.ports = openNics(this.nics, env);
    try {
      this.fabric = new Fabric(this.arena, this.ports, this.nics, {
        ringSlots,
        burst,
        lossless: options.lossless ?? false,
        passSink: options.pass === 'count',
      });
    } catch (error) {
      // Attached to an interface they would take its packets to nobody.
      for (const nic of this.nics) void nic.close();
      throw error;
    }
    this.#bad = new BadDescriptors(this.arena, bad => this.emit('descriptor', bad));
    this.#host = new HostEnd(this.arena, this.core, this.fabric);
  }

  /** Makes an engine; nothing runs yet. @throws EtherloomError ERR_ENGINE_OPTIONS, ERR_ARENA_*, ERR_NIC_*, ERR_CORE_MISSING */
  static async create(options: EngineOptions): Promise<Engine> {
    const engine = new Engine(options);
    try {
      for (const nic of engine.nics) await nic.ready?.();
      return engine;
    } catch (error) {
      await closeNics(engine.nics).catch(() => {});
      throw error;
    }
  }

  /** What programs print with bpf_trace_printk, as an async iterator. Opened at first use: lines before are not kept. */
  get trace(): TraceLog {
    return (this.#trace ??= new TraceLog(this.arena));
  }

  get state(): State {
    return this.#state;
  }

  get laneCount(): number {
    return this.arena.header.laneCount;
  }

  /** The engine's clock, ns: CLOCK_MONOTONIC, or virtual time. */
  now(): bigint {
    return this.#clock.now();
  }

  /** Whether time is virtual: it stands still until `advance`. */
  get virtual(): boolean {
    return this.#clock.virtual;
  }

  /** The port of a NIC, by its name or number. @throws EtherloomError ERR_PORT_UNKNOWN */
  port(name: string | number): Port {
    const port = this.ports.find(p => p.name === name || p.ifindex === name);
    if (!port)
      throw new EtherloomError('ERR_PORT_UNKNOWN', `no port ${name}`, {
        expected: this.ports.map(p => `${p.name} (${p.ifindex})`).join(', '),
      });
    return port;
  }

  // ── programs: swap.ts does the work ───────────────────────────────────────────────────────────────────────────

  /**
   * Instantiates a program in every lane and in the host's instance. It runs nowhere until it is attached, or its
   * slot is put in a map.
   * @throws EtherloomError ERR_STAGE_FORGED, ERR_PROGRAM_INSTANCE, ERR_JIT_LINK, ERR_TABLE_FULL, ERR_ENGINE_STATE
   */
  load(compiled: CompiledProgram): Promise<LoadedProgram> {
    return this.#programs.load(compiled);
  }

  /** @internal The same of several, of which all are loaded or none. */
  loadAll(compiled: readonly CompiledProgram[]): Promise<LoadedProgram[]> {
    return this.#programs.loadAll(compiled);
  }

  /** Who points to a program: hooks, and entries of maps that are not in `except`. */
  holders(program: LoadedProgram, except?: ReadonlySet<object>): string[] {
    return this.#programs.holders(program, except);
  }

  /** Takes a program out of every lane. @throws EtherloomError ERR_PROGRAM_BUSY while a hook or a map's entry names it. */
  unload(program: LoadedProgram): Promise<void> {
    return this.#programs.unload(program);
  }

  /** @internal The same of several: after one grace period, if none is in use. */
  unloadAll(programs: readonly LoadedProgram[]): Promise<void> {
    return this.#programs.unloadAll(programs);
  }

  /**
   * Publishes a program at a hook, that of its type by default: lanes run it from their next burst on. Replaces what
   * was there.
   * @throws EtherloomError ERR_ATTACH_TYPE when the program is of another type than the hook's; ERR_STAGE_FORGED,
   * ERR_PROGRAM_UNLOADED, ERR_ENGINE_STATE
   */
  attach(program: Attachable, port: string | number | Port, hook?: HookName): Attachment {
    return this.#programs.attach(program, typeof port === 'object' ? port : this.port(port), hook);
  }

  /** Takes the program from the hook; packets then pass as if it had said PASS. The program stays loaded. */
  detach(attachment: Attachment): Promise<void> {
    return this.#programs.detach(attachment);
  }

  /**
   * Live swap: instantiates `next` in every lane between two bursts, publishes it at the hook in one store, and frees
   * the slots of the old program when every lane has passed a burst boundary. No packet is lost; how long each lane
   * stood still is in the report. An old program that another hook or a map's entry names stays loaded.
   * @throws EtherloomError ERR_ATTACH_STALE when the attachment was replaced or detached; as load and attach
   */
  swap(attachment: Attachment, next: CompiledProgram | LoadedProgram): Promise<Swapped> {
    return this.#programs.swap(attachment, next);
  }

  /**
   * @internal Puts loaded programs in the place of others, wherever those are named: see Programs.supersede. With `still`,
   * which is called while every lane stands still, all lanes change at one time.
   */
  supersede(heirs: Heirs, still?: () => void): Promise<Stops> {
    if (!still) return this.#programs.supersede(heirs);
    return this.#programs.supersede(heirs, (publish, pairs) =>
      this.#told.changeTogether(publish, pairs, still),
    );
  }

  /**
   * Opens a Unix socket (0600) by which `etherloom swap` and others of the same user see and upgrade the transports. It ends
   * with the engine. @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE; ERR_ENGINE_STATE
   */
  async openControl(place: ControlPlace): Promise<ControlSocket> {
    if (this.#state === 'stopped')
      throw new EtherloomError('ERR_ENGINE_STATE', 'a control socket of an engine that is stopped');
    const socket = await ControlSocket.open(this, place);
    if ((this.state as State) === 'stopped') await socket.close();
    else this.#controls.push(socket);
    return socket;
  }

  /** What is true when it is asked for. */
  #toldEngine(hangMs: number): ToldEngine {
    const engine = this;
    return {
      ...{ hangMs, alive: this.alive, laneCount: this.laneCount },
      get state() {
        return engine.#state;
      },
      get starting() {
        return engine.#starting;
      },
      get stopping() {
        return engine.#stopping;
      },
      get supervisor() {
        return engine.#supervisor;
      },
      get inline() {
        return engine.#lanes;
      },
      get fabric() {
        return engine.fabric;
      },
    };
  }

  // ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Has a port answer ARP, neighbour discovery and echo for its addresses by itself, in the lanes, of what its programs
   * let pass; what it learns of neighbours serves bpf_fib_lookup and bpf_redirect_neigh.
   * @throws EtherloomError ERR_RESPONDER, ERR_ADDRESS, ERR_PORT_UNKNOWN, ERR_ENGINE_STATE after stop
   */
  respond(port: string | number | Port, options: ResponderOptions): Responder {
    if (this.#state === 'stopped')
      throw new EtherloomError('ERR_ENGINE_STATE', 'a responder for an engine that is stopped');
    this.#hurry();
    return this.#responders.open(typeof port === 'object' ? port : this.port(port), options);
  }

  /** Neighbours that responders learned; those given with `routes.addNeighbour` are in `routes`. */
  neighbours(port?: string | number): LearnedNeighbour[] {
    return this.#responders.neighbours(port === undefined ? undefined : this.port(port).ifindex);
  }

  // ── running ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Starts the lanes. When `stop()` was called meanwhile the engine is stopped afterwards: see `state`.
   * @throws EtherloomError ERR_ENGINE_STATE, ERR_LANE_START
   */
  async start(): Promise<void> {
    if (this.#state !== 'new')
      throw new EtherloomError('ERR_ENGINE_STATE', `start of an engine that is ${this.#state}`);
    this.#startedMs = performance.now();
    this.#state = 'starting';
    this.#starting = this.#startLanes();
    await this.#starting;
    if (this.state !== 'starting') return;
    for (const nic of this.nics) nic.start?.();
    this.#state = 'running';
    endAtExit(this, true);
    this.#hold.run(true);
    this.#pollMs = Math.min(MOST_POLL_MS, ...this.nics.map(nic => nic.pollMs ?? 1));
    if (!this.inline) this.#schedulePoll();
  }

  async #startLanes(): Promise<void> {
    const { arena, fabric } = this;
    if (this.inline) {
      const { placed, aliases } = this.#programs;
      const chores = {
        poll: (now: bigint) => this.#poll(now),
        nextDueNs: () => this.#ownDueNs(),
      };
      this.#lanes = new InlineLanes(arena, fabric, placed, aliases, this.#clock, chores, c =>
        this.emit('crash', c),
      );
      return;
    }
    const o = this.#options;
    const { placed, aliases } = this.#programs;
    this.#supervisor = new Supervisor(arena, fabric, placed, aliases, {
      rounds: o.rounds ?? 8,
      spinUs: o.spinUs ?? 50,
      hangMs: o.hangMs ?? HANG_MS,
      restarts: o.restarts ?? 5,
      cpus: o.cpus,
      // A URL cannot be cloned.
      resident: o.resident && { ...o.resident, module: String(o.resident.module) },
    });
    this.#supervisor.on('crash', c => this.emit('crash', c));
    this.#supervisor.on('lost', lane => {
      this.#orphans.bury(lane);
      this.#hurry();
    });
    this.#supervisor.on('failed', e => this.emit('failed', e));
    await this.#supervisor.start();
  }

  async #paused(work: () => void): Promise<void> {
    await this.#starting;
    if (this.#supervisor && this.#state !== 'stopped') await this.#supervisor.paused(work);
    else work();
  }

  /** What the engine does of itself. Returns timers fired. */
  #poll(now: bigint): number {
    this.#responders.poll(now);
    return this.#timers.run(now);
  }

  #ownDueNs(): bigint | undefined {
    return soonest(this.#responders.nextDueNs(), this.#timers.nextDueNs());
  }

  /** The host's part while workers run: NICs with an outside are polled, at once again while there is work. */
  #schedulePoll(): void {
    if (this.#state !== 'running') return;
    let moved = 0;
    for (const nic of this.nics) moved += nic.poll();
    this.#bad.look();
    this.#orphans.poll();
    this.#poll(this.now());
    this.#pumpAfter(moved ? 0 : this.#restMs());
  }

  /** Time until the host's part has something to do. */
  #restMs(): number {
    const most = this.#orphans.lanes.length > 0 ? ORPHANS_POLL_MS : MOST_POLL_MS;
    const due = soonest(this.#responders.pollNs, this.#timers.nextDueNs());
    // Timers leave parts of a ms out, and would be early.
    const dueMs = due === undefined ? most : Math.ceil(Number(due - this.now()) / 1e6);
    return Math.max(LEAST_POLL_MS, Math.min(most, this.#pollMs, dueMs));
  }

  /** @internal A test run is over, which may have started timers. */
  ran(): void {
    this.#hurry();
  }

  #pumpAfter(ms: number): void {
    clearTimeout(this.#pump);
    this.#pump = setTimeout(() => this.#schedulePoll(), ms);
    this.#pump.unref();
  }

  /** Something of the host's began outside of its turn: the next is not to wait for the end of its rest. */
  #hurry(): void {
    if (this.#pump !== undefined && this.#state === 'running') this.#pumpAfter(LEAST_POLL_MS);
  }

  // ── the process ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Keeps the process alive while it runs: from `start` to `stop`. Without a word of this or `unref` an engine with worker
   * lanes does so unless there is a stack on it: then its sockets, servers and applications do, each as long as it is `ref`ed.
   */
  ref(): this {
    this.#hold.want(true);
    return this;
  }

  /** Does not keep the process alive, whatever is on it. A process that ends stops its lanes and closes its NICs. */
  unref(): this {
    this.#hold.want(false);
    return this;
  }

  /** @internal A stack is on it from now on, or no more. */
  inhabit(on: boolean): void {
    this.#hold.inhabit(on);
  }

  /** @internal The process ends, and nothing can be waited for. */
  endNow(): void {
    this.#state = 'stopped';
    if (this.#supervisor && !this.#supervisor.halt()) return;
    for (const nic of this.nics) void nic.close();
  }

  /**
   * Inline lanes: polls the NICs and runs `rounds` rounds (one burst of each queue) of every lane at the present time.
   * Returns packets taken or moved.
   * A program that traps ends its lane's burst: reported as a crash, the lane made anew.
   * @throws EtherloomError ERR_ENGINE_STATE
   */
  step(rounds = 1): number {
    if (this.#state !== 'running' || !this.inline)
      throw new EtherloomError('ERR_ENGINE_STATE', 'step() is for inline engines that were started');
    const work = this.#lanes!.step(rounds);
    this.#bad.look();
    return work;
  }

  /** Virtual time: moves the clock forward by `ns`. @throws EtherloomError ERR_ENGINE_STATE */
  advance(ns: bigint | number): void {
    this.#clock.advance(ns);
  }

  /**
   * When a link has something due next, a timer of an inline lane falls due, or a responder sends of itself, ns; undefined
   * when nothing is to come. A past time: now.
   */
  nextDueNs(): bigint | undefined {
    const lanes = this.#lanes;
    return soonest(this.#ownDueNs(), lanes ? lanes.nextDueNs() : this.fabric.nextDueNs());
  }

  /**
   * Inline lanes: steps until nothing moves and nothing is under way. Sleeps until what is due next; in virtual time
   * jumps there, not beyond `untilNs`. Timers and responders are waited for with `untilNs` only. Returns steps made.
   * @throws EtherloomError ERR_ENGINE_STEPS after `maxSteps`; ERR_ENGINE_STATE
   */
  run(options: RunOptions = {}): number {
    if (!this.#lanes) return this.step();
    return this.#lanes.run(() => this.step(), options);
  }

  /** Whether there is something for a lane to do: sources not exhausted, packets in receive rings or links, ready streams. */
  get busy(): boolean {
    return this.fabric.busy;
  }

  /**
   * Resolves when no packet is on its way any more: for finite sources. `each` is called between looks, for draining
   * and for progress bars. @throws EtherloomError ERR_ENGINE_BUSY after `timeoutMs` (default: none).
   */
  async idle(options: { each?: () => void; timeoutMs?: number } = {}): Promise<void> {
    const until = performance.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    do {
      while (this.busy) {
        options.each?.();
        if (this.inline) this.run();
        if (performance.now() > until)
          throw new EtherloomError(
            'ERR_ENGINE_BUSY',
            `packets are still under way after ${options.timeoutMs} ms`,
          );
        await new Promise(done => setTimeout(done, this.inline ? 0 : 1));
      }
      // What the round in hand has staged, for another lane perhaps, is published at its end.
      await this.#told.grace();
    } while (this.busy);
    options.each?.();
  }

  /** Packets that passed, at most `max`: lane by lane, oldest first. */
  receive(max = 0x7fffffff): Packet[] {
    return this.#host.receive(max);
  }

  /** Like `receive` without copies: the bytes are good during the call only. Returns packets taken. */
  drain(max: number, take: TakePacket): number {
    return this.#host.drain(max, take);
  }

  /**
   * Opens an application socket on a queue, for XSKMAP redirects; put `socket.number` in the map. Before `start`.
   * @throws EtherloomError ERR_SOCKET_BOUND, ERR_ENGINE_STATE
   */
  openSocket(port: string | number | Port, queue: number): HostSocket {
    if (this.#state !== 'new')
      throw new EtherloomError('ERR_ENGINE_STATE', 'sockets are opened before start');
    return this.#host.openSocket(typeof port === 'object' ? port : this.port(port), queue);
  }

  // ── knowing ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Counters of every port. While lanes run, a burst may be half counted. */
  counters(): PortCounters[] {
    return this.ports.map(portCounters);
  }

  get crashes(): readonly LaneCrash[] {
    return this.#supervisor?.crashes ?? this.#lanes?.crashes ?? [];
  }

  /** Lanes that died too often and were given up: they take nothing any more. */
  get lostLanes(): readonly number[] {
    return this.#orphans.lanes;
  }

  /**
   * Has `heir` told of each lane that is given up from now on, after it stands still for good and before applications hear
   * that their streams there are closed. Returns what ends that. What it throws is an uncaught exception of the process.
   */
  onLaneLost(heir: Heir): () => void {
    return this.#orphans.follow(heir);
  }

  /** Has `told` told when the lanes stand still after `stop`. Returns what ends that. */
  onStopped(told: () => void): () => void {
    this.#onStopped.add(told);
    return () => this.#onStopped.delete(told);
  }

  /** Where every frame is. Exact while no worker runs. */
  ledger(): Ledger {
    return takeLedger(this.arena, this.fabric.holders());
  }

  /** Ends the thread of a worker lane; it is reported and replaced. For tests of exactly that. */
  killLane(i: number): void {
    if (!this.#supervisor) throw new EtherloomError('ERR_ENGINE_STATE', 'no worker lanes run');
    this.#supervisor.kill(i);
  }

  /**
   * Seats a resident in a lane that runs, and in each that replaces it. Resolves, when its module is loaded, with what ends
   * that. @throws EtherloomError ERR_RESIDENT when it cannot be loaded; ERR_ENGINE_STATE; ERR_LANE_CRASHED; the reason of
   * `signal`
   */
  async seat(lane: number, plan: SeatPlan): Promise<() => Promise<void>> {
    const supervisor = this.#supervisor;
    if (this.#state !== 'running' || !supervisor)
      throw new EtherloomError('ERR_ENGINE_STATE', `a seat in an engine that is ${this.#state}`, {
        expected: 'worker lanes that run',
      });
    const id = ++this.#seat;
    const unseat = async (): Promise<void> => {
      if (this.#state === 'running') await supervisor.unseat(lane, id);
    };
    const { signal } = plan;
    let leave = (): void => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal?.reason);
    });
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    try {
      await Promise.race([this.alive.during(supervisor.seat(lane, id, plan)), left]);
    } catch (cause) {
      if (signal?.aborted) await unseat();
      if ((cause as EtherloomError).code !== 'ERR_PROGRAM_INSTANCE') throw cause;
      throw new EtherloomError('ERR_RESIDENT', (cause as Error).message, { cause });
    } finally {
      signal?.removeEventListener('abort', leave);
    }
    return unseat;
  }

  /** Resolves when no crashed lane is being replaced. */
  async settled(): Promise<void> {
    await this.#supervisor?.settled();
  }

  /**
   * Stops the lanes after the burst in hand, closes the NICs and counts the frames. A start under way is waited for.
   * @throws EtherloomError ERR_FRAMES_LOST when in flight + free ≠ total.
   */
  stop(): Promise<EngineReport> {
    return (this.#stopping ??= this.alive.during(this.#stop()).finally(() => this.alive.end()));
  }

  async #stop(): Promise<EngineReport> {
    this.#state = 'stopped';
    endAtExit(this, false);
    this.#hold.run(false);
    clearTimeout(this.#pump);
    await Promise.all(this.#controls.splice(0).map(socket => socket.close()));
    // Why it failed is said by start().
    await this.#starting?.catch(() => {});
    let exits: LaneExit[] = [];
    try {
      exits = (await this.#supervisor?.stop()) ?? this.#lanes?.exits() ?? [];
      this.#bad.look();
      // Nobody is left to fire them.
      restoreTimers(this.arena, false);
    } finally {
      for (const told of this.#onStopped) told();
      await closeNics(this.nics);
    }
    const ledger = this.ledger();
    const report: EngineReport = {
      ms: this.#startedMs ? performance.now() - this.#startedMs : 0,
      lanes: exits.map(e => ({ ...e, packets: Number(this.arena.lane(e.lane).packets) })),
      ports: this.counters(),
      crashes: [...this.crashes],
      swaps: this.#programs.swaps,
      ledger,
    };
    checkLedger(ledger);
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
