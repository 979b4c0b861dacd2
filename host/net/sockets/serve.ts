/**
 * Servers that are made of `net`'s — HTTP's, TLS's — at a stack: they take its sockets as they take the kernel's.
 *
 *   web.close, address, listening, ref … ─▶ net.Server ─ _handle ─▶ ServedHandle ─▶ UnderServer ─▶ listener of the stack
 *                                               ▲ _connections: its sockets keep `close` waiting │
 *                                               └────────────────── connection, listening ──────┘
 */
import { Server as NetServer } from 'node:net';
import { Server as SecureServer } from 'node:tls';
import type { SocketAddress } from './address.js';
import { typeError } from './errors.js';
import type { SocketLoop } from './loop.js';
import { nameEnds } from './secure.js';
import { Server } from './server.js';
import type { Socket } from './socket.js';

/** A server of `http`, `https`, `http2`, `tls` or `net`. */
export type Served = NetServer;

/** What a server of `net`, any since Node 0.10, has its socket by, and counts its connections in. */
interface Inner {
  allowHalfOpen: boolean;
  _handle: Handle | null;
  _connections: number;
  _unref?: boolean;
  _emitCloseIfDrained(): void;
}

interface Handle {
  close(): void;
  /** Fills in. What is not 0 is an error. */
  getsockname(into: Partial<SocketAddress>): number;
  ref(): void;
  unref(): void;
}

/** A listener of a stack as the handle of `net`'s server, before the one that it has already: it may listen at several. */
class ServedHandle implements Handle {
  constructor(
    readonly under: UnderServer,
    readonly before: Handle | null,
  ) {}

  close(): void {
    this.under.shut();
    this.before?.close();
  }

  getsockname(into: Partial<SocketAddress>): number {
    if (this.before) return this.before.getsockname(into);
    Object.assign(into, this.under.address());
    return 0;
  }

  ref(): void {
    this.under.ref();
    this.before?.ref();
  }

  unref(): void {
    this.under.unref();
    this.before?.unref();
  }
}

/**
 * `net`'s server under another one, which hears of connections, and that it listens: HTTP's looks after its timeouts and
 * idle connections from then on. Closing either closes the other, and each says so when the last connection is gone.
 */
export class UnderServer extends Server {
  readonly #served: Served & Inner;
  /** It is to close when the other does. */
  #bound = false;

  /** @internal Made by StackNet. @throws TypeError ERR_INVALID_ARG_TYPE */
  constructor(loop: SocketLoop, served: Served) {
    if (!(served instanceof NetServer)) throw typeError('server', 'an instance of net.Server', served);
    // HTTP's is, and over TLS: an answer may follow the end of what asked for it. It does not wait for more.
    super(
      loop,
      {
        allowHalfOpen: (served as Served & Inner).allowHalfOpen || served instanceof SecureServer,
        noDelay: true,
      },
      socket => this.#came(socket),
    );
    this.#served = served as Served & Inner;
    Object.defineProperty(this, 'maxConnections', {
      get: () => served.maxConnections,
      set: (n: number) => {
        served.maxConnections = n;
      },
    });
    // Before whoever asks the socket who it is.
    if (served instanceof SecureServer)
      served.prependListener('secureConnection', secure => nameEnds(secure));
    this.on('drop', data => served.emit('drop', data));
    this.on('listening', () => served.emit('listening'));
    this.on('error', error => {
      if (this.listenerCount('error') === 1) served.emit('error', error);
    });
  }

  override listen(...args: unknown[]): this {
    super.listen(...args);
    // Closed before it listens — while a name is looked up, or another thread asked — the other has no handle of it.
    if (!this.#bound) this.#served.once('close', this.#closed);
    this.#bound = true;
    return this;
  }

  readonly #closed = (): void => void this.shut();

  protected override began(): void {
    const served = this.#served;
    served._handle = new ServedHandle(this, served._handle);
    if (served._unref) this.unref();
  }

  #came(socket: Socket): void {
    this.#served._connections++;
    this.#served.emit('connection', socket as never);
  }

  override left(): void {
    super.left();
    this.#served._connections--;
    this.#served._emitCloseIfDrained();
  }

  /** @internal The other is closed. Whether this one was not. */
  shut(callback?: (error?: Error) => void): boolean {
    if (!this.#bound) return false;
    this.#bound = false;
    this.#served.off('close', this.#closed);
    super.close(callback);
    return true;
  }

  override close(callback?: (error?: Error) => void): this {
    if (this.shut(callback)) this.#served.close();
    else super.close(callback);
    return this;
  }
}
