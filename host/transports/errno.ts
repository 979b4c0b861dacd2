/** Errors of sockets as Linux names them: in events of connections, and in what calls throw. */
import { type ErrorPlace, EtherloomError } from '../errors.js';

/** Numbers of include/uapi/asm-generic/errno.h. */
export const ERRNO = {
  EACCES: 13,
  EPIPE: 32,
  EPROTO: 71,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
} as const;

export type SocketErrno = keyof typeof ERRNO;

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, n]) => [n, name]));

/** Name of an error number; undefined for 0, and `E` with the number for one that is not known here. */
export const errnoName = (n: number): string | undefined => (n === 0 ? undefined : (NAMES.get(n) ?? `E${n}`));

/** What a call on sockets refuses for a reason that Linux has a name for: `code` is ERR_STACK_ with that name. */
export class SocketError extends EtherloomError {
  constructor(
    readonly errno: SocketErrno,
    message: string,
    place: ErrorPlace = {},
  ) {
    super(`ERR_STACK_${errno}`, message, place);
    this.name = 'SocketError';
  }
}
