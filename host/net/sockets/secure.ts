/**
 * TLS over sockets of a stack: Node asks the handle of a TLSSocket for its addresses, and that over a Duplex has none. What
 * `net` keeps of an answer once it had one is given to it.
 */
import type { TLSSocket } from 'node:tls';
import type { Socket } from './socket.js';

/** Where `net.Socket` keeps both addresses, and a TLSSocket the stream that wraps what it is over. */
interface Inner {
  _peername?: object;
  _sockname?: object;
  _handle?: { _parentWrap?: { stream?: Socket } } | null;
}

/** Gives a socket of TLS the addresses of the one that it is over. Nothing where that has none. */
export function nameEnds(secure: TLSSocket, socket?: Socket): void {
  const inner = secure as unknown as Inner;
  const under = socket ?? inner._handle?._parentWrap?.stream;
  if (under?.remoteAddress === undefined) return;
  const { remoteAddress: address, remoteFamily: family, remotePort: port } = under;
  inner._peername ??= { address, family, port };
  inner._sockname ??= under.address();
}
