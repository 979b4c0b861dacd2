/**
 * The sockets of datagrams of one application, in the thread that is it. They share its events with connections: `poll` of
 * those finds what is new here, too, and notes it.
 *
 *   Sockets.poll ─▶ heard(stream, bits) ─▶ news: readable, writable, error ─▶ news(into)
 */
import { EtherloomError } from '../../errors.js';
import { StreamEvent } from '../../layout/layout.gen.js';
import type { StreamApp } from '../../streams/stream_app.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import type { Endpoint } from '../../transports/contract.js';
import type { BindPlace, DatagramView } from '../../transports/datagrams.js';
import { type DatagramHome, DatagramSocket } from './datagram_socket.js';

export interface BindOptions {
  /** An address of the stack. Default: any. */
  address?: string;
  /** 0, the default: an ephemeral one, which `DatagramSocket.port` tells. */
  port?: number;
  /** Without an address: 4 or 6. Default: both. */
  family?: 4 | 6;
  /** Lane that is to have it. Default: the lanes in turn. */
  lane?: number;
  /** Sizes of the rings, bytes, up to 16 MiB: the next power of two. Default 64 KiB to send, 256 KiB to receive. */
  sendBuffer?: number;
  receiveBuffer?: number;
  /** `DatagramSocket.data`. */
  data?: unknown;
}

export const noDatagrams = (): EtherloomError =>
  new EtherloomError('ERR_STACK_DATAGRAMS', 'the stack has no transport of datagrams', {
    expected: 'Stack.create({ datagrams: udp() }), the default',
  });

/** Who binds for an application, and what else is the engine's thread's. */
export interface DatagramRequests {
  readonly view: DatagramView;
  bind(options: BindOptions, app: number): BindPlace;
  /** Returns the own address that the peer sees. */
  associate(id: number, remote: Endpoint, local: string | undefined): string;
  dissociate(id: number): void;
  unbind(id: number): void;
  most(family: 4 | 6): number;
}

/** What happened to a socket since its last news. Objects are used again. */
export interface DatagramNews {
  socket: DatagramSocket;
  /** Datagrams came. */
  readable: boolean;
  /** There is room after a `send` that found none. */
  writable: boolean;
  /** As Linux names it; of a socket that is connected, or of what could not be sent. */
  error: string | undefined;
  /** Nothing comes any more: its lane was given up. */
  closed: boolean;
}

export class Datagrams implements DatagramHome {
  readonly #sockets = new Map<number, DatagramSocket>();
  /** Closed, with datagrams that wait for their ring. */
  readonly #leaving = new Map<number, DatagramSocket>();
  readonly #waiting = new Map<DatagramSocket, number>();
  /** Told at once of news, in place of `news`. */
  hearer: ((socket: DatagramSocket, bits: number) => void) | undefined;

  constructor(
    readonly app: StreamApp,
    readonly requests: DatagramRequests,
  ) {}

  get view(): DatagramView {
    return this.requests.view;
  }

  get sockets(): IterableIterator<DatagramSocket> {
    return this.#sockets.values();
  }

  /** @throws as Burst.bind */
  bind(options: BindOptions): DatagramSocket {
    const place = this.requests.bind(options, this.app.number);
    const family = place.address === undefined ? (options.family ?? 0) : place.address.includes(':') ? 6 : 4;
    const socket = new DatagramSocket(this, this.app.end(place.id), place, family);
    socket.data = options.data;
    this.#sockets.set(place.id, socket);
    return socket;
  }

  associate(socket: DatagramSocket, remote: Endpoint, local: string | undefined): string {
    return this.requests.associate(socket.id, remote, local);
  }

  dissociate(socket: DatagramSocket): void {
    this.requests.dissociate(socket.id);
  }

  most(family: 4 | 6): number {
    return this.requests.most(family);
  }

  gone(socket: DatagramSocket, later: boolean): void {
    if (this.#sockets.get(socket.id) !== socket) return;
    if (later) this.#leaving.set(socket.id, socket);
    this.#sockets.delete(socket.id);
    this.#waiting.delete(socket);
    // First out of the tables: its number may be another's as soon as the lane has heard.
    this.requests.unbind(socket.id);
  }

  /** Event bits of a stream; false when it is no socket's. */
  heard(end: StreamEnd, bits: number): boolean {
    const leaving = this.#leaving.get(end.id);
    if (leaving?.end === end) {
      this.#leave(leaving, bits);
      return true;
    }
    const socket = this.#sockets.get(end.id);
    if (socket?.end !== end) return false;
    if (bits & StreamEvent.OUT) socket.nowRoom();
    if (bits & (StreamEvent.HUP | StreamEvent.FREED)) socket.nowOver();
    if (this.hearer) this.hearer(socket, bits);
    else this.#waiting.set(socket, (this.#waiting.get(socket) ?? 0) | bits);
    return true;
  }

  #leave(socket: DatagramSocket, bits: number): void {
    const over = (bits & (StreamEvent.HUP | StreamEvent.FREED)) !== 0;
    if (!over && !socket.nowRoom()) return;
    this.#leaving.delete(socket.id);
    socket.leave();
  }

  /** Fills `into` with what `poll` found of sockets since the last call, and returns how many. */
  news(into: DatagramNews[]): number {
    let n = 0;
    for (const [socket, bits] of this.#waiting) {
      const failed =
        (bits & (StreamEvent.ERR | StreamEvent.HUP | StreamEvent.FREED)) !== 0 && socket.nowError();
      const e = (into[n++] ??= {} as DatagramNews);
      e.socket = socket;
      e.readable = (bits & StreamEvent.IN) !== 0;
      e.writable = (bits & StreamEvent.OUT) !== 0;
      e.error = failed ? socket.takeError() : undefined;
      e.closed = (bits & (StreamEvent.HUP | StreamEvent.FREED)) !== 0;
    }
    this.#waiting.clear();
    return n;
  }

  /** Closes every socket. What waits for a ring does not go any more. */
  abandon(): void {
    for (const socket of [...this.#sockets.values()]) socket.close();
    for (const socket of this.#leaving.values()) socket.leave();
    this.#leaving.clear();
  }
}
