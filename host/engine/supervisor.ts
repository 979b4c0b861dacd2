/**
 * The supervisor: starts the worker lanes, watches their heartbeats, and replaces the ones that die.
 *
 *   started ──▶ RUNNING ──STOP──▶ STOPPED
 *                  │ throws · hangs · is terminated
 *                  ▼
 *      others PAUSED ─▶ frames recovered ─▶ reported ─▶ same lane started anew with all programs ─▶ others RUN
 *
 * One place decides: a lane that dies more often than `restarts` in a row is given up, and the engine says so.
 * Deaths are noted as they happen; recoveries run one after another, and one pause mends all that are dead by then.
 * Every wait for a lane has an end: a lane that passes no burst boundary in time is an error (ERR_LANE_STUCK).
 */
import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { EtherloomError } from '../errors.js';
import { LaneCommand, LanePhase } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { coreModule } from '../mem/core.js';
import { type ControlAck, type ControlMessage, type LaneExit, type LaneTask, LaneWords } from './control.js';
import type { Fabric } from './fabric.js';
import type { PlacedProgram } from './program.js';
import { recoverLane } from './recover.js';
import type { Order } from './swap.js';

export interface LaneCrash {
  lane: number;
  /** threw: a program or the loop trapped. hung: no heartbeat. terminated: the thread was ended from outside. */
  how: 'threw' | 'hung' | 'terminated';
  /** Message of the error that ended it. */
  reason: string;
  /** Packets that it had in hand; dropped, their frames are free again. */
  packetsLost: number;
  /** How long the other lanes stood still, ms. */
  pausedMs: number;
  /** Whether a new lane took its place. */
  replaced: boolean;
}

export interface SupervisorOptions {
  /** Rounds between two looks at the clock. */
  rounds: number;
  /** Spinning without work before sleep, µs. */
  spinUs: number;
  /** No heartbeat for this long: the lane is hung, ms. */
  hangMs: number;
  /** Replacements of one lane without a quiet second in between before the engine gives up. */
  restarts: number;
}

interface Running {
  port: MessagePort;
  abort: AbortController;
  ended: Promise<void>;
  exit?: LaneExit;
  /** Set when the supervisor itself ended it. */
  killed?: LaneCrash['how'];
  /** Resolves when the thread that was ended is gone. */
  gone?: Promise<unknown>;
  /** Its loop runs, or ran. */
  started: boolean;
  /** The thread is gone and its end is noted: nothing of it writes the arena any more. */
  dead: boolean;
  /** Packets that died with it, once what it left is mended. */
  lost?: number;
  startedMs: number;
  deaths: number;
  beat: number;
  beatMs: number;
}

interface Waiting {
  lane: number;
  message: ControlMessage;
  resolve: (ack: ControlAck) => void;
  reject: (e: unknown) => void;
}

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const WORKER = new URL(`./lane_worker.${EXTENSION}`, import.meta.url);
/** A lane that was told to stop has this long before its thread is ended; a thread that is ended, to be gone. */
const STOP_MS = 5000;
/** A thread must run its loop after this long. */
const START_MS = 20_000;

const sleep = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

/**
 * Emits `crash` (LaneCrash) and `failed` (EtherloomError) when a lane cannot be kept alive. A listener is called outside
 * the recovery: what it throws is an uncaught exception of the process, and the lane is replaced all the same.
 */
export class Supervisor extends EventEmitter {
  readonly crashes: LaneCrash[] = [];
  #pool: Piscina | undefined;
  readonly #lanes: Running[] = [];
  readonly #words: LaneWords[];
  #waiting: Waiting[] = [];
  #watch: NodeJS.Timeout | undefined;
  #stopping = false;
  /** Lanes that were given up. */
  readonly #lost = new Set<number>();
  /** Recoveries run one after another. Never rejects. */
  #recovery: Promise<void> = Promise.resolve();

  constructor(
    readonly arena: Arena,
    readonly fabric: Fabric,
    readonly programs: ReadonlyMap<number, PlacedProgram>,
    readonly options: SupervisorOptions,
  ) {
    super();
    this.#words = Array.from({ length: arena.header.laneCount }, (_, i) => new LaneWords(arena, i));
  }

