/**
 * The sockets of one application, in the thread that is it: its connections and listeners, and what happened to them in
 * batches. Who connects and listens for it is another's affair: Stack in the engine's thread, StackApp in any other.
 *
 *   StreamApp.take ─▶ event bits of streams ─▶ poll(events): connections, readable, writable, accepted …
 */
import { EtherloomError } from '../../errors.js';
import { StreamEvent, StreamRequest } from '../../layout/layout.gen.js';
import type { StreamApp } from '../../streams/stream_app.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import type { Endpoint, ListenPlace, TransportView } from '../../transports/contract.js';
import { Connection, type ConnectionHome } from './connection.js';
import { Listener } from './listener.js';

/** News of one connection. What is true happened since its last event: readiness is told once, when it begins. */
export interface StackEvent<O = object> {
  connection: Connection<O>;
  /** It is new: it came to `connection.listener`. */
  accepted: boolean;
  /** The handshake of one that was made by `connect` is through. */
  connected: boolean;
  /** Bytes came. */
  readable: boolean;
  /** There is room: after the handshake, or after a write that did not take all. Not after `shutdown`. */
  writable: boolean;
  /** The peer has ended its direction, without an error. */
  ended: boolean;
  /** It is over both ways. What came can still be read; close() gives its memory back. */
  closed: boolean;
  /** The peer marked something as urgent. */
  urgent: boolean;
  /** Why it is closed, as Linux names it. */
  error: string | undefined;
}

/** Bits that an event always shows. */
const TOLD = StreamEvent.IN | StreamEvent.CONNECTED | StreamEvent.URG;

/** How an application's thread lets time pass. */
export interface Rest {
  /** What must be done before news can have come: nothing where lanes are threads. */
  step(): void;
  /** True when there is news, false after `ms`. */
  wait(app: StreamApp, ms: number | undefined): Promise<boolean>;
  waitSync(app: StreamApp, ms: number | undefined): boolean;
}

/** Lanes are threads of their own. */
export const restOfThreads: Rest = {
  step() {},
  wait: (app, ms) => app.wait(ms),
  waitSync: (app, ms) => app.waitSync(ms),
};

export class Sockets<O> implements ConnectionHome<O> {
  readonly #connections = new Map<number, Connection<O>>();
  /** Closed, with bytes that wait for their ring. */
  readonly #leaving = new Map<number, Connection<O>>();
  /** By slot. */
  readonly #listeners = new Map<number, Listener>();
  /** Sockets of datagrams of the same application. */
  datagrams: { heard(end: StreamEnd, bits: number): boolean } | undefined;
  /** What `poll` fills, and how far. */
  #into: StackEvent<O>[] = [];
  #filled = 0;
  /** How many it filled the last time. */
  #before = 0;

  constructor(
    readonly app: StreamApp,
    readonly view: TransportView<O>,
    readonly rest: Rest,
    /** Tells who listens for the application that it wants no more. */
    readonly unlisten: (slot: number) => void,
  ) {}

  get number(): number {
    return this.app.number;
  }

  get connections(): IterableIterator<Connection<O>> {
    return this.#connections.values();
  }

  get listeners(): IterableIterator<Listener> {
    return this.#listeners.values();
  }

  /** Connections that are not closed. */
  get size(): number {
    return this.#connections.size;
  }

  /** A listener that was made for this application. */
  listening(place: ListenPlace): Listener {
    const listener = new Listener(
      place,
      slot => this.view.waiting(slot),
      l => {
        this.#listeners.delete(l.place.slot);
        this.unlisten(l.place.slot);
      },
    );
    this.#listeners.set(place.slot, listener);
    return listener;
  }

  /** A connection that is to be: stream `id` was made for it, and is asked to connect now. */
  connecting(id: number, made: { local: Endpoint; remote: Endpoint }, data: unknown): Connection<O> {
    const connection = new Connection<O>(this, this.app.end(id), undefined, made);
    connection.data = data;
    this.#connections.set(id, connection);
    connection.end.request(StreamRequest.CONNECT);
    return connection;
  }

  gone(connection: Connection<O>, later: boolean): void {
    if (this.#connections.get(connection.id) === connection) this.#connections.delete(connection.id);
    if (later) this.#leaving.set(connection.id, connection);
  }

  /** News of a connection that was closed before what it took was in a ring. */
  #leave(connection: Connection<O>, bits: number): void {
    if (bits & StreamEvent.OUT) connection.nowRoom();
    if (!connection.settled) {
      if (!this.#isOver(connection.id, bits)) return;
      connection.nowGone();
    }
    this.#leaving.delete(connection.id);
  }

  #isOver(id: number, bits: number): boolean {
    return (bits & StreamEvent.FREED) !== 0 || ((bits & StreamEvent.HUP) !== 0 && this.view.over(id));
  }

  /** Publishes what was written and asked. `poll` and `wait` do so, too. */
  flush(): void {
    this.app.flush();
  }

  /**
   * Takes news of at most `max` connections into `events`, whose objects are used again, and returns how many. Those
   * beyond have no `connection` any more. Inline engines make a step first.
   */
  poll(events: StackEvent<O>[], max = Number.MAX_SAFE_INTEGER): number {
    this.app.flush();
    this.rest.step();
    return this.take(events, max);
  }

