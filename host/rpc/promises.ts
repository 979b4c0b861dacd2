/** An endpoint whose calls are promises and whose requests go to handlers: polled in the event loop. */
import { type Driven, type Turns, turnsOf } from '../engine/turns.js';
import { endSource, feed, gathered, type Pieces, RpcBody, type Streamed } from './body.js';
import type { Endpoint } from './endpoint.js';
import { RpcError } from './errors.js';
import type { RpcEvent } from './event.js';
import { Handling } from './handling.js';
import type { Outgoing } from './outgoing.js';
import type { Part } from './parts.js';
import type { RpcPeer } from './peer.js';
import type { Entered } from './place.js';
import type { Request } from './request.js';
import type { RpcServer } from './server.js';
import { leaveSettled } from './settling.js';

/** Events told of before what they gave others to do is done. */
const BATCH = 64;

interface Wish {
  signal?: AbortSignal;
  stream?: boolean;
}

/** A call that somebody waits for: the tag of its events. */
class Pending {
  /** 0: it has not begun, for want of room or of its body. */
  number = 0;
  /** What is asked; undefined while it is gathered. */
  request: Uint8Array | Outgoing | undefined;
  body: RpcBody | undefined;
  /** The message that is read while it comes: no other one is the answer, whatever its server sends. */
  part: Part | undefined;
  /** A streamed request, which is fed. */
  out: Outgoing | undefined;
  /** What its request is gathered from. */
  source: Pieces | Streamed | undefined;
  onAbort: (() => void) | undefined;
  done = false;

  constructor(
    readonly peer: RpcPeer,
    readonly wish: Wish,
    /** When it is late, ms of the endpoint's clock. */
    readonly lateMs: number,
    readonly resolve: (response: never) => void,
    readonly reject: (error: Error) => void,
  ) {}
}

export class PromiseCalls implements Driven {
  readonly endpoint: Endpoint;
  readonly #turns: Turns;
  readonly #events: RpcEvent[] = [];
  /** Calls that found no room, by whom they are for: whoever takes nothing holds up calls to itself alone. */
  readonly #waiting = new Map<RpcPeer, Set<Pending>>();
  /** When the first that has not begun is late; not later than that. */
  #lateMs = Number.POSITIVE_INFINITY;
  readonly #pending = new Set<Pending>();
  readonly #servers = new Set<RpcServer>();
  readonly #handling = new Handling(() => this.#touch());
  #driven = false;
  #held = false;
  #flushing = false;
  #closed = false;

  constructor(readonly entered: Entered) {
    this.endpoint = entered.endpoint;
    this.#turns = turnsOf(entered.virtual?.key, entered.virtual?.time);
  }

  // ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Something was asked: it leaves at the end of the microtasks, and news is looked for. */
  #touch(): void {
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(this.#flush);
    }
    if (this.#driven) this.#turns.wake();
    else {
      this.#driven = true;
      this.#turns.add(this);
    }
    this.#hold();
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    this.endpoint.flush();
  };

  #hold(): void {
    const wanted = this.#pending.size > 0 || this.#servers.size > 0;
    if (wanted !== this.#held) this.entered.hold(wanted);
    this.#held = wanted;
  }