  /** Starts every lane; resolves when all run. @throws EtherloomError ERR_LANE_START */
  async start(): Promise<void> {
    const n = this.arena.header.laneCount;
    this.#pool = new Piscina({
      filename: WORKER.href,
      minThreads: n,
      maxThreads: n,
      concurrentTasksPerWorker: 1,
      maxQueue: 0,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Lanes hold ports: an idle thread's event loop must stay normal between two tasks.
      atomics: 'disabled',
      // A lane's only garbage is its clock readings: collect them early instead of letting the heap grow to 32 MiB.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    const launches = Array.from({ length: n }, (_, i) => this.#launch(i, 0));
    // A lane that is being started cannot be told to pause: the first recovery comes after.
    this.#recovery = Promise.allSettled(launches).then(() => {});
    await Promise.all(launches);
    if (this.#stopping) return;
    this.#watch = setInterval(() => this.#checkBeats(), Math.max(20, this.options.hangMs / 4));
    this.#watch.unref();
  }

  /** Gives lane `i` a thread and waits until its loop runs. */
  async #launch(i: number, deaths: number): Promise<void> {
    const words = this.#words[i];
    words.set('command', LaneCommand.RUN);
    words.set('phase', LanePhase.IDLE);
    const { port1, port2 } = new MessageChannel();
    const task: LaneTask = {
      memory: this.arena.memory,
      core: coreModule(),
      lane: i,
      port: port2,
      programs: [...this.programs.values()],
      rounds: this.options.rounds,
      spinUs: this.options.spinUs,
    };
    const abort = new AbortController();
    const lane: Running = {
      port: port1,
      abort,
      ended: Promise.resolve(),
      started: false,
      dead: false,
      startedMs: Date.now(),
      deaths,
      beat: -1,
      beatMs: Date.now(),
    };
    this.#lanes[i] = lane;
    port1.on('message', (ack: ControlAck) => this.#settle(i, ack));
    port1.unref();
    let failure: unknown;
    const run = (): Promise<void> =>
      this.#pool!.run(task, { transferList: [port2], signal: abort.signal }).then(
        exit => {
          lane.exit = exit;
        },
        error => {
          failure = error;
        },
      );
    lane.ended = run();
    const until = performance.now() + START_MS;
    while (words.get('phase') === LanePhase.IDLE) {
      await sleep(1);
      const late = performance.now() > until;
      // A thread that was ended is replaced by piscina after a while; until then every thread is busy.
      if (failure && /No task queue/.test(String((failure as Error).message)) && !late) {
        failure = undefined;
        await sleep(5);
        lane.ended = run();
      } else if (failure || late) break;
    }
    lane.started = true;
    if (words.get('phase') === LanePhase.IDLE) {
      // Should it start yet, nobody would know of it.
      this.#end(lane);
      port1.close();
      await this.#gone(i, lane);
      lane.dead = true;
      throw new EtherloomError('ERR_LANE_START', `lane ${i} did not start`, {
        cause: failure,
        expected: `its loop to run within ${START_MS} ms`,
      });
    }
    void lane.ended.then(() => {
      port1.close();
      if (failure !== undefined) this.#died(i, lane, failure as Error);
    });
    // Asked for while it was starting.
    if (lane.killed) this.#end(lane);
  }

  /** Posts a message to lane `i` and resolves with its answer. */
  send(i: number, order: Order): Promise<ControlAck> {
    // A lane that was given up takes nothing any more.
    if (this.#lost.has(i)) return Promise.resolve({ generation: 0, pauseNs: 0 });
    return new Promise((resolve, reject) => {
      const words = this.#words[i];
      const full = { ...order, generation: (words.get('generation') + 1) | 0 } as ControlMessage;
      this.#waiting.push({ lane: i, message: full, resolve, reject });
      this.#lanes[i].port.postMessage(full);
      words.raise();
      words.wake();
    });
  }

  #settle(i: number, ack: ControlAck): void {
    const at = this.#waiting.findIndex(w => w.lane === i && w.message.generation === ack.generation);
    if (at < 0) return;
    const [w] = this.#waiting.splice(at, 1);
    if (ack.error) w.reject(new EtherloomError('ERR_PROGRAM_INSTANCE', `lane ${i}: ${ack.error}`));
    else w.resolve(ack);
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

  /** Resolves when `passed` holds for every lane. The heartbeat ends a lane that hangs; that the wait ends is sure. */
  async #until(passed: (i: number) => boolean): Promise<void> {
    const limitMs = this.options.hangMs + 2 * STOP_MS;
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

  #checkBeats(): void {
    const now = Date.now();
    for (const [i, lane] of this.#lanes.entries()) {
      const words = this.#words[i];
      const beat = words.get('epoch');
      if (words.get('phase') !== LanePhase.RUNNING || beat !== lane.beat) {
        lane.beat = beat;
        lane.beatMs = now;
      } else if (now - lane.beatMs > this.options.hangMs) this.kill(i, 'hung');
    }
  }

