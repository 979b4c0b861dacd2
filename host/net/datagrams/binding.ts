/**
 * The way of a socket to its port: asked for by `bind`, or by the first `send` or `connect`. What is sent, connected or closed
 * meanwhile waits for `listening`.
 */
import type { EventEmitter } from 'node:events';
import { dgramError } from './errors.js';

export class Binding {
  #state: 'unbound' | 'binding' | 'bound' = 'unbound';
  /** What waits for `listening`. */
  #queue: (() => void)[] | undefined;

  constructor(
    readonly socket: EventEmitter,
    /** Binds to any port. */
    readonly bindAny: () => void,
  ) {}

  get bound(): boolean {
    return this.#state === 'bound';
  }

  /** It begins; `callback` is told when it listens, and not when that fails. @throws ERR_SOCKET_ALREADY_BOUND */
  begin(callback: (() => void) | undefined): void {
    const { socket } = this;
    if (this.#state !== 'unbound') throw dgramError('ERR_SOCKET_ALREADY_BOUND');
    this.#state = 'binding';
    if (!callback) return;
    const forget = (): void => {
      socket.removeListener('error', forget);
      socket.removeListener('listening', onListening);
    };
    const onListening = (): void => {
      forget();
      callback.call(socket);
    };
    socket.on('error', forget);
    socket.on('listening', onListening);
  }

  failed(error: Error): void {
    this.#state = 'unbound';
    this.socket.emit('error', error);
  }

  done(): void {
    this.#state = 'bound';
    this.socket.emit('listening');
  }

  /** Does `work` when the socket is bound, which is begun if it is not; not at all when that fails. */
  whenBound(work: () => void): void {
    const { socket } = this;
    if (this.#state === 'unbound') this.bindAny();
    if (this.bound) return work();
    if (this.queued(work)) return;
    this.#queue = [work];
    const onError = (): void => {
      socket.removeListener('listening', onListening);
      this.#queue = undefined;
    };
    const onListening = (): void => {
      socket.removeListener('error', onError);
      const queue = this.#queue ?? [];
      this.#queue = undefined;
      for (const item of queue) item();
    };
    socket.once('error', onError);
    socket.once('listening', onListening);
  }

  /** Puts `work` behind what waits, if something does. */
  queued(work: () => void): boolean {
    if (!this.#queue) return false;
    this.#queue.push(work);
    return true;
  }
}
