/** A message that leaves in pieces, as there is room for them: its bytes, or those that its source has made so far. */
import type { FrameKind } from './frame.js';

export class Outgoing {
  /** Of the frames. */
  kind!: FrameKind;
  call = 0;
  turn = 0;
  sent = 0;
  /** Bytes that wait. */
  waiting = 0;
  /** Told when some of what waited was sent, and when nothing more will be. */
  onSent: (() => void) | undefined;
  /** Nobody wants it any more. */
  dropped = false;
  readonly #chunks: Uint8Array[] = [];

  constructor(public length: number) {}

  /** A message that is there. */
  static of(bytes: Uint8Array): Outgoing {
    const out = new Outgoing(bytes.length);
    out.push(bytes);
    return out;
  }

  get whole(): boolean {
    return this.sent === this.length;
  }

  /** More of it: the bytes must not be changed before they were sent. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.waiting += chunk.length;
  }

  /** What waits is copied: who gave it may change it. */
  keep(): void {
    for (const [i, chunk] of this.#chunks.entries()) this.#chunks[i] = Uint8Array.prototype.slice.call(chunk);
  }

  /** The same with some bytes before it. */
  behind(head: Uint8Array): this {
    this.length += head.length;
    this.waiting += head.length;
    this.#chunks.unshift(head);
    return this;
  }

  /** What is to be sent next: at most `most` bytes in one piece. */
  peek(most: number): Uint8Array {
    const [first] = this.#chunks;
    return first.length > most ? first.subarray(0, most) : first;
  }

  took(n: number): void {
    const [first] = this.#chunks;
    if (n === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(n);
    this.waiting -= n;
    this.sent += n;
    this.onSent?.();
  }

  drop(): void {
    this.dropped = true;
    this.onSent?.();
  }
}
