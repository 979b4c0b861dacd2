/**
 * A stack's application in a thread of its own: it has its connections for itself, and asks the stack only to connect and
 * to listen.
 *
 *   const ticket = stack.openApp(); worker.postMessage(ticket, [ticket.port])          in the engine's thread
 *   const app = StackApp.attach(ticket); await app.listen({ port: 7 }); app.poll(events)   in the worker
 */
import type { MessagePort } from 'node:worker_threads';
import { EtherloomError } from '../../errors.js';
import { Arena } from '../../mem/arena.js';
import type { ListenPlace, Made, TransportView } from '../../transports/contract.js';
import type { MessageView } from '../../transports/messages.js';
import { messagesNamed, transportNamed, viewsNamed } from '../../transports/registry.js';
import '../../transports/tcp/index.js';
import { Rpc, type RpcOptions } from '../../rpc/rpc.js';
import '../../transports/datagrams/index.js';
import '../../transports/homa/index.js';
import { StreamApp } from '../../streams/stream_app.js';
import { ThreadRpcPlace } from '../rpc_place.js';
import { AskedDatagrams } from './asked_datagrams.js';
import {
  type Answer,
  type Ask,
  type Asked,
  type ConnectOptions,
  type DatagramsTold,
  errorHeard,
  type ListenOptions,
  type MessagesTold,
  type Told,
} from './calls.js';
import type { Connection } from './connection.js';
import { DatagramSet } from './datagram_set.js';
import type { DatagramSocket } from './datagram_socket.js';
import type { BindOptions, DatagramNews, Datagrams } from './datagrams.js';
import type { Listener } from './listener.js';
import { restOfThreads, Sockets, type StackEvent } from './sockets.js';

/** What another thread is told to be an application: to be posted with its port. */
export interface StackTicket {
  memory: WebAssembly.Memory;
  /** Number of the application, and which one of that number. */
  number: number;
  life: number;
  /** Name of the transport, and where its connections stand in memory. */
  transport: string;
  shared: unknown;
  /** The same of datagrams, if the stack has a transport of them. */
  datagrams?: DatagramsTold;
  /** The same of messages. */
  messages?: MessagesTold;
  port: MessagePort;
}

const unanswered = (): EtherloomError =>
  new EtherloomError('ERR_STACK_CLOSED', 'the stack was closed before it answered');

/** How long `close` waits for lanes to make rings for what closed connections had taken, ms. */
const SETTLE_MS = 5000;

export class StackApp<O = object> {
  /** @internal Of the sockets that StackNet makes of them. */
  readonly sockets: Sockets<O>;
  /** @internal */
  readonly datagrams: DatagramSet;
  /** @internal The stack's transport of messages, if it has one, as this thread sees it. */
  readonly messages: { name: string; protocol: number; view: MessageView } | undefined;
  /** Which transport of its name each of them is of. */
  readonly #lives = new Map<string, number>();
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, { resolve: (result: Told) => void; reject: (error: Error) => void }>();
  #asked = 0;
  /** Questions and waits under way: as long as there are some the thread lives. */
  #holds = 0;
  #closed = false;
  /** Nobody answers any more. */
  #gone = false;
  #closing: Promise<void> | undefined;

