/**
 * The burst level: a service on connections of the burst API, told of in batches. The same class serves in the main thread,
 * in a thread of its own (StackApp), and inside a lane (in_lane.ts).
 *
 *   poll ─▶ news(events, n): read what came ─▶ Session.take ─▶ write what it answered, once a visit
 */
import type { Connection } from '../net/burst/connection.js';
import type { StackEvent } from '../net/burst/sockets.js';
import { Answers, type Service, type Session } from './service.js';

/** Most bytes taken from a connection at a time. */
const TAKE_BYTES = 64 << 10;

/** What is known of one connection: its `data`. */
interface Served {
  session: Session;
  /** Answers that did not go into the send ring. */
  unsent: Uint8Array | undefined;
  /** What the session did not take, for want of room for answers. */
  left: Uint8Array | undefined;
  /** FIN was asked for: what comes is read and forgotten. */
  over: boolean;
}

export class BurstServer<O extends object = object> {
  readonly #out = new Answers();
  readonly #into = Buffer.allocUnsafeSlow(TAKE_BYTES);
  /** Connections that there are. */
  connections = 0;

  constructor(readonly service: Service) {}

  /** What happened to its connections: the first `n` of `events`. Others' connections it leaves alone. */
  readonly news = (events: readonly StackEvent<O>[], n: number): void => {
    for (let i = 0; i < n; i++) {
      const { connection, accepted, closed } = events[i];
      if (accepted) {
        connection.data = { session: this.service.open(), unsent: undefined, left: undefined, over: false };
        this.connections++;
      }
      const served = connection.data as Served | undefined;
      if (served === undefined) continue;
      this.#serve(connection, served);
      if (closed || (connection.ended && this.#isDone(connection, served))) this.#close(connection);
    }
  };

  #isDone(connection: Connection<O>, served: Served): boolean {
    return served.unsent === undefined && served.left === undefined && connection.readable === 0;
  }

  #close(connection: Connection<O>): void {
    connection.data = undefined;
    connection.close();
    this.connections--;
  }

  #serve(connection: Connection<O>, served: Served): void {
    const { session } = served;
    const out = this.#out;
    for (;;) {
      if (served.unsent !== undefined && !this.#send(connection, served, served.unsent)) return;
      if (session.ended && !served.over) {
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
  #send(connection: Connection<O>, served: Served, bytes: Uint8Array): boolean {
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
