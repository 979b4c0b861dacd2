/**
 * Lanes on the caller's thread: one burst of each queue per round, in real or virtual time. What the supervisor is for
 * workers: it starts them, passes orders on, and makes a lane anew whose program trapped.
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import { coreModule } from '../mem/core.js';
import type { EngineClock } from './clock.js';
import type { ControlAck, LaneExit } from './control.js';
import type { Fabric } from './fabric.js';
import { Lane } from './lane.js';
import type { PlacedProgram } from './program.js';
import { recoverLane } from './recover.js';
import type { LaneCrash } from './report.js';
import type { ProgramOrder } from './swap.js';

/** Below a tenth of a millisecond sleeping takes longer than spinning. */
const SHORTEST_SLEEP_MS = 0.1;

export interface RunOptions {
  /** Goes no further than this, ns of the engine's clock. */
  untilNs?: bigint;
  /** Default 10,000,000. */
  maxSteps?: number;
}

/** What an engine does of itself as time goes by: its responders, and timers of the host. */
export interface Chores {
  /** Returns what it did that lanes may have to do with. */
  poll(now: bigint): number;
  /** When there is something to do, ns. */
  nextDueNs(): bigint | undefined;
}

/** The earliest of several times, those that are none left out. */
export function soonest(...times: readonly (bigint | undefined)[]): bigint | undefined {
  let first: bigint | undefined;
  for (const t of times) if (t !== undefined && (first === undefined || t < first)) first = t;
  return first;
}

export class InlineLanes {
  readonly crashes: LaneCrash[] = [];
  readonly #lanes: Lane[];

  constructor(
    readonly arena: Arena,
    readonly fabric: Fabric,
    readonly programs: ReadonlyMap<number, PlacedProgram>,
    readonly aliases: ReadonlyMap<number, number>,
    readonly clock: EngineClock,
    readonly chores: Chores,
    /** Called for every crash, after the lane was replaced. */
    readonly onCrash: (crash: LaneCrash) => void,
  ) {
    this.#lanes = Array.from({ length: arena.header.laneCount }, (_, i) => this.#make(i));
  }

  #make(i: number): Lane {
    const generation = this.arena.lane(i).generation;
    return new Lane(
      this.arena.memory,
      coreModule(),
      i,
      [...this.programs.values()],
      generation,
      this.fabric.plans,
      [...this.aliases].flat(),
    );
  }

  /** Every lane does them, one after another. */
  tell(orders: readonly ProgramOrder[]): ControlAck[][] {
    return this.#lanes.map(lane =>
      orders.map(order => lane.obey({ ...order, generation: lane.words.raise() })),
    );
  }

  /** Polls the NICs and runs `rounds` rounds of every lane. Returns packets taken or moved. */
  step(rounds: number): number {
    let work = 0;
    for (const nic of this.fabric.attended) work += nic.poll();
    const now = this.clock.now();
    work += this.chores.poll(now);
    for (const [i, lane] of this.#lanes.entries()) {
      try {
        work += lane.step(rounds, now);
      } catch (error) {
        this.#replace(i, error as Error);
        work++;
      }
    }
    return work;
  }

  #replace(lane: number, error: Error): void {
    const packetsLost = recoverLane(this.arena, this.fabric, lane);
    this.#lanes[lane] = this.#make(lane);
    const reason = error.message;
    const crash: LaneCrash = { lane, how: 'threw', reason, packetsLost, pausedMs: 0, replaced: true };
    this.crashes.push(crash);
    this.onCrash(crash);
  }

  /** Steps until nothing moves and nothing is under way. Returns steps made. @throws EtherloomError ERR_ENGINE_STEPS */
  run(step: () => number, { untilNs, maxSteps = 10_000_000 }: RunOptions): number {
    const { clock, arena } = this;
    for (let steps = 1; steps <= maxSteps; steps++) {
      if (step() !== 0) continue;
      const due = this.#nextDueNs(untilNs);
      if (due === undefined || (untilNs !== undefined && due > untilNs)) {
        if (untilNs !== undefined) clock.advanceTo(untilNs);
        return steps;
      }
      clock.advanceTo(due);
      const waitMs = clock.virtual ? 0 : Number(due - clock.now()) / 1e6;
      // Address 0 is 0 for ever: a sleep.
      if (waitMs > SHORTEST_SLEEP_MS) Atomics.wait(arena.i32, 0, 0, waitMs);
    }
    throw new EtherloomError('ERR_ENGINE_STEPS', `still at work after ${maxSteps} steps`);
  }

  /** Without an end in time only packets under way are waited for, not what timers and the engine will do of themselves. */
  #nextDueNs(untilNs: bigint | undefined): bigint | undefined {
    const links = this.#lanes.map(lane => lane.linksDueNs());
    const due = soonest(this.fabric.nextDueNs(this.fabric.attended), ...links);
    return untilNs === undefined ? due : soonest(due, this.chores.nextDueNs(), this.nextDueNs());
  }

  /** When a lane or a NIC has something due: a packet on a link, a timer. */
  nextDueNs(): bigint | undefined {
    const due = this.fabric.nextDueNs(this.fabric.attended);
    return soonest(due, ...this.#lanes.map(lane => lane.nextDueNs()));
  }

  exits(): LaneExit[] {
    return this.#lanes.map(l => ({ lane: l.index, sleeps: l.sleeps }));
  }
}
