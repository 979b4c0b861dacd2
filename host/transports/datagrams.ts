/**
 * What a transport of datagrams is, beside one of connections (contract.ts): sockets instead of listeners and connections.
 * A socket is a stream whose rings hold datagrams, each behind a record (bpf-progs/transports/udp/socket.h).
 */
import type { Arena } from '../mem/arena.js';
import type { AnyTransport, Endpoint, Family, LoadedAny } from './contract.js';

export interface BindWish {
  /** Application that is to have it. */
  app: number;
  /** One of the stack's own; undefined: any. */
  address: string | undefined;
  /** 0: one that is free. */
  port: number;
  /** undefined: both, where there is no address. */
  family: Family | undefined;
  /** Lane that is to have it; undefined: the transport chooses. */
  lane: number | undefined;
  /** Port of the engine by which the first datagram is tried. */
  ifindex: number;
  /** Sizes of the rings, bytes. */
  send: number;
  receive: number;
}

/** A socket as the transport has it. */
export interface BindPlace {
  /** Number of its stream. */
  id: number;
  address: string | undefined;
  port: number;
}

export interface LoadedDatagrams extends LoadedAny {
  readonly transport: DatagramTransport;
  /** Plain data from which any thread makes its view: DatagramTransport.view. */
  readonly shared: unknown;
  /** @throws SocketError EADDRINUSE, ENOBUFS, ENETDOWN; EtherloomError ERR_STACK_SOCKETS when the tables are full */
  bind(wish: BindWish): BindPlace;
  /** From now on the socket takes datagrams of this peer only, and hears of its errors. @throws SocketError EADDRINUSE */
  associate(id: number, local: string, remote: Endpoint): void;
  /** From everybody again. */
  dissociate(id: number): void;
  /** Nothing comes to the socket any more, its port is free. Its stream is the application's to close. */
  unbind(id: number): void;
}

/** What an application's thread sees of its sockets. Reads memory, asks nobody. */
export interface DatagramView {
  /** How many errors the socket was told of, modulo 2^32, and the last one as Linux names it. */
  errors(id: number): number;
  error(id: number): string | undefined;
  /** Datagrams for which the receive ring had no room. */
  drops(id: number): number;
  /** How many peers the socket has lost, modulo 2^32; a transport that does not say which errors are whose has none. */
  losses?(id: number): number;
  /** The one that was lost after so many; undefined: it is not remembered any more. */
  lost?(id: number, after: number): LostPeer | undefined;
}

/** A peer to whom what was sent did not arrive: as Correspondent. */
export interface LostPeer {
  port: number;
  w0: number;
  w1: number;
  w2: number;
  w3: number;
}

export interface DatagramTransport extends AnyTransport<LoadedDatagrams> {
  /** Bytes of its own header, between that of IP and the payload. */
  readonly headerBytes: number;
  /** Name in the registry of who makes its views, in whatever thread: default its own. */
  readonly viewedBy?: string;
  view(arena: Arena, shared: unknown): DatagramView;
}
