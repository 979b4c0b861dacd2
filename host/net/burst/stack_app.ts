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
import { transportNamed } from '../../transports/registry.js';
import '../../transports/tcp/index.js';
import { StreamApp } from '../../streams/stream_app.js';
import {
  type Answer,
  type Ask,
  type Asked,
  type ConnectOptions,
  errorHeard,
  type ListenOptions,
} from './calls.js';
import type { Connection } from './connection.js';
import type { Listener } from './listener.js';
import { restOfThreads, Sockets, type StackEvent } from './sockets.js';

/** What another thread is told to be an application: to be posted with its port. */
export interface StackTicket {
  memory: WebAssembly.Memory;
  /** Number of the application. */
  number: number;
  /** Name of the transport, and where its connections stand in memory. */
  transport: string;
  shared: unknown;
  port: MessagePort;
}

export class StackApp<O = object> {
  readonly #sockets: Sockets<O>;
  readonly #port: MessagePort;
  readonly #waiting = new Map<
    number,
    { resolve: (result: ListenPlace | Made) => void; reject: (error: Error) => void }
  >();
  #asked = 0;

  private constructor(ticket: StackTicket) {
    const { memory, number, transport, shared, port } = ticket;
    const arena = Arena.attach(memory);
    const view = transportNamed(transport).view(arena, shared) as unknown as TransportView<O>;
    this.#port = port;
    this.#sockets = new Sockets<O>(StreamApp.over(arena, number), view, restOfThreads, slot =>
      this.#post({ n: 0, asked: { call: 'unlisten', slot } }),
    );
    port.on('message', (answer: Answer) => this.#hear(answer));
    port.on('close', () => this.#refuse());
    port.unref();
  }

  /** The application of a ticket, in the thread that is to be it. @throws EtherloomError ERR_APP_UNKNOWN, ERR_TRANSPORT_UNKNOWN */
  static attach<O = object>(ticket: StackTicket): StackApp<O> {
    return new StackApp<O>(ticket);
  }

  get number(): number {
    return this.#sockets.number;
  }

  get connections(): IterableIterator<Connection<O>> {
    return this.#sockets.connections;
  }

  #post(ask: Ask): void {
    this.#port.postMessage(ask);
  }

  #ask(asked: Asked): Promise<ListenPlace | Made> {
    const n = ++this.#asked;
    const answered = new Promise<ListenPlace | Made>((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
    });
    this.#port.ref();
    this.#post({ n, asked });
    return answered;
  }

  #hear({ n, result, error }: Answer): void {
    const who = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (this.#waiting.size === 0) this.#port.unref();
    if (error) who?.reject(errorHeard(error));
    else who?.resolve(result!);
  }

  #refuse(): void {
    for (const { reject } of this.#waiting.values())
      reject(new EtherloomError('ERR_STACK_CLOSED', 'the stack was closed before it answered'));
    this.#waiting.clear();
  }

  /** As Stack.listen. */
  async listen(options: ListenOptions<O>): Promise<Listener> {
    const place = await this.#ask({ call: 'listen', options: options as ListenOptions });
    return this.#sockets.listening(place as ListenPlace);
  }

  /** As Stack.connect. */
  async connect(options: ConnectOptions<O>): Promise<Connection<O>> {
    const { data, ...rest } = options;
    const made = (await this.#ask({ call: 'connect', options: rest as ConnectOptions })) as Made;
    return this.#sockets.connecting(made.id, made, data);
  }

  /** As Stack.poll. */
  poll(events: StackEvent<O>[], max?: number): number {
    return this.#sockets.poll(events, max);
  }

  flush(): void {
    this.#sockets.flush();
  }

  wait(ms?: number): Promise<boolean> {
    return this.#sockets.wait(ms);
  }

  waitSync(ms?: number): boolean {
    return this.#sockets.waitSync(ms);
  }

  /** Aborts its connections, closes its listeners, and gives the application back. */
  close(): void {
    this.#sockets.abandon();
    this.#port.close();
  }
}
