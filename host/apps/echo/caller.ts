/** Who asks an echo: messages of one size, and as many bytes back, or few. */
import type { Caller } from '../load/caller.js';
import type { Answers } from '../service.js';
import { PATTERN_BYTES, SHORT_BYTES } from './echo.js';

/** So many bytes of a connection are looked at one by one. */
const PROVEN_BYTES = 64 << 10;
/** Messages are copied so many bytes at a time. */
const BATCH_BYTES = 16 << 10;
/** Up to so many a loop is faster than a copy. */
const FEW_BYTES = 64;

export class EchoCaller implements Caller {
  /** Bytes that tell their place, so that one that is lost or doubled shows. */
  readonly #message: Uint8Array;
  readonly #answerBytes: number;
  #asked = 0;
  #answered = 0;

  constructor(
    readonly bytes: number,
    short = false,
  ) {
    this.#answerBytes = short ? SHORT_BYTES : bytes;
    // So long that a batch of any rotation of the pattern is a piece of it.
    this.#message = Uint8Array.from(
      { length: Math.max(bytes, BATCH_BYTES) + PATTERN_BYTES },
      (_, i) => i % PATTERN_BYTES,
    );
  }

  ask(out: Answers, most: number): number {
    const piece = Math.max(1, Math.floor(BATCH_BYTES / this.bytes));
    for (let n = 0; n < most; n += piece) this.#append(out, Math.min(piece, most - n) * this.bytes);
    return most;
  }

  #append(out: Answers, bytes: number): void {
    const from = this.#asked % PATTERN_BYTES;
    const at = out.reserve(bytes);
    if (bytes > FEW_BYTES) out.bytes.set(this.#message.subarray(from, from + bytes), at);
    else for (let i = 0; i < bytes; i++) out.bytes[at + i] = this.#message[from + i];
    this.#asked += bytes;
  }

  /** Looks at each of the first bytes, then at the ends of what came: at each is too dear for who measures. */
  take(bytes: Uint8Array, n: number): number {
    const before = Math.floor(this.#answered / this.#answerBytes);
    const first = this.#answered % PATTERN_BYTES;
    const last = (this.#answered + n - 1) % PATTERN_BYTES;
    if (bytes[0] !== first || bytes[n - 1] !== last)
      throw new Error(`byte ${this.#answered} or ${this.#answered + n - 1} is not what was sent`);
    if (this.#answered < PROVEN_BYTES) this.#prove(bytes, n);
    this.#answered += n;
    return Math.floor(this.#answered / this.#answerBytes) - before;
  }

  #prove(bytes: Uint8Array, n: number): void {
    for (let i = 0; i < n; i++)
      if (bytes[i] !== (this.#answered + i) % PATTERN_BYTES)
        throw new Error(`byte ${this.#answered + i} is not what was sent`);
  }
}
