/**
 * The Duplex level: a service on sockets like Node's. Works on `stack` as on Node's own `net`, which is what the other levels
 * are compared with.
 */
import type { Duplex } from 'node:stream';
import { type Late, type Limits, NO_LIMITS, Patience, type Watched } from './patience.js';
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
class Carrier implements Watched {
  #left: Uint8Array = NOTHING;
  #taken = 0;
  #late = false;
  #peerEnded = false;
  over = false;

  constructor(
    readonly socket: Duplex,
    readonly session: Session,
    readonly out: Answers,
  ) {
    socket.on('data', chunk => {
      this.#taken += chunk.length;
      this.#take(chunk);
    });
    socket.on('drain', () => this.#goOn());
    socket.on('end', () => {
      this.#peerEnded = true;
      this.#end();
    });
    // That a peer went away is the end of its session, not an error of the service.
    socket.on('error', () => socket.destroy());
  }

  get waits(): boolean {
    return this.socket.writableLength > 0;
  }

  get moved(): number {
    const { writableLength, bytesWritten = 0 } = this.socket as Duplex & { bytesWritten?: number };
    return this.#taken + bytesWritten - writableLength;
  }

  /** The peer was too late. */
  late(why: Late): void {
    if (why === 'stall' || why === 'linger') return reset(this.socket);
    this.out.clear();
    this.session.late?.(this.out);
    if (this.out.length > 0) this.socket.write(Buffer.from(this.out.view()));
    this.#late = true;
    this.#left = NOTHING;
    this.#end();
  }

  #take(chunk: Uint8Array): void {
    if (this.over) return;
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
    const done = this.#late || this.session.ended || (this.#peerEnded && this.#left.length === 0);
    if (this.over || !done) return;
    this.over = true;
    this.socket.end();
    // What still comes is to be read.
    this.socket.resume();
  }
}

function reset(socket: Duplex): void {
  const { resetAndDestroy } = socket as { resetAndDestroy?: () => void };
  if (resetAndDestroy) resetAndDestroy.call(socket);
  else socket.destroy();
}

/** A server, not listening yet, whose connections are sessions of `service`. */
export function duplexServer<N extends NetLike>(
  net: N,
  service: Service,
  limits: Limits = NO_LIMITS,
): ReturnType<N['createServer']> {
  const out = new Answers();
  const patience = new Patience<Carrier>(limits, (carrier, why) => carrier.late(why));
  const look = (): void => patience.look(performance.now());
  let timer: NodeJS.Timeout | undefined;
  return net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    if (patience.full) return reset(socket);
    const carrier = new Carrier(socket, service.open(), out);
    patience.watch(carrier);
    timer ??= setInterval(look, patience.stepMs).unref();
    socket.once('close', () => {
      patience.forget(carrier);
      if (patience.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
  }) as ReturnType<N['createServer']>;
}
