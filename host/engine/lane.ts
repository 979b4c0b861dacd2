/**
 * A lane: one instance of the core, its programs, and the steps of its life. The same class runs in a worker
 * (lane_worker.ts) and inline on the caller's thread (engine.ts), so both take the same path.
 */
import { instantiateProgram } from '../bpf/jit/instantiate.js';
import { aliasSlots, removeProgram } from '../bpf/slots.js';
import { LaneCommand, LanePhase } from '../layout/layout.gen.js';
import { Arena } from '../mem/arena.js';
import { type Core, instantiateCore } from '../mem/core.js';
import { payWakes, Sleep } from '../mem/wakes.js';
import { type DriverPlan, type LaneDriver, makeDrivers } from '../nic/driver.js';
import { type ControlAck, LaneWords, type ProgramMessage } from './control.js';
import { PollSleep } from './poll_sleep.js';
import type { PlacedProgram } from './program.js';

/** A lane that stands still says so often, ms: its heartbeat. */
const PAUSED_BEAT_MS = 20;
/** What comes from outside may need empty frames that nobody tells of: such a lane looks for them so often, ms. */
const SUPPLY_MS = 20;
/** A lane that has work, and whom nobody tells when it can be done, looks so often, ms. */
const BLOCKED_MS = 1;
/** Less is not worth a sleep, ms. */
const LEAST_MS = 0.05;
/** So much before something falls due the lane is awake: what a wake takes, ms. */
const EARLY_MS = 0.06;
const NEVER = 0xffffffffffffffffn;

export class Lane {
  readonly arena: Arena;
  readonly core: Core;
  readonly words: LaneWords;
  /** Its part of NICs that need system calls. */
  readonly drivers: readonly LaneDriver[];
  readonly #poll: PollSleep | undefined;
  /** What came must be fetched by a system call: it cannot be seen in memory. */
  readonly #fetches: boolean;
  /** Times it slept for want of work. */
  sleeps = 0;

  constructor(
    memory: WebAssembly.Memory,
    module: WebAssembly.Module,
    readonly index: number,
    programs: readonly PlacedProgram[],
    /** Orders up to this one are in `programs`. An order of after that may wait already: it is seen by the difference. */
    generation: number,
    plans: readonly DriverPlan[] = [],
    /** Slots of superseded programs (ProgramOrder `alias`). */
    aliases: readonly number[] = [],
  ) {
    this.arena = Arena.attach(memory);
    this.core = instantiateCore(this.arena, index, module);
    this.words = new LaneWords(this.arena, index);
    this.drivers = makeDrivers(this.arena, this.core, plans);
    this.#fetches = this.drivers.some(driver => driver.fetches);
    this.#poll = PollSleep.of(this.arena, index, this.drivers);
    for (const p of programs) instantiateProgram(p.program, this.core, this.arena, p.slots);
    aliasSlots(this.core, aliases);
    this.words.set('acked', generation);
  }

  /** Up to `rounds` rounds of the loop at time `nowNs`. Returns packets taken. @throws what a program traps with */
  step(rounds: number, nowNs: bigint): number {
    this.core.exports.clock_set(nowNs);
    for (const driver of this.drivers) driver.pull();
    return this.#after(this.core.exports.loop_run(rounds, 0));
  }

  /** The same at a time of numberClock, after as many as `looks` looks for work. */
  stepAt(rounds: number, nowNs: number, looks: number): number {
    // Most lanes have none, and an iterator is made for nothing.
    if (this.drivers.length !== 0) for (const driver of this.drivers) driver.pull();
    return this.#after(this.core.exports.loop_run_at(nowNs, rounds, this.#fetches ? 0 : looks));
  }

  #after(taken: number): number {
    if (this.drivers.length !== 0) for (const driver of this.drivers) driver.push();
    payWakes(this.arena, this.index);
    return taken;
  }

  /** Does what a control message about programs says, and acknowledges it, between two rounds. */
  obey(message: ProgramMessage): ControlAck {
    const from = process.hrtime.bigint();
    const error = this.do(message);
    const { generation } = message;
    this.words.set('acked', generation);
    return {
      ...{ generation, stops: [{ ns: Number(process.hrtime.bigint() - from), waitedNs: 0 }] },
      ...(error === undefined ? {} : { error }),
    };
  }

  /** The same without the word that says so. Returns why it could not be done. */
  do(message: ProgramMessage): string | undefined {
    try {
      if (message.kind === 'install')
        instantiateProgram(message.place.program, this.core, this.arena, message.place.slots);
      else if (message.kind === 'alias') aliasSlots(this.core, message.slots);
      else for (const { slots, count } of message.places) removeProgram(this.core, slots, count);
      return undefined;
    } catch (e) {
      const cause = (e as Error).cause as Error | undefined;
      return `${(e as Error).message}${cause ? `: ${cause.message}` : ''}`;
    }
  }

  /** Earliest time at which a link of this lane, or a timer, has something due, ns; 0: at once. */
  nextDueNs(): bigint | undefined {
    const due = BigInt.asUintN(64, this.core.exports.loop_next_due());
    return due === NEVER ? undefined : due;
  }

  /** The same of its links only: what is under way. */
  linksDueNs(): bigint | undefined {
    const due = BigInt.asUintN(64, this.core.exports.loop_links_due());
    return due === NEVER ? undefined : due;
  }

  /** Stands still until the host says otherwise. Blocks the thread. */
  pause(): void {
    this.words.set('phase', LanePhase.PAUSED);
    while (this.words.get('command') === LaneCommand.PAUSE) {
      this.words.beat();
      this.words.wait('command', LaneCommand.PAUSE, PAUSED_BEAT_MS);
    }
    this.words.set('phase', LanePhase.RUNNING);
  }

  /**
   * Sleeps until somebody has work for it, something falls due, or `restMs` have passed. Blocks the thread.
   * The flag goes up before the last look for work: a producer either sees the flag or its packet is seen. Returns what that
   * look took: then it did not sleep.
   */
  sleep(restMs: number): number {
    const { words } = this;
    const wake = words.get('wake');
    words.set('sleeping', this.#poll ? Sleep.IN_POLL : Sleep.ON_WORD);
    const taken = this.step(1, process.hrtime.bigint());
    if (taken === 0 && !this.called) {
      const ms = this.#sleepMs(restMs);
      if (ms > LEAST_MS) {
        this.sleeps++;
        if (this.#poll) this.#poll.wait(ms);
        else words.wait('wake', wake, ms);
      }
    }
    words.set('sleeping', Sleep.AWAKE);
    return taken;
  }

  /** How long it may sleep. */
  #sleepMs(restMs: number): number {
    // A lossless lane whose output is full has work, and nobody to tell it of room when that is another process; so has
    // one that sends to a kernel without room.
    if (this.core.exports.loop_blocked() !== 0 || this.drivers.some(driver => driver.pending))
      restMs = BLOCKED_MS;
    else if (this.#poll) restMs = Math.min(restMs, SUPPLY_MS);
    const due = this.nextDueNs();
    if (due === undefined) return restMs;
    return Math.min(restMs, Number(due - process.hrtime.bigint()) / 1e6 - EARLY_MS);
  }

  /** Whether the host wants something. */
  get called(): boolean {
    return this.words.called;
  }
}
