/** What a socket is made with. */
import type { DuplexOptions } from 'node:stream';
import { valueError } from './errors.js';
import type { OnRead } from './intake.js';

export interface SocketOptions {
  /** Of both directions, bytes. */
  highWaterMark?: number | undefined;
  readable?: boolean | undefined;
  writable?: boolean | undefined;
  /** The other direction goes on when the peer has ended its own. Default false. */
  allowHalfOpen?: boolean | undefined;
  /** Destroys the socket. */
  signal?: AbortSignal | undefined;
  /** Reads into memory of the user's. */
  onread?: OnRead | undefined;
  noDelay?: boolean | undefined;
  keepAlive?: boolean | undefined;
  /** ms. */
  keepAliveInitialDelay?: number | undefined;
  /** Of a socket that a server makes: nothing is read until `resume`. */
  pauseOnCreate?: boolean | undefined;
}

/** Whether both parts are there: `net` ignores one without the other. */
export const isOnRead = (onread: unknown): onread is OnRead => {
  const { buffer, callback } = (onread ?? {}) as Partial<OnRead>;
  return (buffer instanceof Uint8Array || typeof buffer === 'function') && typeof callback === 'function';
};

/** Sockets are of bytes. @throws TypeError ERR_INVALID_ARG_VALUE */
export function refuseObjects(options: DuplexOptions & SocketOptions): void {
  for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode'] as const)
    if (options[name]) throw valueError(`options.${name}`, 'is not supported', options[name]);
}
