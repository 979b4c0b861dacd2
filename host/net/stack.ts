/**
 * A stack: a host of the network inside an engine. It has addresses on ports, a transport whose programs run in the lanes,
 * and applications that own the connections: the thread that made it is one, others are opened by `openApp`.
 *
 *   Stack ── Network: addresses, routes, responders          ── net, createServer, connect: sockets like Node's
 *        ├── Entrance: which transport a packet is for       ── burst: connections of this thread in batches
 *        ├── LoadedTransport: programs, listeners, ports     ── RemoteApps: a MessagePort for each of another thread
 *        ├── LoadedDatagrams: the same for sockets           ── InLane: applications inside the lanes
 *        ├── StackTransports: these, and what `load` adds
 *        └── StackRequests, StackDatagrams: connect, listen, bind, checked
 */
import type { AgentOptions } from 'node:http';
import type { AgentOptions as HttpsAgentOptions } from 'node:https';
import type { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import { StreamRequest } from '../layout/layout.gen.js';
import { type StreamMemory, streamMemory } from '../mem/streams.js';
import type { AddressOptions } from '../responder/index.js';
import type { Rpc, RpcOptions } from '../rpc/rpc.js';
import { StreamApps, streamCounters } from '../streams/stream_apps.js';
import type {
  AnyTransport,
  LoadedAny,
  LoadedTransport,
  Transport,
  TransportView,
} from '../transports/contract.js';
import type { DatagramTransport, LoadedDatagrams } from '../transports/datagrams.js';
import { Entrance } from '../transports/entrance.js';
import type { LoadedMessages, MessageTransport } from '../transports/messages.js';
import { type ConnectionOptions, tcp } from '../transports/tcp/index.js';
import { udp } from '../transports/udp/index.js';
import { formatIp, parseIp } from '../wire/address.js';
import { StackBindings } from './bindings.js';
import { Burst, type Requests } from './burst/burst.js';
import type { ConnectOptions, ListenOptions } from './burst/calls.js';
import { DatagramSet } from './burst/datagram_set.js';
import { type Rest, restOfThreads, Sockets } from './burst/sockets.js';
import type { StackTicket } from './burst/stack_app.js';
import { StackDatagrams } from './datagram_requests.js';
import type { StackDgram } from './datagrams/dgram.js';
import type { OnMessage } from './datagrams/inbox.js';
import type { SocketOptions as DgramOptions, SocketType } from './datagrams/options.js';
import type { Socket as DgramSocket } from './datagrams/socket.js';
import { InLane, type InLaneOptions } from './in_lane/in_lane.js';
import { StackMessages } from './message_requests.js';
import { Network, type NetworkOptions, type PortNetwork, type StackRoute } from './network.js';
import { RemoteApps } from './remote_apps.js';
import { StackRequests } from './requests.js';
import { InlineRest } from './rest.js';
import { StackRpcs } from './rpcs.js';
import type { Connector, ConnectorOptions, StackAgent, StackSecureAgent } from './sockets/agents.js';
import { SocketLoop } from './sockets/loop.js';
import { StackNet } from './sockets/net.js';
import type { Served } from './sockets/serve.js';
import type { OnConnection, Server, ServerOptions } from './sockets/server.js';
import type { Socket } from './sockets/socket.js';
import { StackTransport } from './stack_transport.js';
import { StackTransports } from './transports.js';

export type { NetworkOptions, PortNetwork, StackRoute };

export interface StackOptions<O = ConnectionOptions> extends NetworkOptions {
  /** With the option `streams`. It may be running already. */
  engine: Engine;
  /** What it is called in `engine.transports`, as `name/tcp`. Default: the number of its table of routes. */
  name?: string;
  /** Of connections. Default `tcp()`. */
  transport?: Transport<O>;
  /** Of datagrams. Default `udp()`; `false`: the stack has none, and UDP is nobody's. */
  datagrams?: DatagramTransport | false;
  /** Of messages: `homa()`. Default: none. */
  messages?: MessageTransport;
}

/** Bytes of stream memory, and how often there was too little. */
export interface StackMemory extends StreamMemory {
  small: number;
  grown: number;
  refused: number;
}

/** How long `close` waits for lanes to abort what there is, ms. */
const CLOSE_MS = 5000;
/** How long threads that had an application have to hear that it is over, ms. */
const HEARD_MS = 50;
/** How long `close` waits for peers to acknowledge what closed connections had written, ms. */
const LINGER_MS = 1000;
const MOST_LINGER_MS = 600_000;
const NS_PER_MS = 1_000_000n;
/** Longest time between two looks of an inline engine's sockets at whether the stack is closed, ms. */
const INLINE_REST_MS = 100;

export class Stack<O extends object = ConnectionOptions> {
  /** Connections of this thread in batches: for many at a time, without copies. */
  readonly burst: Burst<O>;
  readonly #rest: Rest;
  readonly #sockets: Sockets<O>;
  readonly #requests: StackRequests<O>;
  readonly #bindings = new StackBindings();
  readonly #datagrams: DatagramSet;
  readonly #remotes: RemoteApps<O>;
  readonly #inLanes = new Set<InLane<O>>();
  readonly #rpcs: StackRpcs<O>;
  readonly #unfollow: (() => void)[];
  #net: StackNet | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly entrance: Entrance,
    readonly transports: StackTransports,
    readonly transport: LoadedTransport<O>,
    /** Transport of datagrams, if there is one. */
    readonly datagrams: LoadedDatagrams | undefined,
    /** Transport of messages, if there is one. */
    readonly messages: LoadedMessages | undefined,
    readonly apps: StreamApps,
  ) {
    this.#rest = engine.inline ? new InlineRest(engine) : restOfThreads;
    const view = transport.transport.view(engine.arena, transport.shared);
    this.#sockets = new Sockets<O>(apps.open(), view, this.#rest, slot => transport.unlisten(slot));
    this.#requests = new StackRequests<O>(engine, network, transport);
    if (datagrams) this.#bindings.add(this.#binding(datagrams), true);
    this.#rpcs = new StackRpcs<O>(engine, apps, transport, this.#requests, network, messages, this.#bindings);
    const open = (): void => this.#requests.open();
    const calls = messages && new StackMessages(engine, network, messages, open);
    this.#remotes = new RemoteApps<O>(apps, transport, this.#requests, this.#bindings, calls);
    this.#datagrams = this.#datagramsOf(this.#sockets);
    this.burst = new Burst<O>(this.#sockets, this.#requests, this.#datagrams, engine.alive);
    engine.inhabit(true);
    // Last: one that could not be made is told nothing.
    this.#unfollow = [
      engine.onLaneLost(lane => {
        for (const t of transports.all) t.laneLost(lane);
      }),
      // Sockets like Node's, here and in other threads, are not to wait for lanes that are no more.
      engine.onStopped(() => {
        this.#net?.loop.close();
        this.#remotes.closeAll();
        this.#rpcs.stopped();
      }),
    ];
  }

  /** Who binds sockets of that transport. */
  #binding(datagrams: LoadedDatagrams): StackDatagrams {
    return new StackDatagrams(this.engine, this.network, datagrams, () => this.#requests.open());
  }

  /** Sockets of datagrams for the application that has these connections. */
  #datagramsOf<P>(sockets: Sockets<P>): DatagramSet {
    const datagrams = new DatagramSet(sockets.app);
    const { usual } = this.#bindings;
    if (usual) datagrams.add(usual.name, usual, true);
    sockets.datagrams = datagrams;
    return datagrams;
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
    const { engine, transport = tcp() as unknown as Transport<O>, datagrams = udp() } = options;
    const apps = StreamApps.of(engine);
    const network = new Network(engine, options);
    let entrance: Entrance | undefined;
    let transports: StackTransports | undefined;
    try {
      const env = { engine, apps, table: network.table, stack: options.name };
      entrance = await Entrance.load(engine);
      transports = new StackTransports(env, network, entrance);
      const streams = await transports.load(transport);
      const sockets = datagrams ? await transports.load(datagrams) : undefined;
      const messages = options.messages && (await transports.load(options.messages));
      for (const port of network.ports) entrance.attach(port);
      return new Stack<O>(engine, network, entrance, transports, streams, sockets, messages, apps);
    } catch (error) {
      network.close();
      await entrance?.close();
      await transports?.close();
      throw error;
    }
  }

  /**
   * What the transport counted; TCP has the names of Linux's MIB. What never happened is not there.
   * @throws EtherloomError ERR_STACK_CLOSED
   */
  counters(of: 'connections' | 'datagrams' | 'messages' = 'connections'): Record<string, number> {
    if (this.#requests.ended)
      throw new EtherloomError('ERR_STACK_CLOSED', 'counters of a stack that is closed');
    const transports = { connections: this.transport, datagrams: this.datagrams, messages: this.messages };
    return transports[of]?.counters() ?? {};
  }

  /**
   * Where the memory of stream rings is, of all stacks of the engine; how often rings have `grown`; and what was too little:
   * times that a ring was made `small`, or did not grow, and streams that were `refused`.
   */
  memory(): StackMemory {
    const { arena } = this.engine;
    const out = { ...streamMemory(arena), small: 0, grown: 0, refused: 0 };
    for (let lane = 0; lane <= this.engine.laneCount; lane++) {
      const { small, grown, refused } = streamCounters(arena, lane);
      out.small += small;
      out.grown += grown;
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
    this.#requests.open();
    const { engine, apps, transport } = this;
    if (engine.virtual)
      throw new EtherloomError('ERR_STACK_VIRTUAL', 'sockets of an engine in virtual time', {
        expected: "clock: 'real', as that of timers and of other sockets; or stack.burst",
      });
    const app = apps.open();
    const view = this.#sockets.view as unknown as TransportView<ConnectionOptions>;
    const rest = engine.inline ? new InlineRest(engine, false) : restOfThreads;
    const sockets = new Sockets(app, view, rest, slot => transport.unlisten(slot));
    const requests = this.#requests as unknown as Requests<ConnectionOptions>;
    const calls = {
      connect: (options: ConnectOptions<ConnectionOptions>) => {
        const made = requests.connect(options, app.number);
        return sockets.connecting(made.id, made, undefined);
      },
      listen: (options: ListenOptions<ConnectionOptions>) =>
        sockets.listening(requests.listen(options, app.number)),
      end: () => {
        sockets.abandon(false);
        return undefined;
      },
    };
    const loop = new SocketLoop(sockets, calls, engine.inline ? INLINE_REST_MS : undefined);
    return new StackNet(loop, this.#datagramsOf(sockets).usual);
  }

  /**
   * What Node's `dgram` is, on this stack: `createSocket`, `Socket`. Its sockets live in the event loop with those of `net`.
   * @throws as `net`; EtherloomError ERR_STACK_DATAGRAMS for a stack without a transport of datagrams
   */
  get dgram(): StackDgram {
    return this.net.dgram;
  }

  /** `dgram.createSocket` of this stack. @throws as `dgram`; TypeError ERR_SOCKET_BAD_TYPE, ERR_INVALID_ARG_TYPE */
  createSocket(type: SocketType | DgramOptions, onMessage?: OnMessage): DgramSocket {
    return this.dgram.createSocket(type, onMessage);
  }

  /** `net.createServer` of this stack. @throws as `net`; TypeError ERR_INVALID_ARG_TYPE */
  createServer(options?: ServerOptions | OnConnection, onConnection?: OnConnection): Server {
    return this.net.createServer(options, onConnection);
  }

  /** `net.connect` of this stack: a Socket, which is a Duplex. @throws as `net`; TypeError, RangeError */
  connect(...args: unknown[]): Socket {
    return this.net.connect(...args);
  }

  /** `net.createConnection`: the same. */
  createConnection(...args: unknown[]): Socket {
    return this.net.connect(...args);
  }

  /** For `http.request({ agent })`. @throws as `net` */
  agent(options?: AgentOptions): StackAgent {
    return this.net.agent(options);
  }

  /** For `https.request({ agent })`. @throws as `net` */
  secureAgent(options?: HttpsAgentOptions): StackSecureAgent {
    return this.net.secureAgent(options);
  }

  /** For undici: `new Agent({ connect: stack.connector() })`. @throws as `net` */
  connector(options?: ConnectorOptions): Connector {
    return this.net.connector(options);
  }

  /**
   * Lets a server of `http`, `https`, `http2` or `tls` listen at this stack, and calls back when it does:
   * `stack.serve(http.createServer(app), 80)`. What it returns is the server of sockets below; closing either closes both.
   * @throws as `net`, and as Server.listen
   */
  serve(server: Served, ...args: unknown[]): Server {
    return this.net.serve(server, ...args);
  }

  // ── remote procedure calls ────────────────────────────────────────────────────────────────────────────────────

  /**
   * Calls and servers of calls, the same over any carrier: `rpc.call`, `rpc.serve`, `rpc.use`; docs/rpc.md.
   * @throws RpcError ERR_RPC_NO_CARRIER, EtherloomError ERR_STACK_CLOSED
   */
  async rpc(options: RpcOptions = {}): Promise<Rpc> {
    this.#requests.open();
    return this.#rpcs.make(options);
  }

  // ── applications of other threads ─────────────────────────────────────────────────────────────────────────────

  /**
   * Opens an application for another thread: post the ticket there, `worker.postMessage(ticket, [ticket.port])`, for
   * StackApp.attach. When that thread ends its connections are aborted and its listeners close.
   * @throws EtherloomError ERR_APPS_FULL, ERR_ARENA_FULL, ERR_STACK_CLOSED
   */
  openApp(): StackTicket {
    this.#requests.open();
    return this.#remotes.open();
  }

  /**
   * Ends an application of another thread: its connections are aborted, its listeners close. Those that it had closed
   * still deliver what was written. Its thread may live on: what it calls throws ERR_STACK_CLOSED, and its number is
   * given again when the thread has heard of it or ended. Whether there was such an application.
   */
  closeApp(number: number): boolean {
    return this.#remotes.close(number);
  }

  // ── applications inside lanes ─────────────────────────────────────────────────────────────────────────────────

  /**
   * Opens an application inside the lanes: a module that each of them loads, and whose connections never leave its thread.
   * Resolves when it was called in each. @throws EtherloomError ERR_IN_LANE when the module cannot be loaded or throws;
   * ERR_STACK_OPTIONS, ERR_STACK_CLOSED, ERR_APPS_FULL; ERR_ENGINE_STATE for an engine that is not started, or inline
   */
  async openInLane(options: InLaneOptions): Promise<InLane<O>> {
    this.#requests.open();
    const { engine, apps, transport, network, messages } = this;
    const home = { engine, apps, transport, requests: this.#requests, network, messages };
    return InLane.open<O>(home, options, inLane => this.#inLanes.add(inLane));
  }

  // ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives a port of the stack one more address. @throws EtherloomError ERR_ADDRESS, ERR_RESPONDER, ERR_STACK_PORT */
  addAddress(port: string | number, address: string | AddressOptions): void {
    this.#requests.open();
    const own = this.network.addAddress(port, address);
    for (const t of this.transports.all) t.own(own, true);
  }

  /** Takes an address away: new connections find nobody there any more, those that there are go on. Whether it was there. */
  removeAddress(port: string | number, address: string): boolean {
    const was = this.network.removeAddress(port, address);
    const own = formatIp(parseIp(address.split('/')[0]));
    if (was) for (const t of this.transports.all) t.own(own, false);
    return was;
  }

  // ── more transports ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Loads one more transport, beside those that the stack was made with, while these go on. One of datagrams
   * (`datagramTransport`, `udp`) has sockets from then on: `burst.bind({ transport: its name })`, here and in other threads.
   * What is returned takes it out again.
   * @throws EtherloomError ERR_STACK_TRANSPORT when the stack has one of that name or protocol, or for a second one of
   * connections; ERR_STACK_CLOSED; ERR_ARENA_FULL when the engine's mapBytes do not do; VerifierError for its programs
   */
  async load<L extends LoadedAny>(transport: AnyTransport<L>): Promise<StackTransport<L>> {
    this.#requests.open();
    const { name, protocol } = transport;
    const loaded: LoadedAny = await this.transports.load(transport);
    if (isOf<LoadedTransport<O>>(loaded, 'listen')) {
      await this.transports.remove(name);
      throw new EtherloomError('ERR_STACK_TRANSPORT', `"${name}" is a transport of connections`, {
        expected: 'Stack.create({ transport }) for the one that a stack has of these',
      });
    }
    if (isOf<LoadedDatagrams>(loaded, 'bind')) {
      const binding = this.#binding(loaded);
      this.#bindings.add(binding);
      this.#datagrams.add(name, binding);
    }
    return new StackTransport<L>(name, protocol, loaded as L, ms => this.#unload(name, protocol, ms));
  }

  /** Takes one out that `load` put in. With the stack it goes itself. */
  async #unload(name: string, protocol: number, lingerMs = LINGER_MS): Promise<void> {
    checkLinger(lingerMs);
    if (this.#closing) return this.#closing;
    if (this.#rpcs.over(name))
      throw new EtherloomError('ERR_STACK_TRANSPORT', `"${name}" carries calls of an RPC of this stack`, {
        expected: 'the end of that RPC first: rpc.close()',
      });
    const binding = this.#bindings.end(name);
    if (binding) this.#remotes.unbindAll(binding);
    const datagrams = this.#datagrams.has(name);
    datagrams?.close();
    const numbers = (): number[] => [
      ...[...this.#own, ...this.#remotes.numbers, ...this.#remotes.former],
      // Sockets of RPCs that were closed a moment ago.
      ...this.#rpcs.former,
    ];
    const isLeft = (): boolean => numbers().some(n => this.apps.hasOpen(n, protocol));
    await this.#linger(() => datagrams?.settle() || isLeft(), lingerMs, false);
    datagrams?.abandon();
    this.#sockets.flush();
    for (const n of numbers()) this.apps.ask(n, protocol, StreamRequest.ABORT);
    if (!(await this.#falls(() => Number(isLeft()), CLOSE_MS)))
      throw new EtherloomError(
        'ERR_STACK_CLOSE',
        `streams of "${name}" are still open after ${CLOSE_MS} ms`,
        { expected: 'lanes that run' },
      );
    this.#datagrams.remove(name);
    await this.transports.remove(name);
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Aborts every connection that is open, closes listeners and applications, waits at most `lingerMs` (default 1000, of the
   * engine's time) until peers have what closed connections had written, and takes programs, maps, routes and responders
   * back. The engine goes on. @throws EtherloomError ERR_STACK_CLOSE when lanes do not let go of connections in 5 s: what
   * they may still use stays, and another `close` goes on from there; after `engine.stop()` nobody uses anything
   */
  close({ lingerMs = LINGER_MS }: { lingerMs?: number } = {}): Promise<void> {
    try {
      checkLinger(lingerMs);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closing ??= this.#close(lingerMs).catch(error => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async #close(lingerMs: number): Promise<void> {
    const { apps } = this;
    await Promise.all([...this.#inLanes].map(inLane => inLane.close()));
    const inLanes = [...this.#inLanes].flatMap(inLane => inLane.numbers);
    await this.#rpcs.close();
    const former = [...this.#rpcs.former];
    if (!this.#requests.ended) {
      this.#requests.end();
      this.#datagrams.abandon();
      this.#sockets.abandon(false);
      this.#net?.loop.close();
      this.#remotes.closeAll();
      const own = this.#own;
      const numbers = [...own, ...this.#remotes.former, ...former];
      const { view } = this.#sockets;
      const isDelivering = (): boolean =>
        this.#ownSockets.some(s => s.isLeaving) ||
        numbers.some(n => apps.someStream(n, id => view.delivering(id)));
      await this.#linger(isDelivering, lingerMs);
      for (const sockets of this.#ownSockets) sockets.abandon();
      for (const number of own) apps.close(number, true);
      for (const number of [...this.#remotes.former, ...former, ...inLanes]) apps.abort(number);
    }
    await this.#drain([...this.#own, ...this.#remotes.former, ...former, ...inLanes]);
    for (const unfollow of this.#unfollow) unfollow();
    this.engine.inhabit(false);
    await this.entrance.close();
    await this.transports.close();
    this.network.close();
  }

  get #ownSockets(): Sockets<never>[] {
    return [this.#sockets, this.#net?.loop.sockets].flatMap(s => (s ? [s as unknown as Sockets<never>] : []));
  }

  /** Applications of this thread. */
  get #own(): number[] {
    return this.#ownSockets.map(({ number }) => number);
  }

  /** Lets the lanes deliver what was written before connections and sockets were closed. @param alone nobody else wants news */
  async #linger(isDelivering: () => boolean, ms: number, alone = true): Promise<void> {
    const { engine } = this;
    const end = engine.now() + BigInt(Math.round(ms)) * NS_PER_MS;
    while (engine.state === 'running' && isDelivering() && engine.now() < end) {
      // The first bytes of a connection may still wait for its ring.
      if (alone) for (const sockets of this.#ownSockets) sockets.lead();
      if (engine.inline) engine.run({ untilNs: engine.now() + (engine.virtual ? NS_PER_MS : 0n) });
      await new Promise(done => setTimeout(done, engine.virtual ? 0 : 1));
    }
  }

  /** Lets the lanes abort what those applications had. */
  async #drain(numbers: readonly number[]): Promise<void> {
    const { apps } = this;
    // A number that was given again is another stack's by now.
    const sum = (of: (n: number) => number): number =>
      numbers.reduce((all, n) => all + (apps.isOpen(n) ? 0 : of(n)), 0);
    const left = (): number => sum(n => apps.streamsInLanes(n));
    if (!(await this.#falls(left, CLOSE_MS)))
      throw new EtherloomError(
        'ERR_STACK_CLOSE',
        `${left()} connections are still open after ${CLOSE_MS} ms`,
        { expected: 'lanes that run' },
      );
    // Threads that hear of their end let go of what they knew; one that does not may keep that.
    await this.#falls(() => sum(n => apps.streamsOf(n)), HEARD_MS);
  }

  /** Lets lanes work until `left` is 0. False: it was not in that time. */
  async #falls(left: () => number, ms: number): Promise<boolean> {
    const { engine } = this;
    const until = performance.now() + ms;
    // A stopped engine has no lanes: nobody will touch what they had.
    while (engine.state === 'running' && left() > 0) {
      if (performance.now() > until) return false;
      if (engine.inline) engine.run({ untilNs: engine.now() });
      await new Promise(done => setTimeout(done, engine.inline ? 0 : 1));
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** @throws EtherloomError ERR_STACK_OPTIONS */
function checkLinger(ms: number): void {
  if (typeof ms === 'number' && ms >= 0 && ms <= MOST_LINGER_MS) return;
  throw new EtherloomError('ERR_STACK_OPTIONS', `close: lingerMs: ${String(ms)}`, {
    expected: `ms from 0 to ${MOST_LINGER_MS}`,
  });
}

/** What kind of transport was loaded is known by what can be asked of it. */
const isOf = <L extends LoadedAny>(loaded: LoadedAny, call: keyof L & string): loaded is L =>
  typeof (loaded as unknown as Record<string, unknown>)[call] === 'function';
