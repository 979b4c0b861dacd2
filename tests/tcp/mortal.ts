/**
 * Inline lanes that die when they are told to: before the n-th call that a program makes to the core from now on, whoever
 * makes it. What follows is what follows in an engine: recovery, and a new lane with all programs.
 */
import { instantiateProgram } from '../../host/bpf/jit/instantiate.js';
import type { Engine } from '../../host/engine/engine.js';
import { soonest } from '../../host/engine/inline_lanes.js';
import { Lane } from '../../host/engine/lane.js';
import { recoverLane } from '../../host/engine/recover.js';
import { type Core, type CoreExports, coreModule } from '../../host/mem/core.js';
import type { TcpEngine } from './engine.js';
import type { Rounds } from './pair.js';

class Death extends Error {}

type Call = (...args: unknown[]) => unknown;

export class MortalLanes implements Rounds {
  deaths = 0;
  /** Calls of programs so far. */
  calls = 0;
  /** Name of the call before which a lane died last. */
  before = '';
  /** Calls that are left to the next death, of all or of those of this name. */
  #left = Number.POSITIVE_INFINITY;
  #name = '';
  #meanwhile: (() => void) | undefined;
  readonly #lanes: Lane[];

  constructor(
    readonly engine: Engine,
    readonly hosts: readonly TcpEngine[],
  ) {
    this.#lanes = Array.from({ length: engine.laneCount }, (_, i) => this.#make(i));
  }

  /** The next death comes before the `n`-th call from now; `name`: of that function of the core. */
  dieIn(n: number, name = ''): void {
    this.#left = n;
    this.#name = name;
  }

  /** Nobody dies, but before that call `work` is done: as if it were another lane's at that time. */
  meanwhile(n: number, name: string, work: () => void): void {
    this.dieIn(n, name);
    this.#meanwhile = work;
  }

  /** A step of one lane, the others stand. */
  stepOf(i: number): number {
    return this.#lanes[i].step(1, this.engine.now());
  }

  #make(i: number): Lane {
    const { engine } = this;
    const programs = this.hosts.flatMap(h =>
      [h.entrance.collection, h.collection].flatMap(c => Object.values(c.programs)),
    );
    const placed = programs.map(p => ({ program: p.compiled, slots: p.placed.run }));
    const lane = new Lane(engine.arena.memory, coreModule(), i, [], engine.arena.lane(i).generation);
    const core = this.#mortal(lane.core);
    for (const p of placed) instantiateProgram(p.program, core, engine.arena, p.slots);
    return lane;
  }

  /** The core as programs of this lane see it. */
  #mortal(core: Core): Core {
    const exports = Object.fromEntries(
      Object.entries(core.exports).map(([name, fn]) => [
        name,
        typeof fn === 'function' ? this.#counted(name, fn as Call) : fn,
      ]),
    );
    return { lane: core.lane, table: core.table, exports: exports as unknown as CoreExports };
  }

  #counted(name: string, fn: Call): Call {
    return (...args) => {
      this.calls++;
      if ((this.#name === '' || this.#name === name) && --this.#left === 0) {
        this.before = name;
        const work = this.#meanwhile;
        this.#meanwhile = undefined;
        if (!work) throw new Death();
        work();
      }
      return fn(...args);
    };
  }

  step(): number {
    const { engine } = this;
    let work = 0;
    for (const nic of engine.nics) work += nic.poll();
    for (const [i, lane] of this.#lanes.entries())
      try {
        work += lane.step(1, engine.now());
      } catch (error) {
        if (!(error instanceof Death)) throw error;
        this.deaths++;
        recoverLane(engine.arena, engine.fabric, i);
        this.#lanes[i] = this.#make(i);
        work++;
      }
    return work;
  }

  nextDueNs(): bigint | undefined {
    return soonest(this.engine.nextDueNs(), ...this.#lanes.map(lane => lane.nextDueNs()));
  }
}