  private constructor(ticket: StackTicket) {
    const { memory, number, life, transport, shared, datagrams, messages, port } = ticket;
    const arena = Arena.attach(memory);
    const view = transportNamed(transport).view(arena, shared) as unknown as TransportView<O>;
    this.#port = port;
    this.sockets = new Sockets<O>(StreamApp.over(arena, number, life), view, restOfThreads, slot =>
      this.#post({ n: 0, asked: { call: 'unlisten', slot } }),
    );
    this.datagrams = new DatagramSet(this.sockets.app);
    this.sockets.datagrams = this.datagrams;
    if (datagrams) this.#learn(datagrams, true);
    if (messages) {
      const { name, protocol, view: seen } = messagesNamed(messages.transport);
      this.messages = { name, protocol, view: seen(arena, messages.shared) };
    }
    port.on('message', (answer: Answer) => this.#hear(answer));
    port.on('close', () => this.#refuse());
    port.unref();
  }

  /** Sockets of a transport from now on. @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
  #learn(told: DatagramsTold, usual = false): Datagrams {
    const seen = viewsNamed(told.viewedBy)(this.sockets.app.arena, told.shared);
    const ask = (asked: Asked): Promise<Told> => this.#question(asked);
    const tell = (asked: Asked): void => this.#post({ n: 0, asked });
    this.#lives.set(told.name, told.life);
    return this.datagrams.add(told.name, new AskedDatagrams(told, seen, ask, tell), usual);
  }

  /** @throws EtherloomError ERR_STACK_CLOSED after `close`, or when the stack ended the application */
  open(): void {
    if (this.#closed || this.sockets.app.ended)
      throw new EtherloomError('ERR_STACK_CLOSED', `application ${this.number} was ended`, {
        expected: 'the ticket of another: stack.openApp()',
      });
  }

  /** The application of a ticket, in the thread that is to be it. @throws EtherloomError ERR_APP_UNKNOWN, ERR_TRANSPORT_UNKNOWN */
  static attach<O = object>(ticket: StackTicket): StackApp<O> {
    try {
      return new StackApp<O>(ticket);
    } catch (error) {
      // The stack is not to wait for an application that there will never be.
      (ticket.port as MessagePort | undefined)?.close();
      throw error;
    }
  }

  get number(): number {
    return this.sockets.number;
  }

  get connections(): IterableIterator<Connection<O>> {
    return this.sockets.connections;
  }

  #post(ask: Ask): void {
    this.#port.postMessage(ask);
  }

  async #ask(asked: Asked): Promise<Told> {
    this.open();
    return this.#question(asked);
  }

  /** @internal Asks the stack something of calls. @throws EtherloomError ERR_STACK_CLOSED, and what the stack throws */
  question(asked: Extract<Asked, { call: 'slots' | 'serve' }>): Promise<Told> {
    return this.#ask(asked);
  }

  /** @internal Tells it something. */
  tell(asked: Extract<Asked, { call: 'unserve' }>): void {
    if (!this.#gone) this.#post({ n: 0, asked });
  }

  /** The same of an application that closes. */
  #question(asked: Asked): Promise<Told> {
    if (this.#gone) return Promise.reject(unanswered());
    const n = ++this.#asked;
    const answered = new Promise<Told>((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
    });
    this.#post({ n, asked });
    return this.#held(answered);
  }

  /** Keeps the thread alive until `work` is done. */
  async #held<T>(work: Promise<T>): Promise<T> {
    if (this.#holds++ === 0) this.#port.ref();
    try {
      return await work;
    } finally {
      if (--this.#holds === 0) this.#port.unref();
    }
  }

  #hear({ n, result, error, ended }: Answer): void {
    // Nothing of the number is used any more from here on.
    if (ended) return this.#port.close();
    const who = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (error) who?.reject(errorHeard(error));
    else who?.resolve(result);
  }

  #refuse(): void {
    this.#closed = true;
    this.#gone = true;
    for (const { reject } of this.#waiting.values()) reject(unanswered());
    this.#waiting.clear();
  }

  /**
   * RPCs of this thread, over the stack of the application, which is theirs from then on: calls and servers, or the burst API.
   * @throws RpcError ERR_RPC_NO_CARRIER
   */
  rpc(options: RpcOptions = {}): Rpc {
    this.open();
    return new Rpc(new ThreadRpcPlace<O & object>(this as unknown as StackApp<O & object>), options);
  }

  /** As Burst.listen. */
  async listen(options: ListenOptions<O>): Promise<Listener> {
    const place = await this.#ask({ call: 'listen', options: options as ListenOptions });
    return this.sockets.listening(place as ListenPlace);
  }

  /** As Burst.connect. */
  async connect(options: ConnectOptions<O>): Promise<Connection<O>> {
    const { data, ...rest } = options;
    const made = (await this.#ask({ call: 'connect', options: rest as ConnectOptions })) as Made;
    return this.sockets.connecting(made.id, made, data);
  }

  /** As Burst.bind. */
  async bind(options: BindOptions = {}): Promise<DatagramSocket> {
    this.open();
    const { transport } = options;
    if (transport === undefined) return this.datagrams.named().bind(options);
    const told = (await this.#ask({ call: 'datagrams', name: transport })) as DatagramsTold;
    const known = this.#lives.get(transport) === told.life ? this.datagrams.has(transport) : undefined;
    return (known ?? this.#learn(told)).bind(options);
  }

  /** As Burst.news. */
  news(into: DatagramNews[]): number {
    return this.datagrams.news(into);
  }

  /** As Burst.poll. @throws EtherloomError ERR_STACK_CLOSED when stack or application were closed: a loop of polls ends so */
  poll(events: StackEvent<O>[], max?: number): number {
    this.open();
    return this.sockets.poll(events, max);
  }

  flush(): void {
    this.sockets.flush();
  }

  /** As Burst.wait, but the thread lives as long as it waits. @throws EtherloomError ERR_STACK_CLOSED */
  async wait(ms?: number): Promise<boolean> {
    this.open();
    return this.#held(this.sockets.wait(ms));
  }

  /** As Burst.rouse. */
  rouse(): void {
    this.sockets.app.rouse();
  }

  waitSync(ms?: number): boolean {
    this.open();
    return this.sockets.waitSync(ms);
  }

  /**
   * Aborts its connections, closes its listeners, and gives the application back. What it had closed still delivers: when
   * that no longer needs this thread it resolves. A thread that stands still before (piscina's do, between tasks) loses it.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closed ? Promise.resolve() : this.#leave();
    return this.#closing;
  }

  /** The thread lives until then. */
  async #leave(): Promise<void> {
    this.#closed = true;
    const unbound = this.datagrams.abandon();
    this.sockets.abandon(false);
    if (unbound) await this.#held(unbound);
    if (this.sockets.isLeaving) {
      await this.#held(this.sockets.left(SETTLE_MS));
      this.sockets.abandon();
    }
    this.#port.close();
  }
}
