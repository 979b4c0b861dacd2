/** What a socket sends: at once where there is room, else in order when there is. Errors go to the callback of their message. */
import type { Correspondent } from '../../streams/datagram_end.js';
import type { Peer } from '../burst/datagram.js';
import type { DatagramSocket } from '../burst/datagram_socket.js';
import { systemError } from '../sockets/errors.js';
import type { SendCallback } from './arguments.js';
import { asSystemError } from './errors.js';

interface Waiting {
  data: Uint8Array;
  to: Correspondent | undefined;
  callback: SendCallback | undefined;
}

export class Outbox {
  /** Messages for which there was no room. */
  #unsent: Waiting[] = [];

  /** @param to undefined: whom the socket is connected with */
  send(
    inner: DatagramSocket,
    data: Uint8Array,
    to: Peer | undefined,
    callback: SendCallback | undefined,
  ): void {
    try {
      // Those that wait go first.
      const sent = this.#unsent.length === 0 && inner.send(data, to);
      if (!sent) this.#unsent.push({ data, to, callback });
      else if (callback) process.nextTick(callback, null, data.length);
    } catch (cause) {
      if (!callback) return;
      const site = to ? { address: to.address, port: to.port } : {};
      process.nextTick(callback, asSystemError('send', cause, site));
    }
  }

  /** There is room. True when something went. */
  settle(inner: DatagramSocket): boolean {
    let n = 0;
    for (const { data, to, callback } of this.#unsent) {
      if (!inner.send(data, to)) break;
      n++;
      if (callback) process.nextTick(callback, null, data.length);
    }
    if (n > 0) this.#unsent.splice(0, n);
    return n > 0;
  }

  /** Messages that found no room, and their bytes. */
  get count(): number {
    return this.#unsent.length;
  }

  get bytes(): number {
    return this.#unsent.reduce((sum, { data }) => sum + data.length, 0);
  }

  /** The socket is closed: they do not go any more. */
  cancel(): void {
    const canceled = systemError('send', 'ECANCELED');
    for (const { callback } of this.#unsent.splice(0)) if (callback) process.nextTick(callback, canceled);
  }
}
