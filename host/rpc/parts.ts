/**
 * Messages that come in several frames, or that are longer than the ring: gathered in memory of their own, which grows with
 * what came: a length that is only promised takes none.
 */
import type { Account } from './accounts.js';
import { RpcError } from './errors.js';

/** Memory that a part begins with, bytes, unless larger memory lies about. */
const FIRST_BYTES = 65_536;
/** What came fills so many times less than it is given memory for: 3 bytes are promised for each. */
const GROWTH = 4;
/** Memory of former messages that is kept for others, bytes. */
const MOST_KEPT = 8 << 20;

export class PartPool {
  readonly #free: Uint8Array[] = [];
  #bytes = 0;
  readonly #lent: Uint8Array[] = [];

  /** What lies about that has room for `length` bytes, or else the largest; new memory is small. */
  take(length: number): Uint8Array {
    const free = this.#free;
    let best = -1;
    for (let i = free.length - 1; i >= 0 && (best < 0 || free[best].length < length); i--)
      if (best < 0 || free[i].length > free[best].length) best = i;
    if (best < 0) return memoryOf(Math.min(length, FIRST_BYTES));
    const bytes = free[best];
    free[best] = free[free.length - 1];
    free.pop();
    this.#bytes -= bytes.length;
    return bytes;
  }

  give(bytes: Uint8Array): void {
    if (bytes.length < FIRST_BYTES || this.#bytes + bytes.length > MOST_KEPT) return;
    this.#bytes += bytes.length;
    this.#free.push(bytes);
  }

  /** Memory for `length` bytes until `reclaim`: of messages that lie in two pieces, and are wanted in one. */
  lend(length: number): Uint8Array {
    let bytes = this.take(length);
    if (bytes.length < length) {
      this.give(bytes);
      bytes = memoryOf(length);
    }
    this.#lent.push(bytes);
    return bytes;
  }

  /** Nobody looks at what was lent any more. */
  reclaim(): void {
    const lent = this.#lent;
    if (lent.length === 0) return;
    for (const bytes of lent) this.give(bytes);
    lent.length = 0;
  }
}

/** Memory that is written before it is read: zeros would cost as much as the message. */
const memoryOf = (bytes: number): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);

export class Part {
  /** Of the reader of a message that is read as it comes. */
  tag: unknown = undefined;
  /** The rest of it will not come. */
  onDrop: (() => void) | undefined = undefined;
  received = 0;
  bytes: Uint8Array;
  /** Pieces that came to their end: frames, or what was there of a message without any. */
  pieces = 0;
  /** How many there were at the last look, for how long the next one was waited for then, and since when it is known, ms. */
  private seen = -1;
  private waitedMs = 0;
  private ageMs = 0;
  /** Nobody needs it any more: its memory may be another's. */
  dropped = false;
  /** Its memory is its reader's. */
  #taken = false;
  /** Somebody works on what came: it counts until `letGo`, also when the rest will not come. */
  #held = false;
  #letsGo: (() => void) | undefined;

  constructor(
    readonly pool: PartPool,
    readonly call: number,
    readonly turn: number,
    readonly kind: number,
    readonly length: number,
    /** Of a request: where it counts, until it is whole and answered, or dropped. */
    readonly account?: Account,
  ) {
    this.bytes = pool.take(length);
    account?.part(length, 1);
  }

  get whole(): boolean {
    return this.received === this.length;
  }

  /** Time passes. Returns how much of it is left for its next piece, ms. */
  wait(ms: number, mostMs: number): number {
    this.waitedMs = this.pieces === this.seen ? this.waitedMs + ms : 0;
    this.seen = this.pieces;
    this.ageMs += ms;
    // Whoever takes the room that others wait for is to come to an end.
    return mostMs - (this.account?.all.pressed ? this.ageMs : this.waitedMs);
  }

  /** All of it came. */
  end(): void {
    this.account?.part(this.length, -1);
  }

  /** Memory for `n` bytes behind what came. */
  room(n: number): Uint8Array {
    const end = this.received + n;
    if (end > this.bytes.length) {
      const larger = memoryOf(Math.min(this.length, Math.max(end, GROWTH * this.bytes.length)));
      larger.set(this.bytes.subarray(0, this.received));
      if (!this.#taken) this.pool.give(this.bytes);
      this.#taken = false;
      this.bytes = larger;
    }
    return this.bytes;
  }

  /** What came, which is the taker's from now on. @throws RpcError ERR_RPC_EVENT: it was given back */
  take(): Buffer {
    if (this.dropped)
      throw new RpcError('ERR_RPC_EVENT', 'the bytes of the event were given back', {
        expected: 'an event of the last poll',
      });
    this.#taken = true;
    return Buffer.from(this.bytes.buffer as ArrayBuffer, this.bytes.byteOffset, this.received);
  }

  /** Nobody needs it any more. */
  drop(): void {
    if (this.dropped) return;
    this.dropped = true;
    if (!this.#taken) this.pool.give(this.bytes);
    if (this.whole) return;
    this.account?.part(this.length, -1);
    this.onDrop?.();
    this.#leave();
  }

  #leave(): void {
    const { account, length } = this;
    if (account === undefined) return;
    if (this.#held) this.#letsGo = () => account.give(length);
    else account.give(length);
  }

  hold(): this {
    this.#held = true;
    return this;
  }

  letGo(): void {
    this.#held = false;
    const letsGo = this.#letsGo;
    this.#letsGo = undefined;
    letsGo?.();
  }

  /** It was given up when it was whole, before anybody kept it: it counts for those who work on it. */
  linger(): void {
    this.account?.add(this.length);
    this.#leave();
  }
}