  /** Ends the thread of lane `i`. It is reported and replaced like any crash. */
  kill(i: number, how: LaneCrash['how'] = 'terminated'): void {
    const lane = this.#lanes[i];
    if (!lane || lane.killed) return;
    lane.killed = how;
    // Tells a host that waits for a lock of this lane that nobody will report the death (assembly/bpf/maps/lock.ts).
    this.arena.lane(i).ended = 1;
    if (lane.started) this.#end(lane);
  }

  #end(lane: Running): void {
    const before = this.#pool!.threads;
    lane.abort.abort();
    // piscina drops the thread from its list at once and ends it in its own time.
    const ended = before.filter(t => !this.#pool!.threads.includes(t) && t.threadId !== -1);
    lane.gone = Promise.all(ended.map(t => new Promise(done => t.once('exit', done))));
  }

  /** Notes the end of a lane as soon as its thread is gone, whatever recovery is under way, and queues its own. */
  #died(i: number, lane: Running, error: Error): void {
    let threw = false;
    // An aborted task is rejected before its thread has ended: wait until nothing writes the arena any more.
    const dead = this.#gone(i, lane).then(() => {
      threw = this.#words[i].get('phase') === LanePhase.CRASHED;
      this.#words[i].set('phase', LanePhase.CRASHED);
      lane.dead = true;
    });
    this.#recovery = Promise.all([dead, this.#recovery])
      .then(() => this.#replace(i, lane, error, threw))
      .catch(cause => this.#fail(i, cause));
  }

  async #gone(i: number, lane: Running): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const expected = `its thread to be gone ${STOP_MS} ms after it was ended`;
        reject(new EtherloomError('ERR_LANE_STUCK', `lane ${i} does not end`, { expected }));
      }, STOP_MS);
    });
    await Promise.race([lane.gone, late]).finally(() => clearTimeout(timer));
  }

  /** Mends what every dead lane left, in one pause: none of them is believed while another is mended. */
  async #mend(): Promise<number> {
    return this.#paused(() => {
      for (const [i, lane] of this.#lanes.entries())
        if (lane.dead && lane.lost === undefined) lane.lost = recoverLane(this.arena, this.fabric, i);
    });
  }

  async #replace(i: number, lane: Running, error: Error, threw: boolean): Promise<void> {
    const pausedMs = lane.lost === undefined ? await this.#mend() : 0;
    // A lane that was ended on purpose is no sign of a program that kills every lane.
    const asked = lane.killed === 'terminated';
    const deaths = asked ? 0 : Date.now() - lane.startedMs < 1000 ? lane.deaths + 1 : 1;
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
        // What it had not answered is answered: the new lane was started with all programs.
        this.#answer(w => w.lane === i);
      } catch (e) {
        this.#fail(i, e);
      }
    } else if (!this.#stopping) this.#fail(i, error);
    this.#say('crash', crash);
  }

  #answer(which: (w: Waiting) => boolean): void {
    for (const w of this.#waiting.filter(which))
      this.#settle(w.lane, { generation: w.message.generation, pauseNs: 0 });
  }

  #fail(i: number, cause: unknown): void {
    this.#lost.add(i);
    for (const w of this.#waiting.splice(0)) w.reject(cause);
    const error = new EtherloomError('ERR_LANE_CRASHED', `lane ${i} could not be kept alive`, { cause });
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

  /** Stops the lanes after the round in hand and ends their threads. Dead lanes are mended, not replaced. */
  async stop(): Promise<LaneExit[]> {
    this.#stopping = true;
    clearInterval(this.#watch);
    // A recovery has lanes paused: telling them to stop would let them run on while frames are counted.
    await this.settled();
    for (const w of this.#words) w.command(LaneCommand.STOP);
    await Promise.all(
      this.#lanes.map(async (lane, i) => {
        const late = setTimeout(() => this.kill(i, 'hung'), STOP_MS);
        await lane.ended;
        clearTimeout(late);
      }),
    );
    await this.settled();
    // Lanes that are no more have done what they were told.
    this.#answer(() => true);
    await this.#pool?.close();
    return this.#lanes.map((lane, i) => lane.exit ?? { lane: i, sleeps: 0 });
  }
}