  turn(): number | undefined {
    if (this.#closed) return undefined;
    const events = this.#events;
    let n: number;
    try {
      this.entered.open();
      if (this.#lateMs <= this.nowMs) this.#late(this.nowMs);
      if (this.#waiting.size > 0) this.#retry();
      n = this.endpoint.poll(events, BATCH);
    } catch (error) {
      this.#end(error as Error);
      return undefined;
    }
    // Numbers of calls that are over may be others' as soon as somebody is told, and calls.
    for (let i = 0; i < n; i++) {
      const { kind, tag } = events[i];
      if (kind === 'response' || kind === 'failed') (tag as Pending).number = 0;
    }
    // What a handler closed gives the bytes of the others back.
    for (let i = 0; i < n && !this.#closed; i++) this.#tell(events[i]);
    if (this.#closed) return undefined;
    if (n > 0) {
      this.endpoint.flush();
      if (this.#pending.size === 0) this.#hold();
    }
    return n;
  }

  get waits(): boolean {
    return this.#pending.size > 0;
  }

  get nextMs(): number {
    return Math.min(this.endpoint.nextMs, this.#lateMs);
  }

  get nowMs(): number {
    return this.endpoint.nowMs();
  }

  wait(): Promise<unknown> {
    return this.endpoint.ready ? Promise.resolve() : this.entered.wait();
  }

  rouse(): void {
    this.entered.rouse();
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  call(peer: RpcPeer, body: Uint8Array, deadline: number | undefined, wish: Wish): Promise<never> {
    return this.#make(peer, deadline, wish, pending => this.#begin(pending, body));
  }

  /** The same, of a body that is made meanwhile: deadline and signal are those of its making, too. */
  callGathered(
    peer: RpcPeer,
    body: Pieces | Streamed,
    deadline: number | undefined,
    wish: Wish,
  ): Promise<never> {
    return this.#make(peer, deadline, wish, pending => {
      if (pending.done) return endSource(body);
      pending.source = body;
      gathered(body, () => pending.done).then(
        bytes => {
          pending.source = undefined;
          if (!pending.done) this.#begin(pending, bytes);
        },
        error => this.#giveUp(pending, error),
      );
      this.#lateMs = Math.min(this.#lateMs, pending.lateMs);
      this.#touch();
    });
  }

  callStreamed(
    peer: RpcPeer,
    body: Streamed,
    out: Outgoing,
    deadline: number | undefined,
    wish: Wish,
  ): Promise<never> {
    return this.#make(peer, deadline, wish, pending => {
      pending.out = out;
      if (pending.done) out.drop();
      this.#begin(pending, out);
      // Also of a call that is over already: the source is ended.
      feed(body, out, () => {
        if (pending.number > 0 && !pending.done) this.endpoint.goOn(pending.number);
        this.#touch();
      }).catch(error => this.#giveUp(pending, error));
    });
  }

  /** A call that is to begin, unless its signal was aborted before. */
  #make(
    peer: RpcPeer,
    deadline: number | undefined,
    wish: Wish,
    begin: (pending: Pending) => void,
  ): Promise<never> {
    return new Promise((resolve, reject) => {
      const lateMs = deadline === undefined ? Number.POSITIVE_INFINITY : this.nowMs + deadline;
      const pending = new Pending(peer, wish, lateMs, resolve, reject);
      const { signal } = wish;
      if (this.#closed) this.#over(pending, new RpcError('ERR_RPC_CLOSED', 'the RPC was closed'));
      else if (signal?.aborted) this.#over(pending, aborted(signal));
      else {
        if (signal !== undefined) {
          pending.onAbort = () => this.#giveUp(pending, aborted(signal));
          signal.addEventListener('abort', pending.onAbort, { once: true });
        }
        this.#pending.add(pending);
      }
      begin(pending);
    });
  }

  /** Begins a call whose body is there; one that finds no room waits behind those to the same peer. */
  #begin(pending: Pending, body: Uint8Array | Outgoing): void {
    if (pending.done) return;
    const { peer, lateMs } = pending;
    pending.request = body;
    let queue = this.#waiting.get(peer);
    if (queue !== undefined || !this.#tryBegin(pending, this.nowMs)) {
      if (queue === undefined) {
        queue = new Set();
        this.#waiting.set(peer, queue);
      }
      queue.add(pending);
      this.#lateMs = Math.min(this.#lateMs, lateMs);
    }
    this.#touch();
  }

  /** False: there is no room. */
  #tryBegin(pending: Pending, nowMs: number): boolean {
    const { peer, request, lateMs } = pending;
    const left = lateMs === Number.POSITIVE_INFINITY ? undefined : lateMs - nowMs;
    try {
      pending.number = this.endpoint.begin(peer, request!, pending, left, true);
    } catch (error) {
      this.#giveUp(pending, error as Error);
      return true;
    }
    return pending.number !== 0;
  }

  /** Ends a call by its caller's will. */
  #giveUp(pending: Pending, error: Error): void {
    if (pending.done) return;
    if (pending.number > 0) this.endpoint.cancel(pending.number);
    this.#over(pending, error);
    this.#touch();
  }

  /** The promise is settled by whoever calls this, or rejects with `error`. */
  #over(pending: Pending, error?: Error): void {
    pending.done = true;
    this.#pending.delete(pending);
    // Nobody asks its source for more.
    pending.out?.drop();
    if (pending.source !== undefined) endSource(pending.source);
    if (pending.onAbort) pending.wish.signal!.removeEventListener('abort', pending.onAbort);
    if (pending.number === 0) this.#leave(pending);
    if (error === undefined) return;
    pending.body?.fail(error);
    pending.reject(error);
  }

  /** It waits for room no more. */
  #leave(pending: Pending): void {
    const queue = this.#waiting.get(pending.peer);
    if (queue?.delete(pending) && queue.size === 0) this.#waiting.delete(pending.peer);
  }

