/**
 * The burst level: a service on connections of the burst API, told of in batches. The same class serves in the main thread,
 * in a thread of its own (StackApp), and inside a lane (in_lane.ts).
 *
 *   poll ─▶ news(events, n): read what came ─▶ Session.take ─▶ write what it answered, once a visit
 */
import type { Connection } from '../net/burst/connection.js';
import type { StackEvent } from '../net/burst/sockets.js';
import { type Late, type Limits, NO_LIMITS, Patience, type Watched } from './patience.js';
import { Answers, type Service, type Session } from './service.js';

/** Most bytes taken from a connection at a time. */
const TAKE_BYTES = 64 << 10;

/** What is known of one connection: its `data`. */
class Served<O> implements Watched {
  moved = 0;
  /** Answers that did not go into the send ring. */
  unsent: Uint8Array | undefined;
  /** What the session did not take, for want of room for answers. */
  left: Uint8Array | undefined;
  /** Nothing more is to be taken. */
  late = false;
  /** FIN was asked for: what comes is read and forgotten. */
  over = false;

  constructor(
    readonly connection: Connection<O>,
    readonly session: Session,
  ) {}

  get waits(): boolean {
    return this.unsent !== undefined;
  }

  /** Whether it is to be ended. */
  get ends(): boolean {
    return this.late || this.session.ended;
  }
}

export class BurstServer<O extends object = object> {
  readonly #out = new Answers();
  readonly #into = Buffer.allocUnsafeSlow(TAKE_BYTES);
  readonly #patience: Patience<Served<O>>;

  constructor(
    readonly service: Service,
    limits: Limits = NO_LIMITS,
  ) {
    this.#patience = new Patience(limits, (served, why) => this.#late(served, why));
  }

  /** Connections that there are. */
  get connections(): number {
    return this.#patience.size;
  }

  /** What happened to its connections: the first `n` of `events`. Others' connections it leaves alone. */
  readonly news = (events: readonly StackEvent<O>[], n: number): void => {
    for (let i = 0; i < n; i++) {
      const { connection, accepted, closed } = events[i];
      if (accepted && !this.#accept(connection)) continue;
      const served = connection.data as Served<O> | undefined;
      if (served === undefined) continue;
      served.moved++;
      this.#serve(connection, served);
      if (closed || (connection.ended && this.#isDone(connection, served))) this.#close(connection);
    }
  };

  /** To be called some times a second: peers that are too late are done with. */
  readonly tick = (nowMs: number): void => this.#patience.look(nowMs);

  #accept(connection: Connection<O>): boolean {
    if (this.#patience.full) {
      connection.abort();
      return false;
    }
    const served = new Served(connection, this.service.open());
    connection.data = served;
    this.#patience.watch(served);
    return true;
  }

  #late(served: Served<O>, why: Late): void {
    const { connection, session } = served;
    if (why === 'stall' || why === 'linger') return this.#close(connection, true);
    const out = this.#out;
    out.clear();
    session.late?.(out);
    served.late = true;
    served.left = undefined;
    if (out.length > 0) this.#send(connection, served, out.view());
    this.#serve(connection, served);
    if (connection.ended && this.#isDone(connection, served)) this.#close(connection);
  }

  #isDone(connection: Connection<O>, served: Served<O>): boolean {
    return served.unsent === undefined && served.left === undefined && connection.readable === 0;
  }

  #close(connection: Connection<O>, reset = false): void {
    this.#patience.forget(connection.data as Served<O>);
    connection.data = undefined;
    if (reset) connection.abort();
    else connection.close();
  }

  #serve(connection: Connection<O>, served: Served<O>): void {
    const { session } = served;
    const out = this.#out;
    for (;;) {
      if (served.unsent !== undefined && !this.#send(connection, served, served.unsent)) return;
      if (served.ends && !served.over) {
        served.over = true;
        connection.shutdown();
      }
      const bytes = served.left ?? this.#into;
      const n = served.left?.length ?? connection.read(this.#into);
      if (n === 0) return;
      served.left = undefined;
      if (served.over) continue;
      out.clear();
      const taken = session.take(bytes, n, out);
      if (taken < n && !session.ended) served.left = Uint8Array.prototype.slice.call(bytes, taken, n);
      if (out.length > 0) this.#send(connection, served, out.view());
    }
  }

  /** Whether all of it went into the send ring. Of room for the rest an event tells. */
  #send(connection: Connection<O>, served: Served<O>, bytes: Uint8Array): boolean {
    const sent = connection.write(bytes);
    if (sent === bytes.length) {
      served.unsent = undefined;
      return true;
    }
    // The answers' memory is the next connection's; what waited already is its own.
    served.unsent =
      bytes === served.unsent ? bytes.subarray(sent) : Uint8Array.prototype.slice.call(bytes, sent);
    return false;
  }
}
