/**
 * The Duplex level: a service on sockets like Node's. Works on `stack` as on Node's own `net`, which is what the other levels
 * are compared with.
 */
import type { Duplex } from 'node:stream';
import { Answers, type Service, type Session } from './service.js';

/** What it needs of `net`: `stack.net` and `node:net` have it. */
export interface NetLike<S extends Duplex = Duplex> {
  createServer(
    options: { allowHalfOpen?: boolean; noDelay?: boolean },
    onConnection: (socket: S) => void,
  ): unknown;
}

const NOTHING = new Uint8Array(0);

/** Carries one session over one socket, which must be half-open: an answer may follow the peer's end. */
class Carrier {
  #left: Uint8Array = NOTHING;
  #peerEnded = false;
  #over = false;

  constructor(
    readonly socket: Duplex,
    readonly session: Session,
    readonly out: Answers,
  ) {
    socket.on('data', chunk => this.#take(chunk));
    socket.on('drain', () => this.#goOn());
    socket.on('end', () => {
      this.#peerEnded = true;
      this.#end();
    });
    // That a peer went away is the end of its session, not an error of the service.
    socket.on('error', () => socket.destroy());
  }

  #take(chunk: Uint8Array): void {
    if (this.#over) return;
    const { session, out, socket } = this;
    out.clear();
    const taken = session.take(chunk, chunk.length, out);
    this.#left = session.ended ? NOTHING : chunk.subarray(taken);
    // A socket may keep what it is given.
    const room = out.length === 0 || socket.write(Buffer.from(out.view()));
    this.#end();
    if (!room) socket.pause();
    else if (this.#left.length) this.#take(this.#left);
  }

  #goOn(): void {
    const left = this.#left;
    this.#left = NOTHING;
    if (left.length) this.#take(left);
    if (!this.socket.writableNeedDrain) this.socket.resume();
  }

  /** Ends what has been answered; what still comes is read and forgotten. */
  #end(): void {
    if (this.#over || !(this.session.ended || (this.#peerEnded && this.#left.length === 0))) return;
    this.#over = true;
    this.socket.end();
  }
}

/** A server, not listening yet, whose connections are sessions of `service`. */
export function duplexServer<N extends NetLike>(net: N, service: Service): ReturnType<N['createServer']> {
  const out = new Answers();
  return net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    new Carrier(socket, service.open(), out);
  }) as ReturnType<N['createServer']>;
}
