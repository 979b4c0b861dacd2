/** What the Homa carrier needs of the stack: slots, and ports that are served. */
import type { StreamEnd } from '../../streams/stream_end.js';
import type { MessageView } from '../../transports/messages.js';

/** The lane where packets of a peer arrive, and the port by which it is tried. */
export interface Way {
  lane: number;
  ifindex: number;
}

export interface SlotCalls {
  /** Number of the transport at its streams. */
  readonly protocol: number;
  readonly view: MessageView;
  /** @throws SocketError ENETUNREACH, EHOSTUNREACH; EtherloomError ERR_ADDRESS */
  way(address: string): Way;
  /** Numbers of streams. @throws SocketError ENOBUFS, ENETDOWN */
  open(way: Way, n: number): number[] | Promise<number[]>;
  end(id: number): StreamEnd;
  serve(wish: { port: number; address?: string }): ServedPort | Promise<ServedPort>;
  /** The client's port is given back: its slots are let go of before. */
  leave(): void;
}

export interface ServedPort {
  port: number;
  close(): void;
}
