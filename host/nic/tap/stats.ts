/**
 * What threads counted at a TUN/TAP interface. Each thread has a block of its own in the arena, so that a lane counts
 * without telling anybody; numbers are doubles, exact up to 2^53.
 */
import type { Arena } from '../../mem/arena.js';
import { errno } from './request.js';

export interface TapStats {
  /** Packets read. */
  received: number;
  sent: number;
  /** Packets longer than a frame holds: dropped. */
  tooLong: number;
  /** TUN: frames to send, or packets read, that are not IP. */
  notIp: number;
  /** Packets that the kernel did not take, by errno: EIO while the interface is down, EBADFD while it is deleted. */
  refused: Record<string, number>;
}

const WORD = 8;
export const Count = { RECEIVED: 0, SENT: 1, TOO_LONG: 2, NOT_IP: 3 } as const;
/** Pairs of errno and count behind the plain numbers; the last takes what finds no other. */
const ERRORS = 6;
const FIRST_ERROR = 4;
const BYTES = (FIRST_ERROR + 2 * ERRORS) * WORD;

/** The block of one thread. */
export class TapCounts {
  readonly #view: DataView;

  constructor(
    readonly arena: Arena,
    readonly at: number,
  ) {
    this.#view = arena.dv;
  }

  /** Blocks for `threads` threads; the address of the first. @throws EtherloomError ERR_ARENA_FULL */
  static alloc(arena: Arena, threads: number): number {
    const at = arena.counters.alloc(threads * BYTES, 64);
    arena.u8.fill(0, at, at + threads * BYTES);
    return at;
  }

  static of(arena: Arena, first: number, thread: number): TapCounts {
    return new TapCounts(arena, first + thread * BYTES);
  }

  get(i: number): number {
    return this.#view.getFloat64(this.at + i * WORD, true);
  }

  add(i: number, n = 1): void {
    this.#view.setFloat64(this.at + i * WORD, this.get(i) + n, true);
  }

  /** Counts packets that were refused with `-rc`. */
  refuse(rc: number, n = 1): void {
    for (let k = 0; k < ERRORS; k++) {
      const i = FIRST_ERROR + 2 * k;
      const held = this.get(i);
      if (held !== 0 && held !== -rc && k < ERRORS - 1) continue;
      if (held === 0) this.add(i, -rc);
      this.add(i + 1, n);
      return;
    }
  }
}

/** The sum over all threads. */
export function sumStats(arena: Arena, first: number, threads: number): TapStats {
  const sum: TapStats = { received: 0, sent: 0, tooLong: 0, notIp: 0, refused: {} };
  for (let t = 0; t < threads; t++) {
    const c = TapCounts.of(arena, first, t);
    sum.received += c.get(Count.RECEIVED);
    sum.sent += c.get(Count.SENT);
    sum.tooLong += c.get(Count.TOO_LONG);
    sum.notIp += c.get(Count.NOT_IP);
    for (let k = 0; k < ERRORS; k++) {
      const code = c.get(FIRST_ERROR + 2 * k);
      if (code !== 0)
        sum.refused[errno(code)] = (sum.refused[errno(code)] ?? 0) + c.get(FIRST_ERROR + 2 * k + 1);
    }
  }
  return sum;
}
