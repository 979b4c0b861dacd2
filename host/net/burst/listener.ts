/** A port at which connections are taken. Its connections come as events of the application that listens (sockets.ts). */
import type { ListenPlace } from '../../transports/contract.js';

export class Listener {
  /** Whatever the application wants to keep with it. */
  data: unknown = undefined;
  #closed = false;

  /** @internal Made by Sockets. */
  constructor(
    readonly place: ListenPlace,
    readonly waits: (slot: number) => number,
    readonly onClose: (listener: Listener) => void,
  ) {}

  /** Undefined: any of the stack's. */
  get address(): string | undefined {
    return this.place.address;
  }

  get port(): number {
    return this.place.port;
  }

  /** Connections that may wait to be taken. */
  get backlog(): number {
    return this.place.backlog;
  }

  /** Connections that wait to be taken: `poll` takes them. */
  get waiting(): number {
    return this.#closed ? 0 : this.waits(this.place.slot);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** No more connections. Those that nobody took yet are reset; those that were taken stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onClose(this);
  }
}
