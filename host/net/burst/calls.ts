/**
 * What an application in another thread asks of the stack, and how it is answered: messages over a port of its own. Only
 * connecting, listening and binding go this way; bytes and events do not.
 */
import { EtherloomError } from '../../errors.js';
import type { Endpoint, ListenPlace, Made } from '../../transports/contract.js';
import type { BindPlace } from '../../transports/datagrams.js';
import { ERRNO, type SocketErrno, SocketError } from '../../transports/errno.js';
import type { Longest } from './asked_datagrams.js';
import type { BindOptions } from './datagrams.js';

export interface ListenOptions<O = object> {
  /** 0, the default: an ephemeral one, which `Listener.port` tells. */
  port?: number;
  /** An address of the stack. Default: any. */
  address?: string;
  /** Without an address: 4 or 6. Default: both. */
  family?: 4 | 6;
  /** Connections that may wait to be taken, and handshakes under way. Default 128. */
  backlog?: number;
  /** Of the connections. */
  options?: O;
}

export interface ConnectOptions<O = object> {
  /** IPv4 or IPv6 address. */
  host: string;
  port: number;
  /** An address of the stack. Default: by the route. */
  localAddress?: string;
  /** Default 0: an ephemeral one (RFC 6056). */
  localPort?: number;
  /** Lane that is to have it. Default: the one that its packets arrive at. */
  lane?: number;
  /** `Connection.data`. */
  data?: unknown;
  options?: O;
}

export type Asked =
  | { call: 'listen'; options: ListenOptions }
  | { call: 'connect'; options: Omit<ConnectOptions, 'data'> }
  | { call: 'unlisten'; slot: number }
  | { call: 'bind'; options: Omit<BindOptions, 'data'> }
  | { call: 'associate'; id: number; remote: Endpoint; local: string | undefined }
  | { call: 'dissociate' | 'unbind'; id: number }
  | { call: 'reach'; address: string; transport: string }
  /** Of calls over a transport of messages: slots towards a peer, requests at a port. */
  | { call: 'slots'; address: string; n: number }
  | { call: 'serve'; port: number; address?: string }
  | { call: 'unserve'; port: number }
  | { call: 'datagrams'; name: string };

/** What a thread is told of a transport of datagrams, to have sockets of it. */
export interface DatagramsTold {
  name: string;
  /** Which of that name: one that was closed and loaded again is another. */
  life: number;
  /** DatagramTransport.viewedBy, protocol; where its sockets stand in memory. */
  viewedBy: string;
  protocol: number;
  shared: unknown;
  /** Longest payload that the stack's ports take, bytes. */
  longest: Longest;
}

/** What the stack answers: where it listens, what it made, the own address that a peer sees. */
export type Told = ListenPlace | Made | BindPlace | DatagramsTold | string | readonly number[] | undefined;

/** What a thread is told of a transport of messages, to see its slots. */
export interface MessagesTold {
  /** Name of the transport. */
  transport: string;
  shared: unknown;
}

export interface Ask {
  /** Number of the question; 0 wants no answer. */
  n: number;
  asked: Asked;
}

export interface Answer {
  n: number;
  result?: Told;
  error?: { code: string; message: string; errno?: string };
  /** Of no question: the application is no more. */
  ended?: true;
}

/** What an error says, for another thread. */
export const errorTold = (error: unknown): NonNullable<Answer['error']> => {
  const { code = 'ERR_STACK_CALL', message, errno } = error as SocketError;
  return errno === undefined ? { code, message } : { code, message, errno };
};

/** The same error in the thread that asked. */
export const errorHeard = ({ code, message, errno }: NonNullable<Answer['error']>): EtherloomError =>
  errno !== undefined && Object.hasOwn(ERRNO, errno)
    ? new SocketError(errno as SocketErrno, message)
    : new EtherloomError(code, message);
