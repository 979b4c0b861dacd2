/**
 * Errors of calls: `code` says which, as Linux names what the network did, and ERR_RPC_ for what only an RPC knows.
 *
 *   ETIMEDOUT ECONNREFUSED ECONNRESET EHOSTUNREACH EMSGSIZE …   the carrier's, or a deadline
 *   ABORT_ERR                                                   the caller's signal; `name` is AbortError
 *   ERR_RPC_REMOTE                                              the handler threw: `message` and `remoteCode` are its
 *   ERR_RPC_NO_CARRIER ERR_RPC_CLOSED ERR_RPC_BODY ERR_RPC_OPTIONS ERR_RPC_EVENT ERR_RPC_BUSY
 */
import { type ErrorPlace, EtherloomError } from '../errors.js';
import type { SocketError } from '../transports/errno.js';
import { MOST_ERROR } from './frame.js';

export class RpcError extends EtherloomError {
  /** Of ERR_RPC_REMOTE: the code of what the handler threw, if it has one. */
  readonly remoteCode: string | undefined;

  constructor(code: string, message: string, place: ErrorPlace = {}, remoteCode?: string) {
    super(code, message, place);
    this.name = code === 'ABORT_ERR' ? 'AbortError' : 'RpcError';
    this.remoteCode = remoteCode;
  }
}

/** The code of an error of connections or binding, as a call has it: the errno, where there is one. */
export const codeOf = (error: unknown): string =>
  (error as SocketError).errno ?? (error as EtherloomError).code ?? 'ERR_RPC_CARRIER';

/** What errors of a network mean for a call: Linux's own words would name the socket. */
const MEANING: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the peer ended the connection',
  EHOSTUNREACH: 'no neighbour: the host, or the gateway to it, does not answer (ARP, neighbour discovery)',
  ENETUNREACH: 'no route',
  ETIMEDOUT: 'the peer does not answer',
};

/** Why a call to a peer failed, in words: whom it was for, by which carrier, and what happened, where that is not what the code says. */
export const whyFailed = (
  to: { address: string; port: number } | undefined,
  carrier: string,
  code: string,
  what = MEANING[code] ?? 'the connection ended',
): string => {
  if (to === undefined) return what;
  const host = to.address.includes(':') ? `[${to.address}]` : to.address;
  return `${host}:${to.port} over ${carrier}: ${what}`;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What of an error goes to the caller, as the body of a frame. Whatever was thrown, this throws nothing. */
export function errorBody(error: unknown): Uint8Array {
  // Cut text ends in whole characters as far as it is text: a decoder mends the last one.
  return encoder.encode(textOf(error)).subarray(0, MOST_ERROR);
}

/** Code, a line feed, message. Anything may be thrown: null, what has getters that throw, what cannot be made text. */
function textOf(error: unknown): string {
  try {
    const { code, message } = (
      typeof error === 'object' && error !== null ? error : {}
    ) as Partial<EtherloomError>;
    return `${typeof code === 'string' ? code.replaceAll('\n', ' ') : ''}\n${String(message ?? error)}`;
  } catch {
    return '\nsomething was thrown that has no text';
  }
}

/** The error of a call whose answer is such a body. */
export function remoteError(body: Uint8Array): RpcError {
  // A decoder takes no shared memory.
  const text = decoder.decode(Uint8Array.prototype.slice.call(body));
  const line = text.indexOf('\n');
  const code = text.slice(0, Math.max(0, line));
  return new RpcError('ERR_RPC_REMOTE', text.slice(line + 1), {}, code || undefined);
}
