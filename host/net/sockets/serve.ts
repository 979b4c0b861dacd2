/** Servers that are made of `net`'s — HTTP's, TLS's — at a stack: they take its sockets as they take the kernel's. */
import type { EventEmitter } from 'node:events';
import type { SocketLoop } from './loop.js';
import { Server } from './server.js';

/** A server of `http`, `https`, `http2`, `tls` or `net`. */
export interface Served extends EventEmitter {
  close(): unknown;
}

/**
 * `net`'s server under another one, which hears of connections, and that it listens: HTTP's looks after its timeouts and
 * idle connections from then on. Closing either closes the other.
 */
export class UnderServer extends Server {
  readonly #served: Served;

  /** @internal Made by StackNet. */
  constructor(loop: SocketLoop, served: Served) {
    // As HTTP's own is: an answer may follow the end of what asked for it, and does not wait for more.
    super(loop, { allowHalfOpen: true, noDelay: true }, socket => served.emit('connection', socket));
    this.#served = served;
    this.on('listening', () => served.emit('listening'));
    this.on('error', error => {
      if (this.listenerCount('error') === 1) served.emit('error', error);
    });
    served.once('close', () => this.listening && super.close());
  }

  override close(callback?: (error?: Error) => void): this {
    if (this.listening) this.#served.close();
    return super.close(callback);
  }
}
