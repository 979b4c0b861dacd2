/**
 * When each frame was captured. Programs and lanes never touch it: a frame keeps its number from receive ring to
 * transmit ring, so a table beside the arena is enough to give a packet that leaves the time at which it came.
 * Host thread only.
 */
import { FRAME_SIZE } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';

const tables = new WeakMap<WebAssembly.Memory, FrameTimes>();

export class FrameTimes {
  readonly #ns: BigUint64Array;
  readonly #packetAt: number;

  private constructor(arena: Arena) {
    this.#ns = new BigUint64Array(arena.header.frameCount);
    this.#packetAt = arena.header.packetAt;
  }

  /** The table of an arena, shared by all its NICs: a packet may leave by another than it came. */
  static of(arena: Arena): FrameTimes {
    let table = tables.get(arena.memory);
    if (!table) tables.set(arena.memory, (table = new FrameTimes(arena)));
    return table;
  }

  /** Notes the time of the packet whose first byte lies at arena address `at`, ns. */
  set(at: number, ns: bigint): void {
    this.#ns[this.#frame(at)] = ns;
  }

  /** Time of the frame that holds address `at`; 0 when it never held a captured packet. */
  get(at: number): bigint {
    return this.#ns[this.#frame(at)] ?? 0n;
  }

  #frame(at: number): number {
    return Math.floor((at - this.#packetAt) / FRAME_SIZE);
  }
}
