/**
 * What an application of bytes is, whoever carries them: a session for each connection, which takes what came and appends
 * what is to be sent. The three levels (duplex.ts, burst.ts, in_lane.ts) carry the same sessions.
 *
 *   connection ── bytes ─▶ Session.take ── answers ─▶ Answers ─▶ connection
 */

import type { Stage } from './patience.js';

/** Answers beyond are not made before those that are there were sent, bytes. A session may pass it by one answer. */
export const ANSWERS_FULL = 256 << 10;
const FIRST_BYTES = 64 << 10;
/** Views of up to so many bytes are made once. */
const KEPT_VIEWS = 4096;

export interface Session {
  /**
   * Takes bytes 0 … `n` - 1 of `bytes`, good during the call only. Returns how many it took: all, unless `out` is full or it
   * has ended. What is part of a request it keeps for itself.
   */
  take(bytes: Uint8Array, n: number, out: Answers): number;
  /** It takes nothing any more: what it answered is to be sent, then the connection ends. */
  readonly ended: boolean;
  /** Where it is, and how many requests had come so far: who waits too long for a peer looks at them. */
  readonly stage: Stage;
  readonly requests: number;
  /** Last words to a peer that was too late with a request. */
  late?(out: Answers): void;
}

export interface Service {
  /** The session of a new connection. */
  open(): Session;
}

/** Where sessions put what is to be sent: one for all connections of a thread, emptied after each. */
export class Answers {
  /** Its first `length` bytes count. */
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  length = 0;
  readonly #views: Uint8Array[] = [];

  get full(): boolean {
    return this.length >= ANSWERS_FULL;
  }

  /** Makes `n` bytes at the end part of it, whose contents are the caller's to write. Returns where they begin. */
  reserve(n: number): number {
    const at = this.length;
    const end = at + n;
    if (end > this.bytes.length) this.#grow(end);
    this.length = end;
    return at;
  }

  #grow(least: number): void {
    const larger = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(least)));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.#views.length = 0;
  }

  append(from: Uint8Array, n = from.length): void {
    const at = this.reserve(n);
    if (n === from.length) this.bytes.set(from, at);
    else if (n > 64) this.bytes.set(from.subarray(0, n), at);
    else for (let i = 0; i < n; i++) this.bytes[at + i] = from[i];
  }

  /** What is in it, in place: good until it is changed. */
  view(): Uint8Array {
    const n = this.length;
    if (n > KEPT_VIEWS) return this.bytes.subarray(0, n);
    return (this.#views[n] ??= this.bytes.subarray(0, n));
  }

  clear(): void {
    this.length = 0;
  }
}
