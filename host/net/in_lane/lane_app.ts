/**
 * An application as its module in a lane sees it: the burst API of connections that this lane has, told of once a round. It
 * never waits: what it asks the stack for, to connect and to listen, is answered by news.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import { StreamApp } from '../../streams/stream_app.js';
import type { ListenPlace, Made, TransportView } from '../../transports/contract.js';
import { transportNamed } from '../../transports/registry.js';
import '../../transports/tcp/index.js';
import { type ConnectOptions, errorHeard, type ListenOptions } from '../burst/calls.js';
import type { Connection } from '../burst/connection.js';
import type { Listener } from '../burst/listener.js';
import { restOfThreads, Sockets, type StackEvent } from '../burst/sockets.js';
import type { FromLane, InLaneGiven, ToLane } from './messages.js';

/** What an application's module has in each lane. All are called from the lane's loop: none may wait. */
export interface LaneHandler<O extends object = object> {
  /** What happened to connections in this round: the first `n` of `events`, whose objects are used again. */
  news(events: readonly StackEvent<O>[], n: number): void;
  /** Called some 50 times a second, 10 times while the lane sleeps for want of work: for who counts or must end things. */
  tick?(nowMs: number): void;
  /** A `connect` or `listen` that the stack refused. Without it that ends the application in this lane. */
  refused?(error: EtherloomError, what: ConnectOptions<O> | ListenOptions<O>): void;
  /** What was said to this lane: InLane.tell. */
  heard?(what: unknown): void;
  /** The application is to end here; afterwards its connections are aborted. */
  close?(): void;
}

/** Default export of an application's module: called in each lane, and again in a lane that replaces one that died. */
export type LaneModule<O extends object = object> = (
  app: LaneApp<O>,
  data: unknown,
) => LaneHandler<O> | Promise<LaneHandler<O>>;

type Wish<O> = ConnectOptions<O> | ListenOptions<O>;

/** Time between two ticks, ns. */
const TICK_NS = 20e6;
/**
 * Connections told of before what they wrote leaves: with all at once two lanes that talk with each other would work in turns,
 * each with a batch of everything, instead of at the same time.
 */
const BATCH = 16;

export class LaneApp<O extends object = object> {
  readonly #sockets: Sockets<O>;
  readonly #port: MessagePort;
  readonly #bell: Int32Array;
  #heard = 0;
  readonly #asked = new Map<number, Wish<O>>();
  #questions = 0;
  /** Listeners that are asked for: until they are known their connections would be nobody's. */
  #listening = 0;
  #handler: LaneHandler<O> | undefined;
  #ticked = 0;
  #over = false;
  readonly #events: StackEvent<O>[] = [];

  /** @internal Made by lane_side.ts. */
  constructor(
    arena: Arena,
    readonly lane: number,
    given: InLaneGiven,
  ) {
    const { number, transport, shared, port, bell } = given;
    const view = transportNamed(transport).view(arena, shared) as unknown as TransportView<O>;
    this.#port = port;
    this.#bell = new Int32Array(bell);
    this.#sockets = new Sockets<O>(StreamApp.seated(arena, number, lane), view, restOfThreads, slot =>
      this.#say({ n: 0, asked: { call: 'unlisten', slot } }),
    );
  }

  #say(what: FromLane): void {
    this.#port.postMessage(what);
  }

  get connections(): IterableIterator<Connection<O>> {
    return this.#sockets.connections;
  }

  get listeners(): IterableIterator<Listener> {
    return this.#sockets.listeners;
  }

  /**
   * Takes the connections that arrive in this lane at a port; lanes that listen at the same address and port share a
   * listener. Port 0 is one port for all of them.
   */
  listen(options: ListenOptions<O>): void {
    this.#listening++;
    this.#ask('listen', options);
  }

  /** Begins a connection of this lane. News tells of it, by its `data`; `refused` when there will be none. */
  connect(options: Omit<ConnectOptions<O>, 'lane'>): void {
    this.#ask('connect', options);
  }

  #ask(call: 'listen' | 'connect', wish: Wish<O>): void {
    if (this.#over) throw new EtherloomError('ERR_STACK_CLOSED', 'the application has ended in this lane');
    const n = ++this.#questions;
    this.#asked.set(n, wish);
    const { data: _, ...options } = wish as ConnectOptions<O>;
    this.#say({ n, asked: { call, options } as never });
  }

  /** Says something to whoever opened the application: InLane's event `told`. It is cloned. */
  tell(what: unknown): void {
    this.#say({ told: what });
  }

  /** Publishes what was written and asked; done after `news`, `tick` and `heard` as well. */
  flush(): void {
    this.#sockets.flush();
  }

  // ── the lane's side ───────────────────────────────────────────────────────────────────────────────────────────

  /** @internal The module was called. */
  begin(handler: LaneHandler<O>): void {
    if (typeof handler?.news !== 'function')
      throw new EtherloomError('ERR_IN_LANE', 'the module has returned no news()', {
        expected: '{ news(events, n) }',
      });
    this.#handler = handler;
    this.#say({ began: true });
  }

  /** @internal Asked by the lane after each of its steps. Returns whether there was something. */
  poll(nowNs: number): number {
    if (this.#over) return 0;
    try {
      return this.#poll(nowNs);
    } catch (error) {
      this.end(error as Error);
      return 1;
    }
  }

  #poll(nowNs: number): number {
    let work = 0;
    // A plain look: an atomic one is a call in V8. What it misses the next one sees.
    if (this.#bell[0] !== this.#heard) work += this.#hear();
    const handler = this.#handler;
    if (handler === undefined || this.#listening > 0 || this.#over) return work;
    const n = this.#sockets.poll(this.#events, BATCH);
    if (n > 0) {
      handler.news(this.#events, n);
      this.#sockets.flush();
    }
    if (handler.tick !== undefined && nowNs - this.#ticked >= TICK_NS) {
      this.#ticked = nowNs;
      handler.tick(nowNs / 1e6);
      this.#sockets.flush();
    }
    return work + n;
  }

  #hear(): number {
    this.#heard = Atomics.load(this.#bell, 0);
    let n = 0;
    for (let m = receiveMessageOnPort(this.#port); m; m = receiveMessageOnPort(this.#port), n++) {
      const message = m.message as ToLane;
      if ('end' in message) {
        this.#handler?.close?.();
        this.end(undefined);
        return n;
      }
      if ('heard' in message) this.#handler?.heard?.(message.heard);
      else if (!('ended' in message)) this.#answered(message);
      this.#sockets.flush();
    }
    return n;
  }

  #answered({ n, result, error }: Extract<ToLane, { n: number }>): void {
    const wish = this.#asked.get(n);
    if (wish === undefined) return;
    this.#asked.delete(n);
    const listens = !('host' in wish);
    if (listens) this.#listening--;
    if (error) {
      const heard = errorHeard(error);
      if (this.#handler?.refused === undefined) throw heard;
      this.#handler.refused(heard, wish);
    } else if (listens)
      this.#sockets.listening(result as ListenPlace).data = (wish as { data?: unknown }).data;
    else {
      const made = result as Made;
      this.#sockets.connecting(made.id, made, (wish as ConnectOptions<O>).data);
    }
  }

  /** @internal It is over in this lane: connections are aborted, listeners close. */
  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#sockets.abandon();
    const { message = String(error), stack } = error ?? {};
    this.#say(error === undefined ? { ended: undefined } : { ended: message, ...(stack ? { stack } : {}) });
  }
}
