/**
 * A lane as a piscina task that ends only when it is told to. Never yields to the event loop while nobody takes a seat:
 * messages are taken synchronously when the generation word says that there are some.
 */
import { LaneCommand, LanePhase } from '../layout/layout.gen.js';
import { numberClock } from './clock.js';
import type { ControlAck, LaneExit, LaneTask } from './control.js';
import { keepTo } from './cpus.js';
import { Lane } from './lane.js';
import { LaneOrders } from './lane_orders.js';
import { Looks } from './looks.js';
import { Residents, type SeatOrder, seatResident } from './resident.js';

/** Looks for work of an idle lane between two looks at the clock: 1 to 2 µs. */
const LOOKS = 200;
/** While a module is being loaded the event loop has its turn after so long, ns. */
const SLICE_NS = 500_000;
/** Of the one that the engine was made with. */
const FIRST = 0;

/** Runs the lane until the command is STOP. Throws what a program traps with: the supervisor decides what then. */
export default function run(task: LaneTask): LaneExit | Promise<LaneExit> {
  if (task.cpu !== undefined) keepTo(task.cpu);
  const { memory, core, programs, generation, plans, aliases } = task;
  const lane = new Lane(memory, core, task.lane, programs, generation, plans, aliases);
  const life = new LaneLife(lane, task);
  if (!task.resident) return life.go();
  return seatResident(task.resident, lane.arena, task.lane).then(resident => {
    life.residents.add(FIRST, resident);
    return life.go();
  });
}

class LaneLife {
  readonly residents = new Residents();
  readonly #clock = numberClock();
  readonly #orders: LaneOrders;
  /** Seats whose modules are being loaded, and nobody has ended since. */
  readonly #loading = new Set<number>();

  constructor(
    readonly lane: Lane,
    readonly task: LaneTask,
  ) {
    this.#orders = new LaneOrders(lane, task.port, this.#clock, message => {
      if (message.kind === 'seat') this.#load(message.seat, message.generation);
      else {
        this.residents.remove(message.id);
        this.#loading.delete(message.id);
        this.#acknowledge({ generation: message.generation, stops: [] });
      }
    });
    for (const seat of task.seats ?? []) this.#load(seat, undefined);
  }

  /** Until STOP; at once where nobody is to be loaded, so that a lane without residents never waits for anything. */
  go(): LaneExit | Promise<LaneExit> {
    const { lane } = this;
    lane.words.set('phase', LanePhase.RUNNING);
    try {
      if (this.#live()) return this.#end();
    } catch (error) {
      throw this.#crashed(error);
    }
    return this.#goOn().catch(error => {
      throw this.#crashed(error);
    });
  }

  /** In slices, for as long as something is being loaded. */
  async #goOn(): Promise<LaneExit> {
    do await new Promise(next => setImmediate(next));
    while (!this.#live());
    return this.#end();
  }

  #end(): LaneExit {
    this.lane.words.set('phase', LanePhase.STOPPED);
    this.task.port.close();
    return { lane: this.task.lane, sleeps: this.lane.sleeps };
  }

  #crashed(error: unknown): unknown {
    this.lane.words.set('phase', LanePhase.CRASHED);
    this.task.port.close();
    return error;
  }

  /** The loop. True: it was told to stop; false: the event loop is to have its turn. */
  #live(): boolean {
    const { lane, task } = this;
    const { words } = lane;
    const { residents } = this;
    const clock = this.#clock;
    const looks = new Looks(task.spinUs * 1000);
    const until = this.#loading.size > 0 ? clock() + SLICE_NS : Number.POSITIVE_INFINITY;
    let idleSince = 0;
    for (;;) {
      const now = clock();
      // What a round brought a resident is not to wait for other rounds.
      const rounds = residents.size === 0 ? task.rounds : 1;
      const taken = lane.stepAt(rounds, now, LOOKS) + residents.poll(now);
      if (lane.called) {
        if (words.get('generation') !== words.get('acked')) this.#orders.visit();
        const command = words.get('command');
        if (command === LaneCommand.STOP) return true;
        if (command === LaneCommand.PAUSE) {
          lane.pause();
          // What was changed meanwhile, and for all lanes at one time, is not to meet programs of before.
          while (words.get('generation') !== words.get('acked')) this.#orders.visit();
        }
        if (this.#loading.size > 0) return false;
      } else if (now > until) return false;
      else if (taken !== 0) {
        if (idleSince !== 0) looks.waited(now - idleSince);
        idleSince = 0;
      } else if (idleSince === 0) idleSince = now;
      else if (now - idleSince > looks.ns && this.#loading.size === 0) {
        // One that finds nothing when it wakes sleeps again at once.
        if (lane.sleep(task.restMs) !== 0) idleSince = 0;
      }
    }
  }

  /** Loads a module while packets go on; other orders do not wait for it. @param generation of the order; undefined: it was seated in the life before */
  #load(seat: SeatOrder, generation: number | undefined): void {
    this.#loading.add(seat.id);
    seatResident(seat, this.lane.arena, this.task.lane)
      .then(
        resident => {
          if (this.#loading.delete(seat.id)) this.residents.add(seat.id, resident);
          return undefined;
        },
        error => {
          this.#loading.delete(seat.id);
          return (error as Error).message;
        },
      )
      .then(error => {
        if (generation !== undefined)
          this.#acknowledge({ generation, stops: [], ...(error ? { error } : {}) });
      });
  }

  #acknowledge(ack: ControlAck): void {
    this.task.port.postMessage([ack]);
  }
}
