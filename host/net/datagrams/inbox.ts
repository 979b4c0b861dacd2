/** What comes to a socket: messages in batches, each told with its sender, others having their turn in between. */
import type { Correspondent } from '../../streams/datagram_end.js';
import { addressOf, type Datagram } from '../burst/datagram.js';
import type { DatagramSocket } from '../burst/datagram_socket.js';
import type { SocketAddress } from '../sockets/address.js';

export interface RemoteInfo extends SocketAddress {
  /** Bytes of the message. */
  size: number;
}

export type OnMessage = (message: Buffer, from: RemoteInfo) => void;

/** Messages told of before others have their turn. */
const BATCH = 64;
export const MAPPED = '::ffff:';

/** An address as sockets of that family show it: IPv4 has one in IPv6. */
export const shownTo = (family: 4 | 6, address: string): string =>
  family === 6 && !address.includes(':') ? MAPPED + address : address;

export class Inbox {
  readonly #batch: Datagram[] = [];
  #draining = false;
  /** The last sender, and its address as text. */
  #sender: Correspondent | undefined;
  #senderText = '';

  constructor(
    readonly family: 4 | 6,
    /** Undefined when the socket is closed. */
    readonly inner: () => DatagramSocket | undefined,
    readonly tell: OnMessage,
  ) {}

  /** There is news. */
  heard(): void {
    if (this.#draining) return;
    this.#draining = true;
    process.nextTick(this.#drain);
  }

  readonly #drain = (): void => {
    this.#draining = false;
    const inner = this.inner();
    if (!inner) return;
    const batch = this.#batch;
    const n = inner.receive(batch, BATCH);
    let i = 0;
    try {
      while (i < n && this.inner()) this.#tell(batch[i++]);
    } finally {
      // What a listener threw is Node's to deal with; the others are told all the same.
      if (this.inner() && (i < n || inner.readable)) this.#again(i, n);
      else if (this.inner()) inner.done();
    }
  };

  #again(from: number, n: number): void {
    this.#draining = true;
    const rest = this.#batch
      .slice(from, n)
      .map(d => ({ message: Buffer.from(d.data), info: this.#infoOf(d) }));
    this.#later(rest);
  }

  /** Tells of them in a turn of their own; what a listener throws costs the others nothing. */
  #later(rest: { message: Buffer; info: RemoteInfo }[]): void {
    setImmediate(() => {
      let i = 0;
      try {
        while (i < rest.length && this.inner()) {
          const { message, info } = rest[i++];
          this.tell(message, info);
        }
      } finally {
        if (i < rest.length && this.inner()) this.#later(rest.slice(i));
        else this.#drain();
      }
    });
  }

  #tell(d: Datagram): void {
    const message = Buffer.allocUnsafe(d.length);
    d.copy(message);
    this.tell(message, this.#infoOf(d));
  }

  #infoOf(d: Datagram): RemoteInfo {
    const s = this.#sender;
    if (!s || s.w0 !== d.w0 || s.w1 !== d.w1 || s.w2 !== d.w2 || s.w3 !== d.w3 || s.family !== d.family) {
      const { family, port, w0, w1, w2, w3 } = d;
      this.#sender = { family, port, w0, w1, w2, w3 };
      this.#senderText = shownTo(this.family, addressOf(d));
    }
    const family = this.family === 4 ? 'IPv4' : 'IPv6';
    return { address: this.#senderText, family, port: d.port, size: d.length };
  }
}
