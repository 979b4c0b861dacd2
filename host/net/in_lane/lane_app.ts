/**
 * An application as its module in a lane sees it: the burst API of connections that this lane has, told of once a round. It
 * never waits: what it asks the stack for, to connect and to listen, is answered by news.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import type { RpcEvent } from '../../rpc/event.js';
import { MOST_MS } from '../../rpc/settling.js';
import { StreamApp } from '../../streams/stream_app.js';
import type { ListenPlace, Made, TransportView } from '../../transports/contract.js';
import { messagesNamed, transportNamed } from '../../transports/registry.js';
import '../../transports/homa/index.js';
import '../../transports/tcp/index.js';
import {
  type Asked,
  type ConnectOptions,
  errorHeard,
  type ListenOptions,
  type Told,
} from '../burst/calls.js';
import type { Connection } from '../burst/connection.js';
import type { Listener } from '../burst/listener.js';
import { restOfThreads, Sockets, type StackEvent } from '../burst/sockets.js';
import { LaneRpc, type LaneRpcHome, type LaneRpcOptions } from './lane_rpc.js';
import type { FromLane, InLaneGiven, ToLane } from './messages.js';

/** What an application's module has in each lane. All are called from the lane's loop: none may wait. */
export interface LaneHandler<O extends object = object> {
  /** What happened to connections in this round: the first `n` of `events`, whose objects are used again. */
  news?(events: readonly StackEvent<O>[], n: number): void;
  /** The same of calls and requests of `app.rpc()`: their bytes are good until the next round. */
  calls?(events: readonly RpcEvent[], n: number): void;
  /** Called some 50 times a second, 10 times while the lane sleeps for want of work: for who counts or must end things. */
  tick?(nowMs: number): void;
  /** A `connect` or `listen` that the stack refused. Without it that ends the application in this lane. */
  refused?(error: EtherloomError, what: ConnectOptions<O> | ListenOptions<O>): void;
  /** What was said to this lane: InLane.tell. */
  heard?(what: unknown): void;
  /**
   * The application is to end here; afterwards nothing is told, and its connections are aborted. What requests of calls were
   * answered with, by now, is delivered.
   */
  close?(): void;
}

/** Default export of an application's module: called in each lane, and again in a lane that replaces one that died. */
export type LaneModule<O extends object = object> = (
  app: LaneApp<O>,
  data: unknown,
) => LaneHandler<O> | Promise<LaneHandler<O>>;

type Wish<O> = ConnectOptions<O> | ListenOptions<O>;

