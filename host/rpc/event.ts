/** What the burst API tells of: requests that came, and how calls ended. Objects that are used again, with views of rings. */
import { copyOf } from '../streams/chunks.js';
import type { Asked, Carrier } from './carrier.js';
import { errorBody, RpcError, remoteError } from './errors.js';
import { FrameKind } from './frame.js';
import type { Part } from './parts.js';

/**
 * request: somebody calls, `reply` answers. response: a call was answered. failed: it was not, `code` says why.
 * cancelled: nobody waits for the answer of a request that was kept (`keep`).
 */
export type RpcEventKind = 'request' | 'response' | 'failed' | 'cancelled' | 'part';

const NOTHING = new Uint8Array(0);

/** Good until the next poll: then the object is another event's, and its bytes are given back. */
export class RpcEvent implements Asked {
  kind: RpcEventKind = 'request';
  /** Of responses and failures: what `begin` was given. Of cancelled requests: what `keep` was. */
  tag: unknown = undefined;
  /** Of failures: as Linux names it, or ERR_RPC_REMOTE, ERR_RPC_CLOSED. */
  code: string | undefined = undefined;
  /** Of failures: what is known of them as text. */
  reason = '';
  /** Bytes of the message: `first` of them at `at` of `memory`, the others at `again`. */
  length = 0;
  memory: Uint8Array = NOTHING;
  at = 0;
  first = 0;
  again = 0;
  /** @internal */
  carrier!: Carrier;
  /** Of requests: what the server was made with. */
  service: unknown = undefined;
  /** @internal The carrier's own: where it came from. */
  link: unknown = undefined;
  /** @internal */
  call = 0;
  /** @internal */
  turn = 0;
  /** @internal Of a message that comes in parts. */
  part: Part | undefined = undefined;

  /** The message: a view of the ring, or of a copy, made once, where the ring began anew in the midst of it. */
  get bytes(): Uint8Array {
    const { length } = this;
    if (this.first !== length) {
      const copy = this.carrier.home.pool.lend(length);
      this.copy(copy);
      this.memory = copy;
      this.at = 0;
      this.first = length;
    }
    return this.memory.subarray(this.at, this.at + length);
  }

  /** Copies as much of the message as fits to `into`. Returns how many bytes. */
  copy(into: Uint8Array): number {
    const n = Math.min(this.length, into.length);
    const first = Math.min(n, this.first);
    into.set(this.memory.subarray(this.at, this.at + first));
    if (n > first) into.set(this.memory.subarray(this.again, this.again + n - first), first);
    return n;
  }

  /** The message in memory of its own. */
  take(): Buffer {
    if (this.part !== undefined) return this.part.take();
    if (this.first === this.length) return copyOf(this.memory, this.at, this.length);
    const chunk = Buffer.allocUnsafeSlow(this.length);
    this.copy(chunk);
    return chunk;
  }

  /** The same of what is behind the first `from` bytes. */
  rest(from: number): Uint8Array {
    return from === 0 && this.part === undefined ? this.take() : this.part!.bytes.slice(from, this.length);
  }

  /** Who called. */
  get from(): { address: string; port: number } {
    return this.carrier.remote(this);
  }

  /** Answers a request. False: there was no room, or nobody waits any more (`cancelled` tells of requests that were kept). */
  reply(bytes: Uint8Array): boolean {
    return this.carrier.reply(this, FrameKind.RESPONSE, bytes, false);
  }

  /** Answers a request with an error: the caller gets ERR_RPC_REMOTE with its message and code. */
  refuse(error: unknown): boolean {
    return this.carrier.reply(this, FrameKind.ERROR, errorBody(error), true);
  }

  /** Keeps a request to be answered after the next poll. @param tag for the event that says that it was cancelled */
  keep(tag?: unknown): KeptRequest {
    const kept = new KeptRequest(this.carrier, this.link, this.call, this.turn, tag);
    this.carrier.keep(kept);
    return kept;
  }

  /** The error of a failed call. */
  get error(): RpcError {
    if (this.code === 'ERR_RPC_REMOTE') return remoteError(this.bytes);
    return new RpcError(this.code ?? 'ERR_RPC_CARRIER', this.reason);
  }
}

/** A request that is answered later. */
export class KeptRequest implements Asked {
  /** Answered, or cancelled: nothing can be said any more. */
  over = false;
  /** Somebody works on it: it counts as unanswered until `letGo`, whatever became of it. */
  held = false;
  /** @internal It is over, and counts still. */
  letsGo: (() => void) | undefined = undefined;

  constructor(
    /** @internal */
    readonly carrier: Carrier,
    /** @internal */
    readonly link: unknown,
    /** @internal */
    readonly call: number,
    /** @internal */
    readonly turn: number,
    readonly tag: unknown,
  ) {}

  get from(): { address: string; port: number } {
    return this.carrier.remote(this);
  }

  /** As RpcEvent.reply. */
  reply(bytes: Uint8Array): boolean {
    return !this.over && (this.over = this.carrier.reply(this, FrameKind.RESPONSE, bytes, false));
  }

  /** It counts as unanswered until `letGo`, also when nobody waits for the answer any more. */
  hold(): this {
    this.held = true;
    return this;
  }

  /** Nobody works on it any more. */
  letGo(): void {
    this.held = false;
    const { letsGo } = this;
    this.letsGo = undefined;
    letsGo?.();
  }

  /** As RpcEvent.refuse. */
  refuse(error: unknown): boolean {
    return !this.over && (this.over = this.carrier.reply(this, FrameKind.ERROR, errorBody(error), true));
  }
}

/** What a poll fills: the objects stay, and are used again. */
export class Events {
  list: RpcEvent[] = [];
  n = 0;
  most = 0;

  get full(): boolean {
    return this.n >= this.most;
  }

  next(): RpcEvent {
    const event = (this.list[this.n++] ??= new RpcEvent());
    event.reason = '';
    return event;
  }
}
