/**
 * The supervisor: starts the worker lanes, watches their heartbeats, and replaces the ones that die.
 *
 *   started ──▶ RUNNING ──STOP──▶ STOPPED
 *                  │ throws · hangs · is terminated
 *                  ▼
 *      others PAUSED ─▶ frames recovered ─▶ reported ─▶ same lane started anew with all programs ─▶ others RUN
 *
 * One place decides: a lane that dies more often than `restarts` in a row ends the engine.
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
const STOP_MS = 5000;

const sleep = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

/** Emits `crash` (LaneCrash) and `failed` (EtherloomError) when a lane cannot be kept alive. */
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
  /** Recoveries run one after another. */
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
    await Promise.all(Array.from({ length: n }, (_, i) => this.#launch(i, 0)));
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
    for (let tries = 0; words.get('phase') === LanePhase.IDLE; tries++) {
      await sleep(1);
      // A thread that was ended is replaced by piscina after a while; until then every thread is busy.
      if (failure && /No task queue/.test(String((failure as Error).message)) && tries < STOP_MS) {
        failure = undefined;
        await sleep(5);
        lane.ended = run();
      } else if (failure || tries > 4 * STOP_MS) break;
    }
    if (words.get('phase') === LanePhase.IDLE)
      throw new EtherloomError('ERR_LANE_START', `lane ${i} did not start`, { cause: failure });
    void lane.ended.then(() => {
      port1.close();
      if (failure !== undefined) this.#died(i, lane, failure as Error);
    });
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

  /** Resolves when every lane has passed a burst boundary since the call, or is not running. */
  async grace(): Promise<void> {
    const from = this.#words.map(w => w.get('epoch'));
    const passed = (i: number): boolean =>
      this.#words[i].get('phase') !== LanePhase.RUNNING || this.#words[i].get('epoch') !== from[i];
    for (const w of this.#words) w.wake();
    while (!this.#words.every((_, i) => passed(i))) await sleep(0);
  }

  /** Stops all lanes at a burst boundary and calls `during` while they stand. Returns the pause in ms. */
  async #paused(dead: number, during: () => void): Promise<number> {
    const others = this.#words.filter((_, i) => i !== dead);
    const from = performance.now();
    for (const w of others) if (w.get('phase') === LanePhase.RUNNING) w.command(LaneCommand.PAUSE);
    while (others.some(w => w.get('phase') === LanePhase.RUNNING)) await sleep(0);
    try {
      during();
    } finally {
      for (const w of others) if (w.get('command') === LaneCommand.PAUSE) w.command(LaneCommand.RUN);
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
    if (lane.killed) return;
    lane.killed = how;
    this.arena.lane(i).ended = 1;
    const before = this.#pool!.threads;
    lane.abort.abort();
    // piscina drops the thread from its list at once and ends it in its own time.
    const ended = before.filter(t => !this.#pool!.threads.includes(t) && t.threadId !== -1);
    lane.gone = Promise.all(ended.map(t => new Promise(done => t.once('exit', done))));
  }

  #died(i: number, lane: Running, error: Error): void {
    this.#recovery = this.#recovery.then(() => this.#replace(i, lane, error));
  }

  async #replace(i: number, lane: Running, error: Error): Promise<void> {
    // An aborted task is rejected before its thread has ended: wait until nothing writes the arena any more.
    await lane.gone;
    const threw = this.#words[i].get('phase') === LanePhase.CRASHED;
    this.#words[i].set('phase', LanePhase.CRASHED);
    let packetsLost = 0;
    const pausedMs = await this.#paused(i, () => {
      packetsLost = recoverLane(this.arena, this.fabric, i);
    });
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
    const crash: LaneCrash = { lane: i, how, reason, packetsLost, pausedMs, replaced };
    this.crashes.push(crash);
    if (replaced) {
      try {
        await this.#launch(i, deaths);
        // What it had not answered is answered: the new lane was started with all programs.
        for (const w of this.#waiting.filter(w => w.lane === i))
          this.#settle(i, { generation: w.message.generation, pauseNs: 0 });
      } catch (e) {
        this.#fail(i, e);
      }
    } else if (!this.#stopping) this.#fail(i, error);
    this.emit('crash', crash);
  }

  #fail(i: number, cause: unknown): void {
    this.#lost.add(i);
    for (const w of this.#waiting.splice(0)) w.reject(cause);
    const error = new EtherloomError('ERR_LANE_CRASHED', `lane ${i} could not be kept alive`, { cause });
    this.emit('failed', error);
  }

  /** Resolves when no recovery is under way. */
  async settled(): Promise<void> {
    await this.#recovery;
  }

  /** Stops the lanes after the round in hand and ends their threads. */
  async stop(): Promise<LaneExit[]> {
    await this.#recovery;
    this.#stopping = true;
    clearInterval(this.#watch);
    for (const w of this.#words) w.command(LaneCommand.STOP);
    await Promise.all(
      this.#lanes.map(async (lane, i) => {
        const late = setTimeout(() => this.kill(i, 'hung'), STOP_MS);
        await lane.ended;
        clearTimeout(late);
      }),
    );
    await this.#recovery;
    await this.#pool?.close();
    return this.#lanes.map((lane, i) => lane.exit ?? { lane: i, sleeps: 0 });
  }
}
