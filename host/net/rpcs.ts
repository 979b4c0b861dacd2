/** The RPCs of a stack: each has an application of the stack for its promises, and one for its bursts. */
import type { Engine } from '../engine/engine.js';
import { StreamEvent } from '../layout/layout.gen.js';
import { Rpc, type RpcOptions } from '../rpc/rpc.js';
import type { TcpCalls } from '../rpc/tcp/connection.js';
import type { StreamApp } from '../streams/stream_app.js';
import type { StreamApps } from '../streams/stream_apps.js';
import type { LoadedTransport } from '../transports/contract.js';
import type { LoadedMessages } from '../transports/messages.js';
import type { StackBindings } from './bindings.js';
import type { DatagramSocket } from './burst/datagram_socket.js';
import { Datagrams } from './burst/datagrams.js';
import { restOfThreads, Sockets } from './burst/sockets.js';
import type { Network } from './network.js';
import type { StackRequests } from './requests.js';
import { InlineRest } from './rest.js';
import { type CarrierCalls, type DatagramSource, NO_DELAY, StackRpcPlace } from './rpc_place.js';
import { slotCalls } from './rpc_slots.js';

/** A transport whose datagrams may be lost: it carries no calls. */
const UNRELIABLE = 'udp';
/** Of sockets that carry calls: room for some long messages. */
const RINGS = { sendBuffer: 1 << 18, receiveBuffer: 1 << 20 };
const FAILED = StreamEvent.ERR | StreamEvent.HUP | StreamEvent.FREED;
/** How long an RPC that is closed waits for rings for what it had written first, ms. */
const SETTLE_MS = 1000;

export class StackRpcs<O extends object> {
  readonly #open = new Set<Rpc>();
  readonly #sockets = new Set<Sockets<O>>();
  /** Applications whose calls go over a transport of datagrams, by its name. */
  readonly #carried = new Map<string, Set<StreamApp>>();
  /** Numbers of applications that are no more, whose connections may still deliver. */
  readonly former = new Set<number>();

  constructor(
    readonly engine: Engine,
    readonly apps: StreamApps,
    readonly transport: LoadedTransport<O>,
    readonly requests: StackRequests<O>,
    readonly network: Network,
    readonly messages: LoadedMessages | undefined,
    readonly bindings: StackBindings,
  ) {}

  get #carriers(): string[] {
    return ['tcp', ...(this.messages ? [this.messages.transport.name] : []), ...this.#datagrams];
  }

  /** Transports of datagrams that lose none. */
  get #datagrams(): string[] {
    return this.bindings.names.filter(name => name !== UNRELIABLE);
  }

  /** Sockets of such a transport for an application. */
  #source(app: StreamApp, name: string): DatagramSource | undefined {
    const binding = name === UNRELIABLE ? undefined : this.bindings.has(name);
    if (binding === undefined) return undefined;
    const datagrams = new Datagrams(app, binding);
    const carried = this.#carried.get(name) ?? new Set();
    this.#carried.set(name, carried.add(app));
    return {
      calls: {
        name,
        bind: (where, data) => datagrams.bind({ ...where, data, ...RINGS }) as DatagramSocket,
        most: family => datagrams.most(family),
      },
      heard: (end, bits) => datagrams.heard(end, bits),
      hear(news) {
        datagrams.hearer = (socket, bits) => news(socket, (bits & FAILED) !== 0);
      },
    };
  }

  /** Whether calls go over that transport of datagrams, or did: their sockets stay until the RPC is closed. */
  over(name: string): boolean {
    return (this.#carried.get(name)?.size ?? 0) > 0;
  }

  /** @throws RpcError ERR_RPC_NO_CARRIER */
  make(options: RpcOptions): Rpc {
    const home = {
      engine: this.engine,
      enter: () => this.#enter(),
      carriers: () => this.#carriers,
      open: () => this.requests.open(),
    };
    const place = new StackRpcPlace<O>(home, () => this.#open.delete(rpc));
    const rpc: Rpc = new Rpc(place, options);
    this.#open.add(rpc);
    return rpc;
  }

  #enter(): { sockets: Sockets<O>; calls: CarrierCalls; leave(): Promise<void> } {
    const { engine, apps, transport, requests } = this;
    const app = apps.open();
    this.former.delete(app.number);
    const view = transport.transport.view(engine.arena, transport.shared);
    const rest = engine.inline ? new InlineRest(engine) : restOfThreads;
    const sockets = new Sockets<O>(app, view, rest, slot => transport.unlisten(slot));
    this.#sockets.add(sockets);
    const options = NO_DELAY as unknown as O;
    const tcp: TcpCalls = {
      connect(host, port, link) {
        const made = requests.connect({ host, port, options }, app.number);
        return sockets.connecting(made.id, made, link);
      },
      listen: wish => sockets.listening(requests.listen({ ...wish, options }, app.number)),
    };
    const leave = async (): Promise<void> => {
      sockets.abandon(false);
      if (sockets.isLeaving) await sockets.left(SETTLE_MS);
      sockets.abandon();
      this.#sockets.delete(sockets);
      for (const carried of this.#carried.values()) carried.delete(app);
      this.former.add(app.number);
      if (!app.ended) apps.close(app.number);
    };
    const homa = this.messages && slotCalls(engine, this.network, this.messages, app);
    const datagrams = {
      names: () => this.#datagrams,
      source: (name: string) => this.#source(app, name),
    };
    return { sockets, calls: { tcp, homa, datagrams }, leave };
  }

  /** The engine was stopped: who waits is to hear of it. */
  stopped(): void {
    for (const { app } of this.#sockets) app.rouse();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map(rpc => rpc.close()));
  }
}
