/**
 * The writing half of a socket: what a Writable hands over goes into the send ring as there is room, and the write is done
 * when the ring has all of it. So `write` returns false when the ring and the stream's own buffer are full: the ring is
 * as full as the peer's window and the network leave it.
 *
 *   write ─┬─ nothing waits: `pass`, into the ring, and the Writable never heard of it ─────────────────┐
 *          └─ Writable ─ _write, _writev ─▶ begin ─▶ drain: at once, and when there is room again ──────┴─▶ send ring
 */
import type { Duplex } from 'node:stream';
import { systemError } from './errors.js';
import type { SocketConnection } from './loop.js';

type Done = (error?: Error | null) => void;
/** As `write` is called with it. */
type Chunk = Uint8Array | string;
/** As a Writable collects them. */
export interface Written {
  chunk: Chunk;
  encoding: BufferEncoding;
}

/** Of a Writable's state, what decides whether `write` would do nothing but hand over. */
interface Flow {
  length: number;
  corked: number;
  ending: boolean;
  errored: unknown;
  defaultEncoding: BufferEncoding;
}

const NOTHING: readonly Uint8Array[] = [];

/** Fields that are `private` and no `#`, as of StreamEnd: every message goes through here. */
export class Outlet {
  /** What is written to; undefined when there is none, or not yet, or no more. */
  connection: SocketConnection | undefined;
  /** Bytes of writes that are done. */
  bytes = 0;
  private parts = NOTHING;
  /** First part that is not all in the ring, and how far it is. */
  private part = 0;
  private at = 0;
  private done: Done | undefined;
  private readonly flow: Flow;

  constructor(target: Duplex) {
    this.flow = (target as unknown as { _writableState: Flow })._writableState;
  }

  /** Whether a write is under way. */
  get busy(): boolean {
    return this.done !== undefined;
  }

  /**
   * Writes past the Writable what that would hand over at once, if the ring takes all of it: `write` is true then, nothing
   * waits, no `drain` comes, and who wants to be called back is in the next tick. False: it is the Writable's.
   */
  pass(chunk: unknown, encoding: unknown): boolean {
    const flow = this.flow;
    if (this.connection === undefined || this.done !== undefined || flow.length !== 0) return false;
    if (flow.corked !== 0 || flow.ending || flow.errored) return false;
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return false;
    return chunk.length > 0 && this.put(chunk, (encoding || flow.defaultEncoding) as BufferEncoding);
  }

  /** Writes all of it, if there is room. Whether it did. */
  put(chunk: Chunk, encoding: BufferEncoding): boolean {
    const { connection } = this;
    if (connection === undefined || this.done !== undefined) return false;
    let n = chunk.length;
    if (typeof chunk !== 'string') {
      if (!connection.writeAll(chunk)) return false;
    } else if (encoding === 'latin1') {
      if (!connection.writeText(chunk, n, true)) return false;
    } else if (encoding === 'utf8' || (encoding as string) === 'utf-8') {
      n = Buffer.byteLength(chunk);
      if (!connection.writeText(chunk, n, false)) return false;
    } else return false;
    this.bytes += n;
    return true;
  }

  /** Bytes of the write under way. */
  get waiting(): number {
    return this.parts.reduce((sum, part) => sum + part.length, 0);
  }

  /** Takes the one write that a Writable has under way at a time; `drain` moves it. */
  begin(parts: readonly Written[], done: Done): void {
    this.parts = parts.map(({ chunk, encoding }) =>
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk,
    );
    this.part = 0;
    this.at = 0;
    this.done = done;
  }

  /** Moves what there is room for. Returns whether anything moved. */
  drain(connection: SocketConnection): boolean {
    if (this.done === undefined) return false;
    if (connection.closed) {
      // The peer or the network ended it; a write after that is a broken pipe.
      this.fail(systemError('write', connection.error ?? 'EPIPE'));
      return false;
    }
    let moved = false;
    for (; this.part < this.parts.length; this.part++, this.at = 0) {
      const part = this.parts[this.part];
      if (this.at < part.length) {
        const n = connection.write(this.at === 0 ? part : part.subarray(this.at));
        moved ||= n > 0;
        this.at += n;
        // Of room for the rest an event tells.
        if (this.at < part.length) return moved;
      }
    }
    for (const part of this.parts) this.bytes += part.length;
    this.end(null);
    return moved;
  }

  /** The write under way, if any, comes to nothing. */
  fail(error: Error): void {
    this.end(error);
  }

  private end(error: Error | null): void {
    const { done } = this;
    this.parts = NOTHING;
    this.done = undefined;
    done?.(error);
  }
}
