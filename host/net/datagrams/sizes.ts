/** Buffer sizes of a socket are those of its rings, which have theirs from `bind` on: what fits is taken, more is refused. */
import type { DatagramSocket } from '../burst/datagram_socket.js';
import { badBufferSize, bufferSizeError } from './errors.js';

export type RingName = 'recv' | 'send';

/** @throws ERR_SOCKET_BUFFER_SIZE before it is bound */
export function sizeOf(which: RingName, inner: DatagramSocket | undefined): number {
  if (!inner) throw bufferSizeError(which, 'EBADF');
  const { send, receive } = inner.capacity;
  return which === 'recv' ? receive : send;
}

/** @throws ERR_SOCKET_BAD_BUFFER_SIZE, ERR_SOCKET_BUFFER_SIZE */
export function checkSize(which: RingName, size: number, has: () => number): void {
  if (size >>> 0 !== size || size === 0) throw badBufferSize();
  if (size > has()) throw bufferSizeError(which, 'ENOBUFS');
}
