/** Errors as Node's `dgram` makes them: software decides by their `code`. What is common with `net` stands there. */
import { getSystemErrorMap } from 'node:util';
import { SocketError } from '../../transports/errno.js';
import { systemError } from '../sockets/errors.js';

const CODED = {
  ERR_SOCKET_ALREADY_BOUND: 'Socket is already bound',
  ERR_SOCKET_DGRAM_IS_CONNECTED: 'Already connected',
  ERR_SOCKET_DGRAM_NOT_CONNECTED: 'Not connected',
  ERR_SOCKET_DGRAM_NOT_RUNNING: 'Not running',
} as const;

/** One of Node's errors that have a code and always the same message. */
export const dgramError = (code: keyof typeof CODED): NodeJS.ErrnoException =>
  Object.assign(new Error(CODED[code]), { code });

export const badType = (): TypeError =>
  Object.assign(new TypeError('Bad socket type specified. Valid types are: udp4, udp6'), {
    code: 'ERR_SOCKET_BAD_TYPE',
  });

export const badBufferSize = (): TypeError =>
  Object.assign(new TypeError('Buffer size must be a positive integer'), {
    code: 'ERR_SOCKET_BAD_BUFFER_SIZE',
  });

export const outOfBounds = (name: string): RangeError =>
  Object.assign(new RangeError(`"${name}" is outside of buffer bounds`), {
    code: 'ERR_BUFFER_OUT_OF_BOUNDS',
  });

/** ERR_SOCKET_BUFFER_SIZE, a SystemError: its `info` says what the call would have. */
export function bufferSizeError(which: 'recv' | 'send', code: 'EBADF' | 'ENOBUFS'): Error {
  const [errno, [, words]] = [...getSystemErrorMap()].find(([, [name]]) => name === code)!;
  const syscall = `uv_${which}_buffer_size`;
  const error = new Error(`Could not get or set buffer size: ${syscall} returned ${code} (${words})`);
  const info = { errno, code, message: words, syscall };
  return Object.assign(error, { name: 'SystemError', code: 'ERR_SOCKET_BUFFER_SIZE', info, errno, syscall });
}

/** What the stack refused, as a system call of that name would have. What has no name of Linux's stays as it is. */
export function asSystemError(
  syscall: string,
  cause: unknown,
  site: { address?: string; port?: number },
): Error {
  return cause instanceof SocketError ? systemError(syscall, cause.errno, site) : (cause as Error);
}
