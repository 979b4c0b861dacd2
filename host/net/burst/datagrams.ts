/**
 * The sockets of datagrams of one application, in the thread that is it. They share its events with connections: `poll` of
 * those finds what is new here, too, and notes it.
 *
 *   Sockets.poll ─▶ heard(stream, bits) ─▶ news: readable, writable, error ─▶ news(into)
 */
import { EtherloomError } from '../../errors.js';
import { StreamEvent, StreamLayout } from '../../layout/layout.gen.js';
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
  /** Name of the transport, one of the stack's. Default: what `Stack.create` was told by `datagrams`, UDP. */
  transport?: string;
  /** `DatagramSocket.data`. */
  data?: unknown;
}

export const noDatagrams = (name?: string, known: readonly string[] = []): EtherloomError =>
  name === undefined
    ? new EtherloomError('ERR_STACK_DATAGRAMS', 'the stack has no transport of datagrams', {
        expected: 'Stack.create({ datagrams: udp() }), the default',
      })
    : new EtherloomError('ERR_STACK_DATAGRAMS', `the stack has no transport of datagrams "${name}"`, {
        expected: [...known, 'one that stack.load() loaded'].join(', '),
      });

/**
 * Who binds for an application, and what else is the engine's thread's. There it is done at once, and what cannot be throws; in
 * other threads it is done when the stack has answered.
 */
export interface DatagramRequests {
  readonly view: DatagramView;
  /** Number of the transport. */
  readonly protocol: number;
  bind(options: BindOptions, app: number): BindPlace | Promise<BindPlace>;
  /** Returns the own address that the peer sees. */
  associate(id: number, remote: Endpoint, local: string | undefined): string | Promise<string>;
  dissociate(id: number): void;
  unbind(id: number): Promise<void> | undefined;
  /** @throws SocketError when there is no way to that address */
  reach(address: string): Promise<void> | undefined;
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
  /** Closed, and the stack has not answered yet that nothing names them any more. */
  readonly #unbinding = new Map<DatagramSocket, Promise<void>>();
  /** Sockets that the stack was asked for; and news of those that it has made already, by stream. */
  #binding = 0;
  readonly #early = new Map<number, number>();
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
  bind(options: BindOptions): DatagramSocket | Promise<DatagramSocket> {
    const place = this.requests.bind(options, this.app.number);
    if (!(place instanceof Promise)) return this.#made(place, options);
    this.#binding++;
    return place
      .then(made => this.#made(made, options))
      .finally(() => {
        if (--this.#binding === 0) this.#early.clear();
      });
  }

  #made(place: BindPlace, options: BindOptions): DatagramSocket {
    const family = place.address === undefined ? (options.family ?? 0) : place.address.includes(':') ? 6 : 4;
    const socket = new DatagramSocket(this, this.app.end(place.id), place, family);
    socket.data = options.data;
    this.#sockets.set(place.id, socket);
    const bits = this.#early.get(place.id);
    this.#early.delete(place.id);
    if (bits !== undefined) this.heard(socket.end, bits);
    return socket;
  }

  /** Asks whether there is a way; undefined: there is. @throws as DatagramRequests.reach */
  reach(address: string): Promise<void> | undefined {
    return this.requests.reach(address);
  }

  associate(socket: DatagramSocket, remote: Endpoint, local: string | undefined): string | Promise<string> {
    return this.requests.associate(socket.id, remote, local);
  }

  dissociate(socket: DatagramSocket): void {
    this.requests.dissociate(socket.id);
  }

  most(family: 4 | 6): number {
    return this.requests.most(family);
  }

  gone(socket: DatagramSocket): void {
    if (this.#sockets.get(socket.id) !== socket) return;
    this.#sockets.delete(socket.id);
    this.#waiting.delete(socket);
    this.#leaving.set(socket.id, socket);
    // First out of the tables: its number may be another's as soon as the lane has heard.
    const unbound = this.requests.unbind(socket.id);
    if (!unbound) return this.#leave(socket, 0);
    const done = unbound.then(() => {
      this.#unbinding.delete(socket);
      if (this.#leaving.get(socket.id) === socket) this.#leave(socket, 0);
      this.app.flush();
    });
    this.#unbinding.set(socket, done);
  }

  /** Event bits of a stream; false when it is no socket's. */
  heard(end: StreamEnd, bits: number): boolean {
    const leaving = this.#leaving.get(end.id);
    if (leaving?.end === end) {
      this.#leave(leaving, bits);
      return true;
    }
    const socket = this.#sockets.get(end.id);
    if (socket?.end !== end) return this.#isEarly(end, bits);
    if (bits & StreamEvent.OUT) socket.nowRoom();
    if (bits & (StreamEvent.HUP | StreamEvent.FREED)) socket.nowOver();
    if (this.hearer) this.hearer(socket, bits);
    else this.#waiting.set(socket, (this.#waiting.get(socket) ?? 0) | bits);
    return true;
  }

  /** News of a socket that is not known yet: it waits until the stack's answer is here. */
  #isEarly(end: StreamEnd, bits: number): boolean {
    const { arena } = this.app;
    const at = arena.header.streamsAt + end.id * StreamLayout.size + StreamLayout.transport;
    if (this.#binding === 0 || arena.u32[at >> 2] !== this.requests.protocol) return false;
    this.#early.set(end.id, (this.#early.get(end.id) ?? 0) | bits);
    return true;
  }

  #leave(socket: DatagramSocket, bits: number): void {
    if (bits & (StreamEvent.HUP | StreamEvent.FREED)) socket.nowOver();
    const settled = socket.nowRoom();
    if (!settled || this.#unbinding.has(socket)) return;
    this.#leaving.delete(socket.id);
    socket.leave();
  }

  /** Fills `into`, from `n` on, with what `poll` found of sockets since the last call, and returns how many are in it. */
  news(into: DatagramNews[], n = 0): number {
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

  /** Closes every socket. What was sent before goes out still. */
  close(): void {
    for (const socket of [...this.#sockets.values()]) socket.close();
  }

  /** Lets sockets that were closed have their ring if it is there, heard of or not. Whether some wait on. */
  settle(): boolean {
    for (const socket of [...this.#leaving.values()]) this.#leave(socket, 0);
    this.app.flush();
    return this.#leaving.size > 0;
  }

  /**
   * Closes every socket. What waits for a ring does not go any more. Where the stack must be asked, it is done when that has
   * answered.
   */
  abandon(): Promise<unknown> | undefined {
    this.close();
    for (const socket of this.#leaving.values())
      if (!this.#unbinding.has(socket)) {
        this.#leaving.delete(socket.id);
        socket.leave();
      } else socket.nowOver();
    return this.#unbinding.size > 0 ? Promise.all(this.#unbinding.values()) : undefined;
  }
}
