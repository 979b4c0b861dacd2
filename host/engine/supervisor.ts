/**
 * The supervisor: starts the worker lanes, watches their heartbeats, and replaces the ones that die.
 *
 *   started ──▶ RUNNING ──STOP──▶ STOPPED
 *                  │ throws · hangs · is terminated
 *                  ▼
 *      others PAUSED ─▶ frames recovered ─▶ reported ─▶ same lane started anew with all programs ─▶ others RUN
 *
 * One place decides: a lane that dies more often than `restarts` in a row is given up, and the engine says so; what waits for
 * it is told (orphans.ts).
 * Deaths are noted as they happen; recoveries run one after another, and one pause mends all that are dead by then.
 * Every wait for a lane has an end: a lane that passes no burst boundary in time is an error (ERR_LANE_STUCK).
 */
import { EventEmitter } from 'node:events';
import type { MessagePort } from 'node:worker_threads';
import { restoreTimers } from '../bpf/maps/map.js';
import { EtherloomError } from '../errors.js';
import { LaneCommand, LanePhase } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { coreModule } from '../mem/core.js';
import { openEvents } from '../mem/wakes.js';
import { type ControlAck, type ControlMessage, type LaneExit, LaneWords } from './control.js';
import type { Fabric } from './fabric.js';
import { Mailbox } from './mailbox.js';
import type { PlacedProgram } from './program.js';
import { recoverLane } from './recover.js';
import type { LaneCrash } from './report.js';
import type { ResidentOptions, SeatOrder, SeatPlan } from './resident.js';
import type { Order } from './swap.js';
import { LaneThreads } from './threads.js';
import { LaneWorker, sleep } from './worker.js';

export interface SupervisorOptions {
  /** Rounds between two looks at the clock. */
  rounds: number;
  /** Spinning without work before sleep, µs. */
  spinUs: number;
  /** No heartbeat for this long: the lane is hung, ms. */
  hangMs: number;
  /** Replacements of one lane without a quiet second in between before the engine gives up. */
  restarts: number;
  /** CPUs that lanes keep to (EngineOptions.cpus). */
  cpus?: readonly number[] | undefined;
  /** Who lives in the threads of lanes. */
  resident?: ResidentOptions | undefined;
  /** A lane that was told to stop, or hangs, has this long before it is given up, ms. Default 5000. */
  stopMs?: number;
}

const STOP_MS = 5000;
/** Lanes of a process that ends have this long, ms. */
const HALT_MS = 200;
/** Longest sleep of a lane, ms: each wake takes some 100 µs of a CPU that was asleep, too. */
const REST_MS = 100;
/** No two looks at heartbeats are closer, ms; no lane's longest sleep is shorter. */
const LEAST_BEAT_MS = 20;
/** A lane that lived so long was well: its next death is the first in a row, ms. */
const QUIET_MS = 1000;

/**
 * Emits `crash` (LaneCrash) and, when a lane cannot be kept alive, `lost` (its number) and `failed` (EtherloomError). A
 * listener of `crash` and `failed` is called outside the recovery: what it throws is an uncaught exception of the process, and
 * the lane is replaced all the same.
 */
export class Supervisor extends EventEmitter {
  readonly crashes: LaneCrash[] = [];
  #threads: LaneThreads | undefined;
  readonly #lanes: LaneWorker[] = [];
  readonly #words: LaneWords[];
  readonly #mailbox = new Mailbox();
  readonly #stopMs: number;
  #watch: NodeJS.Timeout | undefined;
  #stopping = false;
  #closeEvents: (() => void) | undefined;
  /** Lanes that were given up. */
  readonly #lost = new Set<number>();
  /** Who is to be seated in each lane, whenever it begins anew. */
  readonly #seats: Map<number, SeatPlan>[];
  /** Recoveries run one after another. Never rejects. */
  #recovery: Promise<void> = Promise.resolve();

  constructor(
    readonly arena: Arena,
    readonly fabric: Fabric,
    readonly programs: ReadonlyMap<number, PlacedProgram>,
    readonly aliases: ReadonlyMap<number, number>,
    readonly options: SupervisorOptions,
  ) {
    super();
    this.#stopMs = options.stopMs ?? STOP_MS;
    this.#words = Array.from({ length: arena.header.laneCount }, (_, i) => new LaneWords(arena, i));
    this.#seats = this.#words.map(() => new Map());
  }

