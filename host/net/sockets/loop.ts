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
/**
 * So long after news a look is taken in each turn of the event loop, ms: whoever was answered may answer in less than a sleep
 * takes to end, and a lane's notify costs more than being seen. As long as lanes spin by default.
 */
const LOOK_MS = 0.05;
/** Longest time of a timer, ms: the one that keeps the process alive fires every 24 days. */
const FAR_MS = 2 ** 31 - 1;

const turn = (): Promise<void> => new Promise(next => setImmediate(next));

/** What a listener threw is an uncaught exception, as from any other event; the others are told all the same. */
function rethrow(error: unknown): void {
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
  /** Sockets and servers that keep the process alive. */
  #holds = 0;
  #alive: NodeJS.Timeout | undefined;

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
    this.#holds += on ? 1 : -1;
    if (this.#holds === 0) this.#alive?.unref();
    else if (on && this.#holds === 1) {
      this.#alive ??= setInterval(() => {}, FAR_MS);
      this.#alive.ref();
    }
  }

  /** From now on news is looked for. */
  begin(): void {
    if (this.#running) return;
    this.#running = true;
    // Not in the context of whoever came first.
    new AsyncResource('ETHERLOOM_SOCKETS').runInAsyncScope(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { sockets } = this;
    for (let newsMs = Number.NEGATIVE_INFINITY; !this.#closed; ) {
      for (const asked of this.#asked) await asked;
      const n = sockets.poll(this.#events, BATCH);
      if (n === 0) {
        if (performance.now() - newsMs < LOOK_MS) await turn();
        else await sockets.wait(this.restMs);
        if (sockets.app.ended) this.close();
        continue;
      }
      for (let i = 0; i < n; i++) this.#tell(this.#events[i]);
      sockets.flush();
      await turn();
      newsMs = performance.now();
    }
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

  /** Ends all of them: sockets close without an error, their peers are reset. */
  close(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    const { sockets } = this;
    for (const listener of [...sockets.listeners]) (listener.data as Taker | undefined)?.abandon();
    for (const connection of [...sockets.connections]) (connection.data as Hearer | undefined)?.abandon();
    this.#closed = true;
    const ended = sockets.app.ended ? undefined : this.calls.end();
    sockets.app.rouse();
    clearInterval(this.#alive);
    return ended;
  }
}
