/**
 * The burst API in the thread of the stack: connections and listeners of one application, and what happened to them in
 * batches. Made by Stack: `stack.burst`. Another thread has the same as a StackApp.
 */
import type { Alive } from '../../engine/alive.js';
import type { ListenPlace, Made } from '../../transports/contract.js';
import type { ConnectOptions, ListenOptions } from './calls.js';
import type { Connection } from './connection.js';
import type { DatagramSet } from './datagram_set.js';
import type { DatagramSocket } from './datagram_socket.js';
import type { BindOptions, DatagramNews } from './datagrams.js';
import type { Listener } from './listener.js';
import type { Sockets, StackEvent } from './sockets.js';

/** Who connects and listens for an application. */
export interface Requests<O> {
  /** @throws EtherloomError ERR_STACK_CLOSED when there is nobody any more */
  open(): void;
  connect(options: ConnectOptions<O>, app: number): Made;
  /** @param laneApps by lane: the application that is to have what arrives there, 0 for `app` */
  listen(options: ListenOptions<O>, app: number, laneApps?: readonly number[]): ListenPlace;
}

export class Burst<O> {
  readonly #sockets: Sockets<O>;
  readonly #requests: Requests<O>;

  readonly #datagrams: DatagramSet;

  /** @internal @param alive held while somebody waits */
  constructor(
    sockets: Sockets<O>,
    requests: Requests<O>,
    datagrams: DatagramSet,
    readonly alive: Alive,
  ) {
    this.#sockets = sockets;
    this.#requests = requests;
    this.#datagrams = datagrams;
  }

  /**
   * Takes connections at a port. @throws SocketError EADDRINUSE, EADDRNOTAVAIL; EtherloomError ERR_STACK_OPTIONS,
   * ERR_STACK_LISTENERS, ERR_TCP_OPTIONS, ERR_ADDRESS, ERR_STACK_CLOSED
   */
  listen(options: ListenOptions<O>): Listener {
    return this.#sockets.listening(this.#requests.listen(options, this.#sockets.number));
  }

  /**
   * Begins to connect; events tell whether it came to be: `connected`, or `closed` and why.
   * @throws SocketError ENETUNREACH, EHOSTUNREACH, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENETDOWN when the lane that is to have
   * it was given up; EtherloomError ERR_STACK_OPTIONS, ERR_TCP_OPTIONS, ERR_ADDRESS, ERR_STACK_CLOSED
   */
  connect(options: ConnectOptions<O>): Connection<O> {
    const made = this.#requests.connect(options, this.#sockets.number);
    return this.#sockets.connecting(made.id, made, options.data);
  }

  /**
   * Makes a socket of datagrams. @throws SocketError EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENETDOWN; EtherloomError
   * ERR_STACK_OPTIONS, ERR_ADDRESS, ERR_STACK_SOCKETS, ERR_STACK_CLOSED, ERR_STACK_DATAGRAMS for a stack without such a transport,
   * ERR_STACK_TRANSPORT for one that is being closed
   */
  bind(options: BindOptions = {}): DatagramSocket {
    // In the stack's thread it is done at once.
    return this.#datagrams.named(options?.transport).bind(options) as DatagramSocket;
  }

  /** Fills `into` with what the last `poll`s found of sockets of datagrams, and returns how many: objects are used again. */
  news(into: DatagramNews[]): number {
    return this.#datagrams.news(into);
  }

  /** Sockets of datagrams that are not closed. */
  get sockets(): IterableIterator<DatagramSocket> {
    return this.#datagrams.sockets.values();
  }

  /**
   * Takes news of at most `max` connections into `events` and returns how many; what was written and asked goes out first.
   * The objects in `events` are used again. An inline engine makes one step.
   * @throws EtherloomError ERR_STACK_CLOSED when stack or engine are no more: a loop of polls ends so
   */
  poll(events: StackEvent<O>[], max?: number): number {
    this.#requests.open();
    return this.#sockets.poll(events, max);
  }

  /**
   * `poll` without a step of an inline engine: for who has several stacks in one engine, and steps that once for all. What
   * was written and asked is published after it. @throws EtherloomError as `poll`
   */
  take(events: StackEvent<O>[], max?: number): number {
    this.#requests.open();
    return this.#sockets.take(events, max);
  }

  /** Publishes what was written and asked, without looking for news. */
  flush(): void {
    this.#sockets.flush();
  }

  /**
   * Resolves when there is news, or after `ms`: true or false. The process lives as long as it waits. With an inline engine it
   * is what lets time pass: steps, and jumps in virtual time. @throws EtherloomError ERR_STACK_CLOSED
   */
  async wait(ms?: number): Promise<boolean> {
    this.#requests.open();
    return this.alive.during(this.#sockets.wait(ms));
  }

  /** Ends a `wait` of another part of the program, though there is no news. Of inline engines only a limit does. */
  rouse(): void {
    this.#sockets.app.rouse();
  }

  /** The same for a program that does nothing else meanwhile. @throws EtherloomError ERR_STACK_CLOSED */
  waitSync(ms?: number): boolean {
    this.#requests.open();
    return this.#sockets.waitSync(ms);
  }

  /** Connections that are not closed. */
  get connections(): IterableIterator<Connection<O>> {
    return this.#sockets.connections;
  }

  get listeners(): IterableIterator<Listener> {
    return this.#sockets.listeners;
  }
}
