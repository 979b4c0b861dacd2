/**
 * What drives the sockets of one stack in Node's event loop: one application of the stack, one sleep for all of them.
 *
 *   lanes ─▶ events ─wake─▶ poll: a batch ─▶ Socket.heard, Server.take ─▶ flush: one doorbell a lane ─▶ the event loop's turn
 *                              ▲                                                                              │
 *                              └── nothing for some time: Atomics.waitAsync, no timer, no polling ◀───────────┘
 *
 * What sockets write outside of a batch leaves at the end of the microtasks: many writes of a turn are one doorbell.
 */
import { AsyncResource } from 'node:async_hooks';
import { Alive } from '../../engine/alive.js';
import { EtherloomError } from '../../errors.js';
import type { ConnectionOptions } from '../../transports/tcp/index.js';
import type { ConnectOptions, ListenOptions } from '../burst/calls.js';
import type { Connection } from '../burst/connection.js';
import type { Listener } from '../burst/listener.js';
import type { Sockets, StackEvent } from '../burst/sockets.js';

export type SocketConnection = Connection<ConnectionOptions>;
export type SocketEvent = StackEvent<ConnectionOptions>;

/** `Connection.data` of a connection that is a socket's. */
export interface Hearer {
  heard(event: SocketEvent): void;
  /** The stack closes: no error, it is over. */
  abandon(): void;
}

/** `Listener.data` of a listener that is a server's. */
export interface Taker {
  /** Makes a socket of a connection that came, or closes it. */
  take(connection: SocketConnection): void;
  abandon(): void;
}

/** What the stack does for its sockets. */
export interface SocketCalls {
  /** In the stack's thread at once, in others when the stack has answered. */
  connect(options: ConnectOptions<ConnectionOptions>): SocketConnection | Promise<SocketConnection>;
  listen(options: ListenOptions<ConnectionOptions>): Listener | Promise<Listener>;
  /** There are to be no sockets any more. */
  end(): undefined | Promise<void>;
}

/** Connections told of before the event loop has its turn. */
const BATCH = 256;
/** Batches of a turn. */
const ROUNDS = 8;
/**
 * So long after news a look is taken in each turn of the event loop, ms: whoever was answered may answer in less than a sleep
 * takes to end, and a lane's notify costs more than being seen. As long as lanes spin by default.
 */
const LOOK_MS = 0.05;

/** What a listener threw is an uncaught exception, as from any other event; the others are told all the same. */
export function rethrow(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

export class SocketLoop {
  readonly #events: SocketEvent[] = [];
  /** Listeners that the stack, in another thread, was asked for: what comes to them waits until they are there. */
  readonly #asked = new Set<Promise<unknown>>();
  #running = false;
  #closed = false;
  #flushing = false;
  /** Batches of this turn, and when the last one came. */
  #rounds = 0;
  #newsMs = Number.NEGATIVE_INFINITY;
  /** Held by sockets and servers that keep the process alive. */
  readonly #alive = new Alive();
  /** Ends what else lives by it: sockets of datagrams. */
  onClose: (() => void) | undefined;

  constructor(
    readonly sockets: Sockets<ConnectionOptions>,
    readonly calls: SocketCalls,
    /** Longest sleep: of inline engines, whose steps are made in it. */
    readonly restMs?: number,
  ) {}

  /** @throws what Burst.connect does */
  connect(options: ConnectOptions<ConnectionOptions>): SocketConnection | Promise<SocketConnection> {
    this.#open();
    const made = this.calls.connect(options);
    this.begin();
    if (made instanceof Promise) return made.finally(() => this.touch());
    this.touch();
    return made;
  }

  /** @throws what Burst.listen does */
  listen(options: ListenOptions<ConnectionOptions>): Listener | Promise<Listener> {
    this.#open();
    const made = this.calls.listen(options);
    if (made instanceof Promise) {
      const done: Promise<unknown> = made.then(
        () => this.#asked.delete(done),
        () => this.#asked.delete(done),
      );
      this.#asked.add(done);
    }
    this.begin();
    return made;
  }

  /** Lets go of a connection, in peace or by a reset. */
  drop(connection: SocketConnection, reset = false): void {
    // What the stack has ended may be another's by now.
    if (this.sockets.app.ended) return;
    if (reset) connection.abort();
    else connection.close();
    this.touch();
  }

  #open(): void {
    if (this.#closed) throw new EtherloomError('ERR_STACK_CLOSED', 'the sockets of the stack are closed');
  }

  /** Something was written or asked: it leaves at the end of the microtasks. */
  touch(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (!this.#closed) this.sockets.flush();
  };

  /** Something begins to keep the process alive, or does so no more. */
  hold(on: boolean): void {
    this.#alive.hold(on);
  }

  /** From now on news is looked for. */
  begin(): void {
    if (this.#running) return;
    this.#running = true;
    // Not in the context of whoever came first.
    new AsyncResource('ETHERLOOM_SOCKETS').runInAsyncScope(this.#turn);
  }

  /** The event loop's turn: news that there is, or a sleep when there was none for some time. */
  readonly #turn = (): void => {
    this.#rounds = 0;
    this.#round();
  };

  /**
   * A batch of news. What it gave others to do before the event loop goes on — ticks, and promises — is done before the next
   * batch, and so much for this turn.
   */
  readonly #round = (): void => {
    if (this.#closed) return;
    const { sockets } = this;
    if (this.#asked.size > 0) return void this.#answered();
    const n = sockets.poll(this.#events, BATCH);
    if (n > 0) {
      for (let i = 0; i < n; i++) this.#tell(this.#events[i]);
      sockets.flush();
      this.#newsMs = performance.now();
      if (++this.#rounds < ROUNDS) process.nextTick(this.#round);
      else setImmediate(this.#turn);
    } else if (this.#rounds > 0 || performance.now() - this.#newsMs < LOOK_MS) setImmediate(this.#turn);
    else void this.#sleep();
  };

  async #answered(): Promise<void> {
    for (const asked of this.#asked) await asked;
    // After who hears that it listens, and may ask for the next.
    setImmediate(this.#turn);
  }

  async #sleep(): Promise<void> {
    await this.sockets.wait(this.restMs);
    if (this.sockets.app.ended) this.close();
    // Not from a promise: those that listeners make come after their ticks, as from any other event.
    process.nextTick(this.#turn);
  }

  #tell(event: SocketEvent): void {
    const { connection, accepted } = event;
    try {
      if (accepted) (connection.listener?.data as Taker | undefined)?.take(connection);
    } catch (error) {
      rethrow(error);
    }
    try {
      (connection.data as Hearer | undefined)?.heard(event);
    } catch (error) {
      rethrow(error);
    }
  }

  /** Ends all of them: sockets close without an error, their peers are reset. Also when the engine is stopped. */
  close(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    const { sockets } = this;
    this.onClose?.();
    for (const listener of [...sockets.listeners]) (listener.data as Taker | undefined)?.abandon();
    for (const connection of [...sockets.connections]) (connection.data as Hearer | undefined)?.abandon();
    this.#closed = true;
    const ended = sockets.app.ended ? undefined : this.calls.end();
    sockets.app.rouse();
    this.#alive.end();
    return ended;
  }
}
