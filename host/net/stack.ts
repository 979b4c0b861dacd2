/**
 * A stack: a host of the network inside an engine. It has addresses on ports, a transport whose programs run in the lanes,
 * and applications that own the connections: the thread that made it is one, others are opened by `openApp`.
 *
 *   Stack ── Network: addresses, routes, responders          ── Sockets: connections and listeners of this thread
 *        └── LoadedTransport: programs, listeners, ports     ── one MessagePort for each application of another thread
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import { type StreamMemory, streamMemory } from '../mem/streams.js';
import type { AddressOptions } from '../responder/index.js';
import { StreamApps, streamCounters } from '../streams/stream_apps.js';
import type { ListenPlace, LoadedTransport, Made, Transport, TransportView } from '../transports/contract.js';
import { SocketError } from '../transports/errno.js';
import { type ConnectionOptions, tcp } from '../transports/tcp/index.js';
import { formatIp, parseIp } from '../wire/address.js';
import {
  type Answer,
  type Ask,
  type Asked,
  type ConnectOptions,
  errorTold,
  type ListenOptions,
} from './burst/calls.js';
import type { Connection } from './burst/connection.js';
import type { Listener } from './burst/listener.js';
import { type Rest, restOfThreads, Sockets, type StackEvent } from './burst/sockets.js';
import type { StackTicket } from './burst/stack_app.js';
import { Network, type NetworkOptions, type PortNetwork, type StackRoute } from './network.js';
import { InlineRest } from './rest.js';
import { SocketLoop } from './sockets/loop.js';
import { StackNet } from './sockets/net.js';
import type { OnConnection, Server, ServerOptions } from './sockets/server.js';
import type { Socket } from './sockets/socket.js';

export type { NetworkOptions, PortNetwork, StackRoute };

export interface StackOptions<O = ConnectionOptions> extends NetworkOptions {
  /** With the option `streams`. It may be running already. */
  engine: Engine;
  /** Default `tcp()`. */
  transport?: Transport<O>;
}

/** Bytes of stream memory, and how often there was too little. */
export interface StackMemory extends StreamMemory {
  small: number;
  refused: number;
}

const BACKLOG = 128;
/** How long `close` waits for lanes to abort what there is, ms. */
const CLOSE_MS = 5000;
/** Longest time between two looks of an inline engine's sockets at whether the stack is closed, ms. */
const INLINE_REST_MS = 100;

/** An application of another thread. */
interface Remote {
  number: number;
  port: MessagePort;
  /** Of the ticket: closed for good when the ticket went nowhere. */
  given: MessagePort;
  /** Slots of its listeners. */
  slots: Set<number>;
}

