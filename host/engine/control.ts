/**
 * What the control plane and a lane say to each other. Messages travel by a port, because modules do; that one waits is
 * said by LaneState.generation, which the loop looks at between rounds: a lane that never yields gets no events.
 */
import type { MessagePort } from 'node:worker_threads';
import { LaneCommand, LaneStateLayout } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { raiseEvent, Sleep } from '../mem/wakes.js';
import type { DriverPlan } from '../nic/driver.js';
import type { PlacedProgram } from './program.js';
import type { ResidentOptions, SeatOrder } from './resident.js';
import type { Stop } from './stops.js';

/** Slots of a program. */
export interface SlotRun {
  readonly slots: number;
  readonly count: number;
}

/** Host → lane, of its programs. */
export type ProgramMessage =
  | { kind: 'install'; generation: number; place: PlacedProgram }
  | { kind: 'alias'; generation: number; slots: readonly number[] }
  | { kind: 'remove'; generation: number; places: readonly SlotRun[] };

/** Host → lane. */
export type ControlMessage =
  | ProgramMessage
  | { kind: 'seat'; generation: number; seat: SeatOrder }
  | { kind: 'unseat'; generation: number; id: number };

/** Lane → host: the message of that generation was done. */
export interface ControlAck {
  generation: number;
  /** How long the loop stood still for it, each time. */
  stops: readonly Stop[];
  /** Why it could not be done. */
  error?: string;
}

/** What a lane's task is started with. */
export interface LaneTask {
  memory: WebAssembly.Memory;
  core: WebAssembly.Module;
  lane: number;
  port: MessagePort;
  /** Programs that are loaded already. */
  programs: PlacedProgram[];
  /** Slots that call what stands at others (ProgramOrder `alias`). */
  aliases: number[];
  /** LaneState.generation when that was so: what is raised later waits at the port. */
  generation: number;
  /** Rounds between two looks at the clock. */
  rounds: number;
  /** How long it spins at least without work before it sleeps, µs. */
  spinUs: number;
  /** Its longest sleep, ms: then it looks by itself, which is its heartbeat, too. */
  restMs: number;
  /** The CPU that it keeps to, if any. */
  cpu?: number | undefined;
  /** Ports with a part in the lane's thread. */
  plans: readonly DriverPlan[];
  /** Who lives in the lane's thread. */
  resident?: ResidentOptions | undefined;
  /** Who was seated before this life. */
  seats?: readonly SeatOrder[];
}

/** What a lane's task ends with. */
export interface LaneExit {
  lane: number;
  /** Times it slept for want of work. */
  sleeps: number;
}

const WORDS = ['epoch', 'phase', 'sleeping', 'acked', 'command', 'generation', 'wake'] as const;
type Word = (typeof WORDS)[number];

/** The control words of one lane, as the host uses them. */
export class LaneWords {
  readonly #i32: Int32Array;
  /** Where they are, in words of the arena: a lane looks at some in every step. */
  readonly #at: Readonly<Record<Word, number>>;

  constructor(
    readonly arena: Arena,
    readonly lane: number,
  ) {
    this.#i32 = arena.i32;
    const at = arena.header.lanesAt + lane * LaneStateLayout.size;
    this.#at = Object.fromEntries(WORDS.map(word => [word, (at + LaneStateLayout[word]) >> 2])) as Record<
      Word,
      number
    >;
  }

  get(field: Word): number {
    return Atomics.load(this.#i32, this.#at[field]);
  }

  set(field: Word, value: number): void {
    Atomics.store(this.#i32, this.#at[field], value);
  }

  /**
   * Whether the host wants something of the lane. Plain loads, which the lane repeats after every step: an atomic one is
   * a call in V8.
   */
  get called(): boolean {
    const { command, generation, acked } = this.#at;
    const i32 = this.#i32;
    return i32[command] !== LaneCommand.RUN || i32[generation] !== i32[acked];
  }

  /** Raises `generation`: a message waits. */
  raise(): number {
    return Atomics.add(this.#i32, this.#at.generation, 1) + 1;
  }

  /** Sets the command and wakes the lane, whether it sleeps or is paused. */
  command(command: number): void {
    this.set('command', command);
    Atomics.notify(this.#i32, this.#at.command);
    this.wake();
  }

  /** Ends the lane's sleep, if it sleeps. */
  wake(): void {
    Atomics.add(this.#i32, this.#at.wake, 1);
    Atomics.notify(this.#i32, this.#at.wake);
    if (this.get('sleeping') === Sleep.IN_POLL) raiseEvent(this.arena, this.lane);
  }

  /** For the lane: counts a heartbeat outside the loop. */
  beat(): void {
    Atomics.add(this.#i32, this.#at.epoch, 1);
  }

  /** For the lane: waits until `field` is no longer `value`. Blocks the thread. */
  wait(field: 'command' | 'wake', value: number, timeoutMs: number): void {
    Atomics.wait(this.#i32, this.#at[field], value, timeoutMs);
  }
}
