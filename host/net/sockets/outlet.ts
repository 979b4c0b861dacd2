/**
 * The writing half of a socket: what a Writable hands over goes into the send ring as there is room, and the write is done
 * when the ring has all of it. So `write` returns false when the ring and the stream's own buffer are full: the ring is
 * as full as the peer's window and the network leave it.
 */
import type { Connection } from '../burst/connection.js';
import { systemError } from './errors.js';

type Done = (error?: Error | null) => void;

export class Outlet {
  /** Bytes of writes that are done. */
  bytes = 0;
  #parts: readonly Uint8Array[] = [];
  /** First part that is not all in the ring, and how far it is. */
  #part = 0;
  #at = 0;
  #done: Done | undefined;

  /** Whether a write is under way. */
  get busy(): boolean {
    return this.#done !== undefined;
  }

  /** Takes the one write that a Writable has under way at a time; `drain` moves it. */
  begin(parts: readonly Uint8Array[], done: Done): void {
    this.#parts = parts;
    this.#part = 0;
    this.#at = 0;
    this.#done = done;
  }

  /** Moves what there is room for. Returns whether anything moved. */
  drain<O>(connection: Connection<O>): boolean {
    if (!this.#done) return false;
    if (connection.closed) {
      // The peer or the network ended it; a write after that is a broken pipe.
      this.fail(systemError('write', connection.error ?? 'EPIPE'));
      return false;
    }
    let moved = false;
    for (; this.#part < this.#parts.length; this.#part++, this.#at = 0) {
      const part = this.#parts[this.#part];
      if (this.#at < part.length) {
        const n = connection.write(this.#at === 0 ? part : part.subarray(this.#at));
        moved ||= n > 0;
        this.#at += n;
        // Of room for the rest an event tells.
        if (this.#at < part.length) return moved;
      }
    }
    this.#finish();
    return moved;
  }

  #finish(): void {
    for (const part of this.#parts) this.bytes += part.length;
    this.#end(null);
  }

  /** The write under way, if any, comes to nothing. */
  fail(error: Error): void {
    this.#end(error);
  }

  #end(error: Error | null): void {
    const done = this.#done;
    this.#parts = [];
    this.#done = undefined;
    done?.(error);
  }
}
