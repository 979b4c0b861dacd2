/** What the Homa carrier needs of the stack: slots, and ports that are served. */
import type { StreamEnd } from '../../streams/stream_end.js';
import type { MessageView } from '../../transports/messages.js';

/** The lane where packets of a peer arrive, and the port by which it is tried. */
export interface Way {
  lane: number;
  ifindex: number;
  /** Of a peer there. */
  address: string;
  /** Nobody knows which lane that is: the peer has slots of its own. */
  own?: boolean;
}

export interface SlotCalls {
  /** Number of the transport at its streams. */
  readonly protocol: number;
  readonly view: MessageView;
  /** @throws SocketError ENETUNREACH, EHOSTUNREACH; EtherloomError ERR_ADDRESS */
  way(address: string): Way;
  /**
   * Tells `opened` numbers of streams, at once or later; or `refused` why there are none: ENOBUFS, ENETDOWN, and for this
   * address only ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, ERR_ADDRESS.
   */
  open(
    way: Way,
    n: number,
    opened: (ids: readonly number[]) => void,
    refused: (error: unknown) => void,
  ): void;
  end(id: number): StreamEnd;
  serve(wish: { port: number; address?: string }): ServedPort | Promise<ServedPort>;
  /** The client's port is given back: its slots are let go of before. */
  leave(): void;
}

export interface ServedPort {
  port: number;
  close(): void;
}
