/**
 * Bytes that were written before there is a ring for them. A send ring is made by the lane, when somebody first writes: an
 * idle connection has none. What is taken until then lies here, and so does what is asked for after it: a FIN, or to let go.
 * A ring begins small: what it does not take at once follows when it has room, or has grown.
 *
 *   write ─▶ EarlyBytes ── the ring is asked for ─▶ lane ── OUT ─▶ settle: bytes into the ring, then what was asked for
 */
import { StreamRequest } from '../../layout/layout.gen.js';
import type { StreamEnd } from '../../streams/stream_end.js';

/** Most that waits for a ring, bytes: rings begin smaller, and grow. */
const MOST = 262_144;
const ENDING = StreamRequest.SHUTDOWN | StreamRequest.CLOSE;

export class EarlyBytes {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  /** What `views` gave out. */
  #draft: Uint8Array | undefined;
  /** Requests that come after the bytes. */
  #after = 0;
  /** Somebody wanted to write more than there was room for. */
  #short = false;

  constructor(readonly end: StreamEnd) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** As much as a ring may come to take. */
  get room(): number {
    if (this.#after & ENDING || this.end.released) return 0;
    return Math.max(0, EarlyBytes.most(this.end) - this.#bytes);
  }

  /** Bytes that may wait for the ring of `end`. */
  static most(end: StreamEnd): number {
    return Math.min(end.sendMost, MOST);
  }

  /** Takes a copy of as much of `from` as there is room for. */
  write(from: Uint8Array): number {
    const n = Math.min(from.length, this.room);
    if (n < from.length) this.#short = true;
    if (n === 0) return 0;
    // A Buffer's slice would be no copy.
    this.#pieces.push(Uint8Array.prototype.slice.call(from, 0, n));
    this.#bytes += n;
    this.end.askRing(this.#bytes);
    return n;
  }

  /** Whether `bytes` more would be taken; if not, `settle` tells of room. */
  wantRoom(bytes: number): boolean {
    if (this.room >= bytes) return true;
    this.#short = true;
    this.end.askRing(this.#bytes);
    return false;
  }

  /** Memory for as much as there is room for. */
  views(): Uint8Array[] {
    if (this.room === 0) return [];
    this.#draft = new Uint8Array(this.room);
    return [this.#draft];
  }

  /** The first `n` bytes of what `views` gave; the caller writes them where they belong by now. */
  drafted(n: number): Uint8Array | undefined {
    const draft = this.#draft?.subarray(0, n);
    this.#draft = undefined;
    return draft;
  }

  /** Asks for `bits` when the bytes are in the ring. */
  request(bits: number): void {
    this.#after |= bits;
  }

  /** Takes what `drafted` gave, whatever room there is by now: it was given out as room. */
  keep(draft: Uint8Array): void {
    this.#pieces.push(draft);
    this.#bytes += draft.length;
    this.end.askRing(this.#bytes);
  }

  /**
   * The ring is there: bytes go their way, and when all of them have, true, and what was asked for after them. Of room for
   * what is left, where the ring is smaller than was promised, an event tells.
   */
  settle(): boolean {
    const { end } = this;
    while (this.#pieces.length > 0) {
      const [piece] = this.#pieces;
      const n = end.write(piece);
      this.#bytes -= n;
      if (n < piece.length) {
        this.#pieces[0] = piece.subarray(n);
        return false;
      }
      this.#pieces.shift();
    }
    if (this.#after) end.request(this.#after);
    if (this.#after & StreamRequest.CLOSE) end.release();
    return true;
  }

  /** Whether the application, when all is settled, is to be told of room: it wanted some, and there is. */
  get news(): boolean {
    const { end } = this;
    return this.#short && (end.room > 0 || end.wantRoom(end.capacity.send >> 1));
  }
}
