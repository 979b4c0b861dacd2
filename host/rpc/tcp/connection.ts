/** What the TCP carrier needs of connections, and of who makes them: those of the burst API (host/net/burst/) have it. */
import type { StreamEnd } from '../../streams/stream_end.js';
import type { Endpoint, ListenPlace } from '../../transports/contract.js';

export interface RpcConnection {
  data: unknown;
  readonly end: StreamEnd;
  readonly listener: { data: unknown } | undefined;
  readonly remote: Endpoint;
  readonly connected: boolean;
  readonly ended: boolean;
  readonly closed: boolean;
  readonly error: string | undefined;
  /** All that it took is in the send ring. */
  readonly settled: boolean;
  readonly writable: boolean;
  readonly room: number;
  /** Bytes written that the peer has not acknowledged. */
  readonly unacknowledged: number;
  write(bytes: Uint8Array): number;
  wantRoom(bytes: number): boolean;
  shutdown(): void;
  close(): void;
  abort(): void;
}

/** News of a connection: StackEvent has it. */
export interface ConnectionNews {
  connection: RpcConnection;
  accepted: boolean;
  connected: boolean;
  readable: boolean;
  writable: boolean;
  ended: boolean;
  closed: boolean;
  error: string | undefined;
}

export interface RpcListener {
  data: unknown;
  readonly place: ListenPlace;
  close(): void;
}

/** Who connects and listens: in the stack's thread at once, in others when the stack has answered. */
export interface TcpCalls {
  /**
   * Begins a connection, whose `data` is to be `link`; undefined: `link` hears of it later.
   * @throws what Burst.connect does
   */
  connect(host: string, port: number, link: LinkToBe): RpcConnection | undefined;
  /** `data` is the listener's, from its first connection on. */
  listen(wish: { port: number; address?: string }, data: unknown): RpcListener | Promise<RpcListener>;
}

/** A link that waits for its connection. */
export interface LinkToBe {
  opened(connection: RpcConnection): void;
  refused(error: unknown): void;
}