  /** Those that wait, while there is room. */
  #retry(): void {
    const { nowMs } = this;
    for (const [peer, queue] of this.#waiting) {
      const before = queue.size;
      for (const pending of queue) {
        if (!this.#tryBegin(pending, nowMs)) break;
        queue.delete(pending);
      }
      if (queue.size === before) continue;
      this.#waiting.delete(peer);
      // The next time others come first: carriers have room that is everybody's.
      if (queue.size > 0) this.#waiting.set(peer, queue);
    }
  }

  /** Ends calls that could not begin in time. */
  #late(nowMs: number): void {
    this.#lateMs = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending) {
      if (pending.number !== 0) continue;
      const why = pending.request === undefined ? 'the body was not whole' : 'no room';
      if (pending.lateMs <= nowMs)
        this.#giveUp(pending, new RpcError('ETIMEDOUT', `${why} before the deadline`));
      else this.#lateMs = Math.min(this.#lateMs, pending.lateMs);
    }
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

  #tell(event: RpcEvent): void {
    if (event.kind === 'request') this.#handling.serve(event);
    else if (event.kind === 'response') this.#answered(event, event.tag as Pending);
    else if (event.kind === 'failed') {
      const pending = event.tag as Pending;
      if (!pending.done) this.#over(pending, event.error);
    } else if (event.kind === 'part') this.#part(event, event.part!);
    else (event.tag as Request).cancel();
  }

  #answered(event: RpcEvent, pending: Pending): void {
    if (pending.done) return;
    if (pending.part !== undefined && pending.part !== event.part) return this.#over(pending, twice());
    this.#over(pending);
    if (pending.wish.stream !== true) return pending.resolve(event.take() as never);
    const body = (pending.body ??= new RpcBody(event.length));
    body.push(event.rest(body.received));
    pending.resolve(body as never);
  }

  #part(event: RpcEvent, part: Part): void {
    // Given up behind what this tells of, in the same batch: its memory may be another's.
    if (part.dropped) return;
    if (event.tag === undefined) return this.#handling.part(event, part);
    const pending = event.tag as Pending;
    if (pending.done || pending.wish.stream !== true) return;
    if ((pending.part ??= part) !== part) return this.#giveUp(pending, twice());
    pending.body ??= new RpcBody(event.length);
    pending.body.push(part.bytes.slice(pending.body.received, part.received));
    pending.resolve(pending.body as never);
  }

  // ── serving, and the end ──────────────────────────────────────────────────────────────────────────────────────

  async serve(server: RpcServer): Promise<void> {
    const { port = 0, address, carriers } = server.options;
    const wish = { port, data: server, ...(address === undefined ? {} : { address }) };
    const { close, ...place } = await this.endpoint.listen(wish, carriers);
    if (this.#closed) {
      close();
      throw new RpcError('ERR_RPC_CLOSED', 'the RPC was closed');
    }
    this.#servers.add(server);
    server.listening({
      ...place,
      close: () => {
        close();
        this.#servers.delete(server);
        this.#touch();
      },
    });
    this.#touch();
  }

  /** Whoever waits hears why. */
  #end(error: Error): void {
    this.#closed = true;
    for (const pending of [...this.#pending]) this.#over(pending, error);
    this.#servers.clear();
    this.#hold();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    for (const server of [...this.#servers]) server.close();
    this.endpoint.close();
    for (const request of this.endpoint.takeCancelled()) (request as Request).cancel();
    this.#end(new RpcError('ERR_RPC_CLOSED', 'the RPC was closed'));
    this.#turns.wake();
    await leaveSettled(this.entered);
  }
}

const twice = (): RpcError => new RpcError('EPROTO', 'the response began a second time');

const aborted = (signal: AbortSignal): RpcError =>
  new RpcError('ABORT_ERR', 'the call was aborted', { cause: signal.reason });