  /** The same without a step: of an inline engine that somebody else steps. */
  take(events: StackEvent<O>[], max = Number.MAX_SAFE_INTEGER): number {
    // Before an event is taken that would be told to nobody.
    if (!Array.isArray(events))
      throw new EtherloomError('ERR_STACK_OPTIONS', `poll: ${String(events)}`, {
        expected: 'an array, which is filled',
      });
    if (this.#into !== events) this.#before = 0;
    this.#into = events;
    this.#filled = 0;
    // Streams with news that is none to the application are not the end of it.
    while (this.app.take(this.#heard, max) > 0 && this.#filled === 0);
    this.#forget();
    return this.#filled;
  }

  /** Objects of an earlier poll that are not used now let go of their connections: they may be closed for long. */
  #forget(): void {
    const into = this.#into as { connection: Connection<O> | undefined }[];
    // The array is the caller's.
    for (let i = Math.min(this.#before, into.length) - 1; i >= this.#filled; i--)
      into[i].connection = undefined;
    this.#before = this.#filled;
  }

  readonly #heard = (end: StreamEnd, bits: number): void => {
    if (end.hearer !== undefined) {
      end.hearer.heard(bits);
      return;
    }
    const leaving = this.#leaving.get(end.id);
    if (leaving?.end === end) {
      this.#leave(leaving, bits);
      return;
    }
    let connection = this.#connections.get(end.id);
    const accepted = connection?.end !== end;
    if (accepted) {
      if (this.datagrams?.heard(end, bits)) return;
      connection = this.#accept(end);
      if (!connection) return;
    }
    const c = connection!;
    const over = this.#isOver(end.id, bits);
    const room = (bits & StreamEvent.OUT) !== 0 && c.nowRoom();
    const connected = (bits & StreamEvent.CONNECTED) !== 0;
    if (connected) c.nowConnected();
    const wasEnded = c.ended;
    const wasClosed = c.closed;
    if (over) c.nowOver(this.view.error(end.id));
    else if (bits & StreamEvent.HUP) c.nowEnded();
    const closed = over && !wasClosed;
    // One that failed did not end as the peer wished.
    const ended = !wasEnded && c.ended && !(closed && c.error !== undefined);
    // That the transport has freed a stream whose end was told is no news.
    if ((bits & TOLD) === 0 && !room && !accepted && !ended && !closed) return;
    const e = (this.#into[this.#filled++] ??= {} as StackEvent<O>);
    e.connection = c;
    e.accepted = accepted;
    e.connected = connected;
    e.readable = (bits & StreamEvent.IN) !== 0;
    e.writable = c.writable && (accepted || connected || room);
    e.ended = ended;
    e.closed = closed;
    e.urgent = (bits & StreamEvent.URG) !== 0;
    e.error = closed ? c.error : undefined;
  };

  /** A stream that a listener of this application made. One whose listener is closed is not wanted any more. */
  #accept(end: StreamEnd): Connection<O> | undefined {
    const slot = this.view.listener(end.id);
    if (slot >= 0) this.view.took(slot);
    const listener = this.#listeners.get(slot);
    if (!listener || this.view.local(end.id).port !== listener.port) {
      end.request(StreamRequest.ABORT);
      end.release();
      return undefined;
    }
    const connection = new Connection<O>(this, end, listener);
    this.#connections.set(end.id, connection);
    return connection;
  }

  /** Whether closed connections wait for rings for what they had taken. */
  get isLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** Takes news of those only; what else is told is lost. */
  lead(): void {
    this.app.flush();
    this.app.take((end, bits) => {
      const leaving = this.#leaving.get(end.id);
      if (leaving?.end === end) this.#leave(leaving, bits);
    });
  }

  /** Waits until none does, at most `ms`: lanes have it from there. */
  async left(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.isLeaving && !this.app.ended && performance.now() < until) {
      await this.rest.wait(this.app, until - performance.now());
      this.lead();
    }
  }

  /** Resolves when there is news, or after `ms`: true or false. Does not keep the process alive by itself. */
  wait(ms?: number): Promise<boolean> {
    this.app.flush();
    return this.rest.wait(this.app, sleepOf(ms));
  }

  /** The same for a thread that may stand still. */
  waitSync(ms?: number): boolean {
    this.app.flush();
    return this.rest.waitSync(this.app, sleepOf(ms));
  }

  /** Aborts every connection and closes every listener; `closed`: those, too, that are closed and wait for a ring. */
  abandon(closed = true): void {
    for (const listener of [...this.#listeners.values()]) listener.close();
    for (const connection of [...this.#connections.values()]) connection.abort();
    if (closed) {
      for (const connection of this.#leaving.values()) connection.nowGone(StreamRequest.ABORT);
      this.#leaving.clear();
    }
    this.app.flush();
  }
}

/** For ever is undefined. @throws EtherloomError ERR_STACK_OPTIONS */
function sleepOf(ms: number | undefined): number | undefined {
  if (ms === undefined || ms === Number.POSITIVE_INFINITY) return undefined;
  if (typeof ms === 'number' && ms >= 0) return ms;
  throw new EtherloomError('ERR_STACK_OPTIONS', `wait: ${String(ms)}`, { expected: 'ms from 0 on' });
}
