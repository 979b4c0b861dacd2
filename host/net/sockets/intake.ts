/**
 * The reading half of a socket: from the receive ring into a Readable, as long as that asks for more. What is not asked for
 * stays in the ring, whose free part is the window that the peer sees.
 */
import type { Connection } from '../burst/connection.js';
import { systemError } from './errors.js';

/** Most bytes of a chunk. */
const CHUNK_BYTES = 65536;

/** Reading into memory of the user's: `net`'s option `onread`. */
export interface OnRead {
  buffer: Uint8Array | (() => Uint8Array);
  /** Called with what came; false: no more for now. */
  callback(bytes: number, buffer: Uint8Array): boolean;
}

/** Where the bytes go. */
export interface IntakeTarget {
  /** Whether more is wanted. */
  push(chunk: Uint8Array): boolean;
  /** Bytes came. */
  active(): void;
  /** There is no more, in peace or because of an error. */
  ended(error: Error | undefined): void;
}

export class Intake {
  /** More is wanted. */
  reading = false;
  /** Bytes that were read. */
  bytes = 0;
  #over = false;
  #pulling = false;
  /** More was wanted while a chunk was handed on. */
  #asked = false;

  constructor(
    readonly target: IntakeTarget,
    readonly onread: OnRead | undefined,
  ) {}

  /** More is wanted. */
  ask(): void {
    this.reading = true;
    this.#asked = true;
  }

  /** Hands on what there is, while it is wanted; `isLive` says whether the target still has that connection. */
  pull<O>(connection: Connection<O>, isLive: () => boolean): void {
    // Who gets a chunk may ask for the next before this one is through.
    if (this.#pulling || this.#over) return;
    this.#pulling = true;
    try {
      while (this.reading && isLive()) {
        const have = connection.readable;
        if (have === 0) break;
        this.#asked = false;
        const more = this.#hand(connection, have);
        // A Readable that asked will not ask again before it has got something.
        this.reading = more || this.#asked;
      }
    } finally {
      this.#pulling = false;
    }
    if (!this.reading || !isLive() || !connection.ended || connection.readable > 0) return;
    this.#over = true;
    this.reading = false;
    this.target.ended(connection.error === undefined ? undefined : systemError('read', connection.error));
  }

  #hand<O>(connection: Connection<O>, have: number): boolean {
    if (this.onread) {
      const { buffer, callback } = this.onread;
      const into = typeof buffer === 'function' ? buffer() : buffer;
      const n = this.#count(connection.read(into));
      // A buffer without room would be asked for ever.
      return n > 0 && callback(n, into) !== false;
    }
    const chunk = Buffer.allocUnsafe(Math.min(have, CHUNK_BYTES));
    this.#count(connection.read(chunk));
    return this.target.push(chunk);
  }

  #count(n: number): number {
    this.bytes += n;
    this.target.active();
    return n;
  }
}
