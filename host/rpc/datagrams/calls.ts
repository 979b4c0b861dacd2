/** What the carrier over a transport of datagrams needs of its sockets: those of the burst API (host/net/burst/) have it. */
import type { Correspondent } from '../../streams/datagram_end.js';

/** A datagram that came, and who sent it: `first` bytes at `at` of memory, what is left at `again`. */
export interface RpcDatagram extends Correspondent {
  readonly memory: Uint8Array;
  length: number;
  at: number;
  first: number;
  again: number;
  readonly address: string;
}

export interface RpcDatagramSocket {
  data: unknown;
  readonly port: number;
  /** Fills `batch`; what it gave is good until `done`. */
  receive(batch: RpcDatagram[], max?: number): number;
  done(): void;
  /** False: there is no room now, an event tells of it. */
  send(bytes: Uint8Array, to: Correspondent): boolean;
  close(): void;
  /** Whether there is an error that nobody was told of, and which. */
  nowError(): boolean;
  takeError(): string | undefined;
  /** Whom what was sent did not reach since it was last asked, as far as the transport says so. */
  takeLost(): Omit<Correspondent, 'family'>[];
  readonly readable: boolean;
}

export interface DatagramCalls {
  /** Name of the transport, and of the carrier. */
  readonly name: string;
  /** @throws SocketError EADDRINUSE, EADDRNOTAVAIL, ENOBUFS; EtherloomError ERR_STACK_TRANSPORT when it goes */
  bind(where: { port: number; address?: string }, data: unknown): RpcDatagramSocket;
  /** Longest datagram, bytes. */
  most(family: 4 | 6): number;
}
