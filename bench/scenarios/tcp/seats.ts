/** The host's side of resident.mjs: a mailbox for each lane, orders out, answers back. */
import type { ResidentOptions } from '../../../host/engine/resident.js';

const BYTES = 32 << 10;
const TEXT_AT = 64;
const Word = { ORDER: 0, DONE: 1, ORDER_BYTES: 2, DONE_BYTES: 3 } as const;

export type SeatOrder =
  | { do: 'source'; app: number; id: number; ms: number }
  /** `views`: takes bytes in place instead of copying them out of the ring. */
  | { do: 'sink'; app: number; id: number; ms: number; views?: boolean }
  | { do: 'echo'; app: number }
  | { do: 'ask'; app: number; ids: number[]; bytes: number; ms: number }
  | { do: 'feed'; app: number; ids: number[]; ms: number }
  | { do: 'drain'; app: number; ms: number }
  | { do: 'options'; app: number; ids: number[] }
  | { do: 'rest' };

export interface SeatResult {
  /** Bytes, or messages, per second. */
  rate: number;
  p50Us: number;
  p99Us: number;
}

export class Seats {
  readonly #buffer: SharedArrayBuffer;

  constructor(lanes: number) {
    this.#buffer = new SharedArrayBuffer(lanes * BYTES);
  }

  get resident(): ResidentOptions {
    return {
      module: new URL('resident.mjs', import.meta.url),
      data: { buffer: this.#buffer, bytes: BYTES },
    };
  }

  /** Has a lane do it; resolves with what it answers. @throws Error when it does not within a minute */
  async order(lane: number, order: SeatOrder): Promise<SeatResult> {
    const words = new Int32Array(this.#buffer, lane * BYTES, 16);
    const half = (BYTES - TEXT_AT) / 2;
    const at = lane * BYTES + TEXT_AT;
    const text = new TextEncoder().encode(JSON.stringify(order));
    new Uint8Array(this.#buffer, at, half).set(text);
    words[Word.ORDER_BYTES] = text.length;
    const number = Atomics.add(words, Word.ORDER, 1) + 1;
    for (const until = performance.now() + 60_000; Atomics.load(words, Word.DONE) !== number; ) {
      if (performance.now() > until) throw new Error(`lane ${lane} does not end ${order.do}`);
      await new Promise(done => setTimeout(done, 5));
    }
    const answer = new Uint8Array(this.#buffer, at + half, words[Word.DONE_BYTES]);
    return JSON.parse(new TextDecoder().decode(answer.slice())) as SeatResult;
  }
}