  /** Starts every lane; resolves when all run. @throws EtherloomError ERR_LANE_START */
  async start(): Promise<void> {
    const n = this.arena.header.laneCount;
    if (this.fabric.plans.length) this.#closeEvents = openEvents(this.arena);
    this.#threads = new LaneThreads(n);
    const launches = Array.from({ length: n }, (_, i) => this.#launch(i, 0));
    // A lane that is being started cannot be told to pause: the first recovery comes after.
    this.#recovery = Promise.allSettled(launches).then(() => {});
    await Promise.all(launches);
    if (this.#stopping) return;
    this.#watch = setInterval(() => this.#checkBeats(), this.#beatMs);
    this.#watch.unref();
  }

  /** So often heartbeats are looked at. */
  get #beatMs(): number {
    return Math.max(LEAST_BEAT_MS, this.options.hangMs / 4);
  }

  /** Gives lane `i` a thread and waits until its loop runs. */
  async #launch(i: number, deaths: number): Promise<void> {
    const words = this.#words[i];
    words.set('command', LaneCommand.RUN);
    words.set('phase', LanePhase.IDLE);
    const { memory } = this.arena;
    const { rounds, spinUs, cpus, resident } = this.options;
    const cpu = cpus?.[i % cpus.length];
    const programs = [...this.programs.values()];
    const { plans } = this.fabric;
    const seats: SeatOrder[] = [];
    const transfer: MessagePort[] = [];
    for (const [id, plan] of this.#seats[i]) seats.push(begun(id, plan, transfer));
    const task = {
      memory,
      core: coreModule(),
      lane: i,
      programs,
      aliases: [...this.aliases].flat(),
      rounds,
      spinUs,
      restMs: Math.min(REST_MS, this.#beatMs),
      cpu,
      plans,
      resident,
      seats,
    };
    const onAcks = (acks: readonly ControlAck[]): void => {
      for (const ack of acks) this.#mailbox.settle(i, ack);
    };
    const lane = new LaneWorker(this.#threads!.pool, words, task, deaths, onAcks, transfer);
    this.#lanes[i] = lane;
    await lane.running();
    this.#threads!.unref();
    // What it had not answered in its former life is done; what was asked since the start it answers itself.
    this.#mailbox.done(i, lane.generation);
    void lane.ended.then(() => {
      if (lane.failure !== undefined) this.#died(lane);
    });
  }

  /** Posts a message to lane `i` and resolves with its answer. */
  async send(i: number, order: Order, transfer: readonly MessagePort[] = []): Promise<ControlAck> {
    return (await this.sendAll(i, [order], transfer))[0];
  }

  /** The same of several, which the lane does in this order, and is woken for once. */
  sendAll(i: number, orders: readonly Order[], transfer: readonly MessagePort[] = []): Promise<ControlAck[]> {
    // A lane that was given up takes nothing any more.
    if (this.#lost.has(i)) return Promise.resolve(orders.map(() => ({ generation: 0, stops: [] })));
    const answers = orders.map(order => this.#post(i, order, transfer));
    this.#words[i].wake();
    return Promise.all(answers);
  }

  #post(i: number, order: Order, transfer: readonly MessagePort[]): Promise<ControlAck> {
    const words = this.#words[i];
    const message = { ...order, generation: (words.get('generation') + 1) | 0 } as ControlMessage;
    const answer = this.#mailbox.expect(i, message);
    this.#lanes[i].post(message, transfer);
    words.raise();
    return answer;
  }

  /** Seats a resident in lane `i`, in this life and in those to come. @throws EtherloomError when it cannot be */
  async seat(i: number, id: number, plan: SeatPlan): Promise<void> {
    // What a lane that is being replaced is told would be for its former life.
    await this.settled();
    plan.signal?.throwIfAborted();
    this.#seats[i].set(id, plan);
    const transfer: MessagePort[] = [];
    try {
      await this.send(i, { kind: 'seat', seat: begun(id, plan, transfer) }, transfer);
    } catch (error) {
      this.#seats[i].delete(id);
      throw error;
    }
  }

  /** Ends that it is asked. It is not told. */
  async unseat(i: number, id: number): Promise<void> {
    if (!this.#seats[i].delete(id)) return;
    await this.settled();
    await this.send(i, { kind: 'unseat', id });
  }

  /**
   * Resolves when every lane has passed a burst boundary since the call, or is not running.
   * @throws EtherloomError ERR_LANE_STUCK
   */
  async grace(): Promise<void> {
    const from = this.#words.map(w => w.get('epoch'));
    for (const w of this.#words) w.wake();
    await this.#until(i => !this.#runs(i) || this.#words[i].get('epoch') !== from[i]);
  }

  #runs(i: number): boolean {
    return this.#words[i].get('phase') === LanePhase.RUNNING && !this.#lanes[i]?.dead;
  }

  /** Whether its pause is over, and it does not know yet. */
  #wakes(i: number): boolean {
    const w = this.#words[i];
    return (
      w.get('phase') === LanePhase.PAUSED && w.get('command') === LaneCommand.RUN && !this.#lanes[i]?.dead
    );
  }

  /** Resolves when `passed` holds for every lane. The heartbeat ends a lane that hangs; that the wait ends is sure. */
  async #until(passed: (i: number) => boolean): Promise<void> {
    const limitMs = this.options.hangMs + 2 * this.#stopMs;
    const until = performance.now() + limitMs;
    for (let i = 0; i < this.#words.length; i++)
      while (!passed(i)) {
        if (performance.now() > until)
          throw new EtherloomError('ERR_LANE_STUCK', `lane ${i} still runs after ${limitMs} ms`, {
            expected: 'a burst boundary, or the end of its thread',
          });
        await sleep(0);
      }
  }

  /** Stops all lanes at a burst boundary and calls `during` while they stand. Returns the pause in ms. */
  async #paused(during: () => void): Promise<number> {
    const from = performance.now();
    // A lane that was told to go on a moment ago, and has not woken yet, seems to stand still: it would run during `during`.
    await this.#until(i => !this.#wakes(i));
    // A lane that was told to stop is not told otherwise: it stands still for good.
    for (const [i, w] of this.#words.entries())
      if (this.#runs(i) && w.get('command') === LaneCommand.RUN) w.command(LaneCommand.PAUSE);
    try {
      await this.#until(i => !this.#runs(i));
      during();
    } finally {
      for (const w of this.#words) if (w.get('command') === LaneCommand.PAUSE) w.command(LaneCommand.RUN);
    }
    return performance.now() - from;
  }

  /**
   * Does `work` while every lane stands still, after whatever recovery is under way.
   * @throws EtherloomError ERR_LANE_STUCK, and what `work` throws
   */
  async paused(work: () => void): Promise<number> {
    const done = this.#recovery.then(() => this.#paused(work));
    this.#recovery = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /**
   * Does `work` while every lane stands still; each obeys `order` before it goes on. When `work` throws nobody is told.
   * Returns how long they stood still, ns.
   * @throws as paused
   */
  async changed(work: () => void, order: Order): Promise<number[]> {
    let answers: Promise<unknown>[] = [];
    const pausedMs = await this.paused(() => {
      work();
      answers = this.#words.map((_, i) => this.send(i, order));
    });
    // One that dies before it obeys begins anew with what it was told.
    await Promise.allSettled(answers);
    return this.#words.map(() => Math.round(pausedMs * 1e6));
  }

  #checkBeats(): void {
    for (const lane of this.#lanes) if (lane.stillMs() > this.options.hangMs) this.kill(lane.lane, 'hung');
  }

  /** Ends the thread of lane `i`. It is reported and replaced like any crash. */
  kill(i: number, how: LaneCrash['how'] = 'terminated'): void {
    const lane = this.#lanes[i];
    if (!lane || lane.killed) return;
    lane.killed = how;
    // Tells a host that waits for a lock of this lane that nobody will report the death (assembly/bpf/maps/lock.ts).
    this.arena.lane(i).ended = 1;
    if (lane.started) lane.end();
  }

  /** Notes the end of a lane as soon as its thread is gone, whatever recovery is under way, and queues its own. */
  #died(lane: LaneWorker): void {
    let threw = false;
    // An aborted task is rejected before its thread has ended: wait until nothing writes the arena any more.
    const dead = lane.gone().then(() => {
      threw = lane.words.get('phase') === LanePhase.CRASHED;
      lane.words.set('phase', LanePhase.CRASHED);
      lane.dead = true;
    });
    this.#recovery = Promise.all([dead, this.#recovery])
      .then(() => this.#replace(lane, threw))
      // What it left is not mended, or its thread does not end: nobody may touch what it had.
      .catch(cause => this.#fail(lane.lane, cause));
  }

  /** Mends what every dead lane left, in one pause: none of them is believed while another is mended. */
  async #mend(): Promise<number> {
    return this.#paused(() => {
      for (const lane of this.#lanes)
        if (lane.dead && lane.lost === undefined) lane.lost = recoverLane(this.arena, this.fabric, lane.lane);
    });
  }

  async #replace(lane: LaneWorker, threw: boolean): Promise<void> {
    const i = lane.lane;
    const error = lane.failure as Error;
    const pausedMs = lane.lost === undefined ? await this.#mend() : 0;
    // A lane that was ended on purpose is no sign of a program that kills every lane.
    const asked = lane.killed === 'terminated';
    const deaths = asked ? 0 : Date.now() - lane.startedMs < QUIET_MS ? lane.deaths + 1 : 1;
    const replaced = !this.#stopping && deaths <= this.options.restarts;
    const how = lane.killed ?? (threw ? 'threw' : 'terminated');
    const reason =
      lane.killed === 'hung'
        ? `no heartbeat for ${this.options.hangMs} ms`
        : lane.killed
          ? 'thread ended'
          : error.message;
    const crash: LaneCrash = { lane: i, how, reason, packetsLost: lane.lost ?? 0, pausedMs, replaced };
    this.crashes.push(crash);
    if (replaced) {
      try {
        await this.#launch(i, deaths);
      } catch (e) {
        await this.#giveUp(i, e);
      }
    } else if (!this.#stopping) await this.#giveUp(i, error);
    this.#say('crash', crash);
  }

  /** A lane that is dead and mended is not started again: what waits for it would wait for ever. */
  async #giveUp(i: number, cause: unknown): Promise<void> {
    this.#lost.add(i);
    // Another lane that passes no burst boundary does not keep the rest from being told.
    await this.#paused(() => restoreTimers(this.arena, true, i)).catch(() => {});
    this.emit('lost', i);
    this.#fail(i, cause);
  }

  #fail(i: number, cause: unknown): void {
    this.#lost.add(i);
    const error = new EtherloomError('ERR_LANE_CRASHED', `lane ${i} could not be kept alive`, { cause });
    this.#mailbox.fail(error);
    this.#say('failed', error);
  }

  /** Calls the listeners before anybody who waits for the recovery goes on, but not from within it. */
  #say(event: 'crash' | 'failed', what: LaneCrash | EtherloomError): void {
    queueMicrotask(() => this.emit(event, what));
  }

  /** Resolves when no recovery is under way. */
  async settled(): Promise<void> {
    for (let seen: unknown; seen !== this.#recovery; ) {
      seen = this.#recovery;
      await seen;
    }
  }

  /** Stops the lanes while this thread stands still. False when one does not come to a burst boundary soon. */
  halt(): boolean {
    this.#stopping = true;
    for (const w of this.#words) w.command(LaneCommand.STOP);
    for (let ms = 0; ms < HALT_MS; ms++) {
      if (this.#words.every((_, i) => !this.#runs(i))) return true;
      // Address 0 of the arena is 0 for ever: a sleep.
      Atomics.wait(this.arena.i32, 0, 0, 1);
    }
    return false;
  }

  /** Stops the lanes after the round in hand and ends their threads. Dead lanes are mended, not replaced. */
  async stop(): Promise<LaneExit[]> {
    this.#stopping = true;
    clearInterval(this.#watch);
    // A recovery has lanes paused: telling them to stop would let them run on while frames are counted.
    await this.settled();
    for (const w of this.#words) w.command(LaneCommand.STOP);
    await Promise.all(
      this.#lanes.map(async (lane, i) => {
        const late = setTimeout(() => this.kill(i, 'hung'), this.#stopMs);
        await lane.ended;
        clearTimeout(late);
      }),
    );
    await this.settled();
    // Lanes that are no more have done what they were told.
    for (const lane of this.#lanes) this.#mailbox.done(lane.lane);
    await this.#threads?.pool.close();
    this.#closeEvents?.();
    return this.#lanes.map((lane, i) => lane.exit ?? { lane: i, sleeps: 0 });
  }
}

/** What a life of a lane is told of a seat. */
function begun(id: number, { module, begin }: SeatPlan, transfer: MessagePort[]): SeatOrder {
  const given = begin();
  transfer.push(...given.transfer);
  return { id, module: String(module), data: given.data };
}
