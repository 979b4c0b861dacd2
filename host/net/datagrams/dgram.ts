/**
 * `stack.dgram`: what software that is given Node's `dgram` finds there, on the stack instead of the kernel.
 *
 *   const { createSocket } = stack.dgram;      the function needs no `this`
 */
import type { Datagrams } from '../burst/datagrams.js';
import type { SocketLoop } from '../sockets/loop.js';
import type { OnMessage } from './inbox.js';
import type { SocketOptions, SocketType } from './options.js';
import { Socket } from './socket.js';

/** What the sockets of one stack share. */
export interface DgramHome {
  readonly loop: SocketLoop;
  readonly datagrams: Datagrams;
  /** Sockets that are open, bound or not. */
  readonly open: Set<Socket>;
}

export class StackDgram {
  readonly #home: DgramHome;
  /** Sockets of this stack: `new stack.dgram.Socket('udp4')`. */
  readonly Socket: new (
    type: SocketType | SocketOptions,
    onMessage?: OnMessage,
  ) => Socket;

  /** @internal Made by Stack. */
  constructor(loop: SocketLoop, datagrams: Datagrams) {
    const home: DgramHome = { loop, datagrams, open: new Set() };
    this.#home = home;
    this.Socket = class extends Socket {
      constructor(type: SocketType | SocketOptions, onMessage?: OnMessage) {
        super(home, type, onMessage);
      }
    };
    loop.onClose = () => this.close();
    datagrams.hearer = (inner, bits) => (inner.data as Socket).heard(bits);
  }

  /** A socket, which `bind`, `connect` or `send` start. @throws TypeError ERR_SOCKET_BAD_TYPE, ERR_INVALID_ARG_TYPE */
  readonly createSocket = (type: SocketType | SocketOptions, onMessage?: OnMessage): Socket =>
    new Socket(this.#home, type, onMessage);

  /** Sockets that are not closed. */
  get sockets(): IterableIterator<Socket> {
    return this.#home.open.values();
  }

  /** @internal The stack closes: so do they. */
  close(): void {
    for (const socket of [...this.#home.open]) socket.abandon();
  }
}