export class Stack<O extends object = ConnectionOptions> {
  readonly #rest: Rest;
  readonly #sockets: Sockets<O>;
  readonly #remotes = new Map<number, Remote>();
  /** Applications that are no more, whose connections may still deliver. */
  readonly #former = new Set<number>();
  readonly #unfollow: () => void;
  #net: StackNet | undefined;
  /** `close` was called. */
  #ended = false;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly transport: LoadedTransport<O>,
    readonly apps: StreamApps,
  ) {
    this.#rest = engine.inline ? new InlineRest(engine) : restOfThreads;
    this.#unfollow = engine.onLaneLost(lane => transport.laneLost(lane));
    const view = transport.transport.view(engine.arena, transport.shared);
    this.#sockets = new Sockets<O>(apps.open(), view, this.#rest, slot => transport.unlisten(slot));
  }

  /**
   * Makes a host of an engine.
   * @throws EtherloomError ERR_STACK_OPTIONS, ERR_STREAMS_NONE for an engine without streams, ERR_PORT_UNKNOWN,
   * ERR_RESPONDER, ERR_ADDRESS, ERR_ROUTE, ERR_TCP_OPTIONS, ERR_ARENA_FULL
   */
  static async create<O extends object = ConnectionOptions>(options: StackOptions<O>): Promise<Stack<O>> {
    if (typeof options !== 'object' || options === null || typeof options.engine?.attach !== 'function')
      throw new EtherloomError('ERR_STACK_OPTIONS', 'a stack without an engine', {
        expected: '{ engine, ports }',
      });
    const { engine, transport = tcp() as unknown as Transport<O> } = options;
    const apps = StreamApps.of(engine);
    const network = new Network(engine, options);
    let loaded: LoadedTransport<O> | undefined;
    try {
      loaded = await transport.load({ engine, apps, table: network.table });
      for (const port of network.ports) loaded.attach(port);
      for (const address of network.addresses) loaded.own(address, true);
      return new Stack<O>(engine, network, loaded, apps);
    } catch (error) {
      network.close();
      await loaded?.close();
      throw error;
    }
  }

  // ── connecting and listening ──────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes connections at a port. @throws SocketError EADDRINUSE, EADDRNOTAVAIL; EtherloomError ERR_STACK_OPTIONS,
   * ERR_STACK_LISTENERS, ERR_TCP_OPTIONS, ERR_ADDRESS
   */
  listen(options: ListenOptions<O>): Listener {
    return this.#sockets.listening(this.#listen(options, this.#sockets.number));
  }

  #listen(options: ListenOptions<O>, app: number): ListenPlace {
    this.#open();
    const {
      port = 0,
      address,
      backlog = BACKLOG,
      options: more = {} as O,
    } = checked(options, 'listen', LISTEN);
    checkPort('port', port, 0);
    const own = address === undefined ? undefined : formatIp(parseIp(address));
    if (own !== undefined && !this.network.has(own))
      throw new SocketError('EADDRNOTAVAIL', `${own} is no address of this stack`, {
        expected: this.network.addresses.join(', '),
      });
    return this.transport.listen({ app, address: own, port, backlog, options: more });
  }

  /**
   * Begins to connect; events tell whether it came to be: `connected`, or `closed` and why.
   * @throws SocketError ENETUNREACH, EHOSTUNREACH, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENETDOWN when the lane that is to have
   * it was given up; EtherloomError ERR_STACK_OPTIONS, ERR_TCP_OPTIONS, ERR_ADDRESS
   */
  connect(options: ConnectOptions<O>): Connection<O> {
    const made = this.#connect(options, this.#sockets.number);
    return this.#sockets.connecting(made.id, made, options.data);
  }

  #connect(options: ConnectOptions<O>, app: number): Made {
    this.#open();
    const {
      host,
      port,
      localAddress,
      localPort = 0,
      lane,
      options: more = {} as O,
    } = checked(options, 'connect', CONNECT);
    checkPort('port', port, 1);
    checkPort('localPort', localPort, 0);
    if (typeof host !== 'string')
      throw new EtherloomError('ERR_STACK_OPTIONS', `host: ${String(host)}`, { expected: 'an IP address' });
    const { laneCount } = this.engine;
    if (lane !== undefined && (!Number.isInteger(lane) || lane < 0 || lane >= laneCount))
      throw new EtherloomError('ERR_STACK_OPTIONS', `lane: ${lane}`, {
        expected: `a whole number from 0 to ${laneCount - 1}`,
      });
    const way = this.network.wayTo(host, localAddress);
    const remote = { address: formatIp(parseIp(host)), port };
    return this.transport.connect({
      ...{ app, remote, lane, options: more, ifindex: way.port.ifindex },
      local: { address: way.address, port: localPort },
    });
  }

  #open(): void {
    if (this.#ended) throw new EtherloomError('ERR_STACK_CLOSED', 'the stack is closed');
    if (this.engine.state === 'stopped')
      throw new EtherloomError('ERR_STACK_CLOSED', 'the engine of the stack was stopped', {
        expected: 'stack.close() first, then engine.stop()',
      });
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes news of at most `max` connections of this thread into `events` and returns how many; what was written and asked
   * goes out first. The objects in `events` are used again. An inline engine makes one step.
   * @throws EtherloomError ERR_STACK_CLOSED when stack or engine are no more: a loop of polls ends so
   */
  poll(events: StackEvent<O>[], max?: number): number {
    this.#open();
    return this.#sockets.poll(events, max);
  }

  /** Publishes what was written and asked, without looking for news. */
  flush(): void {
    this.#sockets.flush();
  }

  /**
   * Resolves when there is news, or after `ms`: true or false. Does not keep the process alive by itself. With an inline
   * engine it is what lets time pass: steps, and jumps in virtual time. @throws EtherloomError ERR_STACK_CLOSED
   */
  async wait(ms?: number): Promise<boolean> {
    this.#open();
    return this.#sockets.wait(ms);
  }

  /** The same for a program that does nothing else meanwhile. @throws EtherloomError ERR_STACK_CLOSED */
  waitSync(ms?: number): boolean {
    this.#open();
    return this.#sockets.waitSync(ms);
  }

  /** Connections of this thread that are not closed. */
  get connections(): IterableIterator<Connection<O>> {
    return this.#sockets.connections;
  }

  /** Listeners of this thread. */
  get listeners(): IterableIterator<Listener> {
    return this.#sockets.listeners;
  }

  /**
   * What the transport counted; TCP has the names of Linux's MIB. What never happened is not there.
   * @throws EtherloomError ERR_STACK_CLOSED
   */
  counters(): Record<string, number> {
    if (this.#ended) throw new EtherloomError('ERR_STACK_CLOSED', 'counters of a stack that is closed');
    return this.transport.counters();
  }

  /**
   * Where the memory of stream rings is, of all stacks of the engine, and what was too little: `small` rings that are
   * smaller than wanted, streams that were `refused`.
   */
  memory(): StackMemory {
    const { arena } = this.engine;
    const out = { ...streamMemory(arena), small: 0, refused: 0 };
    for (let lane = 0; lane <= this.engine.laneCount; lane++) {
      const { small, refused } = streamCounters(arena, lane);
      out.small += small;
      out.refused += refused;
    }
    return out;
  }

  // ── sockets like Node's ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * What Node's `net` is, on this stack: `createServer`, `connect`, `Socket`, and agents for HTTP. Its sockets live in the
   * event loop, as an application of their own: `poll` knows nothing of them.
   * @throws EtherloomError ERR_STACK_VIRTUAL for an engine in virtual time, ERR_APPS_FULL, ERR_ARENA_FULL, ERR_STACK_CLOSED
   */
  get net(): StackNet {
    return (this.#net ??= this.#makeNet());
  }

  #makeNet(): StackNet {
    this.#open();
    const { engine, apps, transport } = this;
    if (engine.virtual)
      throw new EtherloomError('ERR_STACK_VIRTUAL', 'sockets of an engine in virtual time', {
        expected: "clock: 'real', as that of timers and of other sockets; or poll() and wait()",
      });
    const app = apps.open();
    const { number } = app;
    const view = this.#sockets.view as unknown as TransportView<ConnectionOptions>;
    const sockets = new Sockets(app, view, this.#rest, slot => transport.unlisten(slot));
    const calls = {
      connect: (options: ConnectOptions<ConnectionOptions>) => {
        const made = this.#connect(options as unknown as ConnectOptions<O>, number);
        return sockets.connecting(made.id, made, undefined);
      },
      listen: (options: ListenOptions<ConnectionOptions>) =>
        sockets.listening(this.#listen(options as unknown as ListenOptions<O>, number)),
    };
    return new StackNet(new SocketLoop(sockets, calls, engine.inline ? INLINE_REST_MS : undefined));
  }

  /** `net.createServer` of this stack. @throws as `net`; TypeError ERR_INVALID_ARG_TYPE */
  createServer(options?: ServerOptions | OnConnection, onConnection?: OnConnection): Server {
    return this.net.createServer(options, onConnection);
  }

  /** `net.createConnection` of this stack: a Socket. `connect` is the burst API's. @throws as `net`; TypeError, RangeError */
  createConnection(...args: unknown[]): Socket {
    return this.net.connect(...args);
  }

  // ── applications of other threads ─────────────────────────────────────────────────────────────────────────────

  /**
   * Opens an application for another thread: post the ticket there, `worker.postMessage(ticket, [ticket.port])`, for
   * StackApp.attach. When that thread ends its connections are aborted and its listeners close.
   * @throws EtherloomError ERR_APPS_FULL, ERR_ARENA_FULL, ERR_STACK_CLOSED
   */
  openApp(): StackTicket {
    this.#open();
    const { number, life } = this.apps.open();
    this.#former.delete(number);
    const { port1, port2 } = new MessageChannel();
    const remote = { number, port: port1, given: port2, slots: new Set<number>() };
    this.#remotes.set(number, remote);
    // Whoever has the other end may use what is of that number until that end is gone.
    this.apps.hold(number);
    port1.on('message', (ask: unknown) => this.#answer(remote, ask));
    port1.on('close', () => {
      this.#end(remote);
      this.apps.hold(number, false);
    });
    port1.unref();
    return {
      memory: this.engine.arena.memory,
      number,
      life,
      transport: this.transport.transport.name,
      shared: this.transport.shared,
      port: port2,
    };
  }

  /** Anything may come by a port; what is no question is not answered. */
  #answer(remote: Remote, ask: unknown): void {
    if (this.#remotes.get(remote.number) !== remote || typeof ask !== 'object' || ask === null) return;
    const { n, asked } = ask as Ask;
    const answer: Answer = { n };
    try {
      const result = this.#do(remote.number, remote, asked);
      if (result) answer.result = result;
    } catch (error) {
      answer.error = errorTold(error);
    }
    if (n !== 0) remote.port.postMessage(answer);
  }

  #do(number: number, remote: Remote, asked: Asked): ListenPlace | Made | undefined {
    if (asked.call === 'connect') return this.#connect(asked.options as ConnectOptions<O>, number);
    if (asked.call === 'listen') {
      const place = this.#listen(asked.options as ListenOptions<O>, number);
      remote.slots.add(place.slot);
      return place;
    }
    if (asked.call !== 'unlisten')
      throw new EtherloomError('ERR_STACK_CALL', `call: ${String((asked as Asked).call)}`, {
        expected: 'connect, listen, unlisten',
      });
    // Its own only.
    if (remote.slots.delete(asked.slot)) this.transport.unlisten(asked.slot);
    return undefined;
  }

  /**
   * Ends an application of another thread: its connections are aborted, its listeners close. Those that it had closed
   * still deliver what was written. Its thread may live on: what it calls throws ERR_STACK_CLOSED, and its number is
   * given again when the thread has heard of it or ended. Whether there was such an application.
   */
  closeApp(number: number): boolean {
    const remote = this.#remotes.get(number);
    return remote !== undefined && this.#end(remote);
  }

  #end(remote: Remote): boolean {
    const { number, port, given } = remote;
    if (this.#remotes.get(number) !== remote) return false;
    this.#remotes.delete(number);
    for (const slot of remote.slots) this.transport.unlisten(slot, true);
    this.apps.close(number);
    this.#former.add(number);
    // The other side closes its end when it hears of it. One that was never posted nobody hears of.
    port.postMessage({ n: 0, ended: true } satisfies Answer);
    given.close();
    return true;
  }

  // ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives a port of the stack one more address. @throws EtherloomError ERR_ADDRESS, ERR_RESPONDER, ERR_STACK_PORT */
  addAddress(port: string | number, address: string | AddressOptions): void {
    this.#open();
    this.transport.own(this.network.addAddress(port, address), true);
  }

  /** Takes an address away: new connections find nobody there any more, those that there are go on. Whether it was there. */
  removeAddress(port: string | number, address: string): boolean {
    const was = this.network.removeAddress(port, address);
    if (was) this.transport.own(formatIp(parseIp(address.split('/')[0])), false);
    return was;
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Aborts every connection, closes listeners and applications, and takes programs, maps, routes and responders back. The
   * engine goes on. @throws EtherloomError ERR_STACK_CLOSE when lanes do not let go of connections in 5 s: what they may
   * still use stays, and another `close` goes on from there; after `engine.stop()` nobody uses anything
   */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch(error => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { apps } = this;
    if (!this.#ended) {
      this.#ended = true;
      this.#sockets.abandon();
      this.#net?.loop.close();
      for (const remote of [...this.#remotes.values()]) this.#end(remote);
      for (const number of this.#former) apps.abort(number);
      for (const number of this.#own) apps.close(number, true);
    }
    await this.#drain([...this.#own, ...this.#former]);
    this.#unfollow();
    await this.transport.close();
    this.network.close();
  }

  /** Applications of this thread. */
  get #own(): number[] {
    return [this.#sockets, this.#net?.loop.sockets].flatMap(sockets => sockets?.number ?? []);
  }

  /** Lets the lanes abort what those applications had. */
  async #drain(numbers: readonly number[]): Promise<void> {
    const until = performance.now() + CLOSE_MS;
    // A number that was given again is another stack's by now.
    const left = (): number =>
      numbers.reduce((sum, n) => sum + (this.apps.isOpen(n) ? 0 : this.apps.streamsOf(n)), 0);
    // A stopped engine has no lanes: nobody will touch what they had.
    while (this.engine.state === 'running' && left() > 0) {
      if (performance.now() > until)
        throw new EtherloomError(
          'ERR_STACK_CLOSE',
          `${left()} connections are still open after ${CLOSE_MS} ms`,
          {
            expected: 'lanes that run',
          },
        );
      if (this.engine.inline) this.engine.run({ untilNs: this.engine.now() });
      await new Promise(done => setTimeout(done, this.engine.inline ? 0 : 1));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Members of ListenOptions and ConnectOptions. */
const LISTEN: readonly string[] = ['port', 'address', 'backlog', 'options'];
const CONNECT: readonly string[] = ['host', 'port', 'localAddress', 'localPort', 'lane', 'data', 'options'];

function checked<T extends object>(options: T, what: string, known: readonly string[]): T {
  if (typeof options !== 'object' || options === null)
    throw new EtherloomError('ERR_STACK_OPTIONS', `${what}: ${String(options)}`, {
      expected: 'an object of options',
    });
  const other = Object.keys(options).find(name => !known.includes(name));
  if (other !== undefined)
    throw new EtherloomError('ERR_STACK_OPTIONS', `${what}: ${other}`, {
      expected: `${known.join(', ')}; what the transport is told stands in options: { ${other} }`,
    });
  return options;
}

function checkPort(name: string, port: unknown, least: number): void {
  if (Number.isInteger(port) && (port as number) >= least && (port as number) <= 65535) return;
  throw new EtherloomError('ERR_STACK_OPTIONS', `${name}: ${String(port)}`, {
    expected: `a whole number from ${least} to 65535`,
  });
}
