/** What a socket like Node's `dgram.Socket` is made with. */
import dns from 'node:dns';
import { addAbortListener, type EventEmitter } from 'node:events';
import { isIP } from 'node:net';
import { typeError } from '../sockets/errors.js';
import { badType } from './errors.js';

export type SocketType = 'udp4' | 'udp6';

type Found = (error: Error | null, address: string, family: number) => void;
export type Lookup = (host: string, options: { family: number }, found: Found) => void;

export interface SocketOptions {
  type: SocketType;
  /** Taken, and without effect: a port is one socket's. */
  reuseAddr?: boolean;
  /** Of udp6: IPv4 is not taken. */
  ipv6Only?: boolean;
  /** Bytes of the rings. Default 256 KiB and 64 KiB. */
  recvBufferSize?: number;
  sendBufferSize?: number;
  lookup?: Lookup;
  /** Closes the socket. */
  signal?: AbortSignal;
}

/** The options of a call that may name the type alone. @throws TypeError ERR_SOCKET_BAD_TYPE, ERR_INVALID_ARG_TYPE */
export function checkedOptions(given: SocketType | SocketOptions): SocketOptions {
  const options = typeof given === 'object' && given !== null ? given : { type: given };
  const { type, lookup, signal } = options;
  if (type !== 'udp4' && type !== 'udp6') throw badType();
  if (lookup !== undefined && typeof lookup !== 'function')
    throw typeError('lookup', 'of type function', lookup);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError('options.signal', 'an instance of AbortSignal', signal);
  return options;
}

/** Closes a socket that is open when the signal says so. */
export function closeBy(
  signal: AbortSignal | undefined,
  socket: EventEmitter & { close(): unknown },
  isClosed: () => boolean,
): void {
  const onAborted = (): void => {
    if (!isClosed()) socket.close();
  };
  if (signal?.aborted) onAborted();
  else if (signal) {
    const listener = addAbortListener(signal, onAborted);
    socket.once('close', () => listener[Symbol.dispose]());
  }
}

/** What names the address, asked for where it is no address. Names are the caller's affair: lookup may be late. */
export function lookUp(
  { lookup = dns.lookup as unknown as Lookup }: SocketOptions,
  family: 4 | 6,
  host: string | undefined,
  done: (error: Error | null, address: string) => void,
): void {
  const name = host ?? (family === 4 ? '127.0.0.1' : '::1');
  if (isIP(name)) done(null, name);
  else lookup(name, { family }, (error, address) => done(error, address));
}