/** A question to the stack, and who hears the answer: of those without the handler's `refused`, and `data` of the wish. */
interface Question<O> {
  wish: Wish<O> | undefined;
  listens: boolean;
  told: ((result: Told) => void) | undefined;
  refused: ((error: Error) => void) | undefined;
}

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
  readonly #asked = new Map<number, Question<O>>();
  #questions = 0;
  /** Listeners that are asked for: until they are known their connections would be nobody's. */
  #listening = 0;
  #handler: LaneHandler<O> | undefined;
  #ticked = 0;
  #over = false;
  /** It was asked to end, and sends on what it has answered: */
  #settling = false;
  /** until then at most, ns; 0: it has no time yet. */
  #settlingNs = 0;
  #nowMs = 0;
  #rpc: LaneRpc<O> | undefined;
  readonly #messages: LaneRpcHome<O>['messages'];
  readonly #events: StackEvent<O>[] = [];

  /** @internal Made by lane_side.ts. */
  constructor(
    arena: Arena,
    readonly lane: number,
    given: InLaneGiven,
  ) {
    const { number, transport, shared, messages, port, bell } = given;
    if (messages) {
      const { name, protocol, view } = messagesNamed(messages.transport);
      this.#messages = { name, protocol, view: view(arena, messages.shared) };
    }
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
    const { data: _, ...options } = wish as ConnectOptions<O>;
    const listens = call === 'listen';
    this.#put({ call, options } as never, { wish, listens, told: undefined, refused: undefined });
  }

  #put(asked: Asked, question: Question<O>): void {
    if (this.#over) throw new EtherloomError('ERR_STACK_CLOSED', 'the application has ended in this lane');
    const n = ++this.#questions;
    this.#asked.set(n, question);
    this.#say({ n, asked });
  }

  /**
   * Calls and requests of calls in this lane, as `rpc.burst` has them: `handler.calls` is told. The same one each time.
   * @throws RpcError ERR_RPC_NO_CARRIER
   */
  rpc(options: LaneRpcOptions = {}): LaneRpc<O> {
    this.#rpc ??= new LaneRpc<O>(
      {
        lane: this.lane,
        sockets: this.#sockets,
        messages: this.#messages,
        nowMs: () => this.#nowMs,
        ask: (asked, listens, told, refused) => {
          if (listens) this.#listening++;
          this.#put(asked, { wish: undefined, listens, told, refused });
        },
        connecting: (result, link) => {
          const made = result as Made;
          return this.#sockets.connecting(made.id, made, link);
        },
        listening: (result, data) => {
          this.#sockets.listening(result as ListenPlace).data = data;
        },
      },
      options,
    );
    return this.#rpc;
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
    if (typeof handler?.news !== 'function' && typeof handler?.calls !== 'function')
      throw new EtherloomError('ERR_IN_LANE', 'the module has returned no news()', {
        expected: '{ news(events, n) }, or { calls(events, n) }',
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
    if (this.#settling) return work + this.#settle(nowNs);
    const handler = this.#handler;
    if (handler === undefined || this.#listening > 0 || this.#over) return work;
    this.#nowMs = nowNs / 1e6;
    const rpc = this.#rpc;
    if (rpc !== undefined) rpc.done();
    let n = this.#sockets.poll(this.#events, BATCH);
    const others = n > 0 && rpc !== undefined ? rpc.news(this.#events, n) : n;
    if (others > 0) handler.news?.(this.#events, others);
    if (rpc !== undefined && handler.calls !== undefined) n += rpc.tell(this.#calls);
    if (n > 0) this.#sockets.flush();
    if (handler.tick !== undefined && nowNs - this.#ticked >= TICK_NS) {
      this.#ticked = nowNs;
      handler.tick(nowNs / 1e6);
      this.#sockets.flush();
    }
    return work + n;
  }

  readonly #calls = (events: readonly RpcEvent[], n: number): void => this.#handler!.calls!(events, n);

  #hear(): number {
    this.#heard = Atomics.load(this.#bell, 0);
    let n = 0;
    for (let m = receiveMessageOnPort(this.#port); m; m = receiveMessageOnPort(this.#port), n++) {
      const message = m.message as ToLane;
      if ('end' in message) {
        this.#close();
        return n;
      }
      if ('heard' in message) {
        if (!this.#settling) this.#handler?.heard?.(message.heard);
      } else if (!('ended' in message)) this.#answered(message);
      this.#sockets.flush();
    }
    return n;
  }

  #answered({ n, result, error }: Extract<ToLane, { n: number }>): void {
    const question = this.#asked.get(n);
    if (question === undefined) return;
    this.#asked.delete(n);
    const { wish, listens, told, refused } = question;
    if (listens) this.#listening--;
    if (wish === undefined) {
      if (error) refused?.(errorHeard(error));
      else told?.(result);
    } else if (error) {
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

  /** It was asked to end. */
  #close(): void {
    this.#handler?.close?.();
    const rpc = this.#rpc;
    if (rpc?.close() !== true) return this.end(undefined);
    this.#settling = true;
    const sockets = this.#sockets;
    for (const listener of [...sockets.listeners]) listener.close();
    for (const connection of [...sockets.connections]) if (!rpc.has(connection)) connection.abort();
    sockets.flush();
    this.#say({ settling: true });
  }

  /** A round of one that has closed: what was answered goes on. */
  #settle(nowNs: number): number {
    this.#nowMs = nowNs / 1e6;
    this.#settlingNs ||= nowNs + MOST_MS * 1e6;
    const rpc = this.#rpc!;
    const n = this.#sockets.poll(this.#events, BATCH);
    if (n > 0) rpc.news(this.#events, n);
    if (!rpc.settle() || nowNs >= this.#settlingNs) this.end(undefined);
    return n;
  }

  /** @internal It is over in this lane: connections are aborted, listeners close. */
  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#rpc?.end();
    this.#sockets.abandon();
    const { message = String(error), stack } = error ?? {};
    this.#say(error === undefined ? { ended: undefined } : { ended: message, ...(stack ? { stack } : {}) });
  }
}
