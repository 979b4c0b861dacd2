/** The way of a socket to be connected with one peer, and from there: `connect` or `error` follow. */
import type { EventEmitter } from 'node:events';
import { asSystemError, dgramError } from './errors.js';

export class Peering {
  #state: 'disconnected' | 'connecting' | 'connected' = 'disconnected';

  constructor(
    readonly socket: EventEmitter,
    readonly isClosed: () => boolean,
  ) {}

  get connected(): boolean {
    return this.#state === 'connected';
  }

  /** @throws ERR_SOCKET_DGRAM_IS_CONNECTED */
  begin(): void {
    if (this.#state !== 'disconnected') throw dgramError('ERR_SOCKET_DGRAM_IS_CONNECTED');
    this.#state = 'connecting';
  }

  /** Does `work`, and says what came of it: by events, and a failure to `told` if there is one. */
  tell(
    told: ((error?: Error) => void) | undefined,
    site: { address: string; port: number },
    work: () => Promise<void> | undefined,
  ): void {
    const done = (): void => {
      this.#state = 'connected';
      process.nextTick(() => {
        if (!this.isClosed()) this.socket.emit('connect');
      });
    };
    const failed = (cause: unknown): void => this.#failed(asSystemError('connect', cause, site), told);
    try {
      const made = work();
      if (made) made.then(done, failed);
      else done();
    } catch (cause) {
      failed(cause);
    }
  }

  #failed(error: Error, told: ((error?: Error) => void) | undefined): void {
    this.#state = 'disconnected';
    process.nextTick(() => {
      if (!told) return void this.socket.emit('error', error);
      this.socket.removeListener('connect', told);
      told(error);
    });
  }

  /** @throws ERR_SOCKET_DGRAM_NOT_CONNECTED */
  end(): void {
    if (this.#state !== 'connected') throw dgramError('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    this.#state = 'disconnected';
  }
}
