/** The RPCs of a stack: each has an application of the stack for its promises, and one for its bursts. */
import type { Engine } from '../engine/engine.js';
import { Rpc, type RpcOptions } from '../rpc/rpc.js';
import type { TcpCalls } from '../rpc/tcp/connection.js';
import type { StreamApps } from '../streams/stream_apps.js';
import type { LoadedTransport } from '../transports/contract.js';
import type { LoadedMessages } from '../transports/messages.js';
import { restOfThreads, Sockets } from './burst/sockets.js';
import type { Network } from './network.js';
import type { StackRequests } from './requests.js';
import { InlineRest } from './rest.js';
import { type CarrierCalls, NO_DELAY, StackRpcPlace } from './rpc_place.js';
import { slotCalls } from './rpc_slots.js';

/** How long an RPC that is closed waits for rings for what it had written first, ms. */
const SETTLE_MS = 1000;

export class StackRpcs<O extends object> {
  readonly #open = new Set<Rpc>();
  readonly #sockets = new Set<Sockets<O>>();
  /** Numbers of applications that are no more, whose connections may still deliver. */
  readonly former = new Set<number>();

  constructor(
    readonly engine: Engine,
    readonly apps: StreamApps,
    readonly transport: LoadedTransport<O>,
    readonly requests: StackRequests<O>,
    readonly network: Network,
    readonly messages: LoadedMessages | undefined,
  ) {}

  get #carriers(): string[] {
    return this.messages ? ['tcp', this.messages.transport.name] : ['tcp'];
  }

  /** @throws RpcError ERR_RPC_NO_CARRIER */
  make(options: RpcOptions): Rpc {
    const home = {
      engine: this.engine,
      enter: () => this.#enter(),
      carriers: this.#carriers,
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
      this.former.add(app.number);
      if (!app.ended) apps.close(app.number);
    };
    const homa = this.messages && slotCalls(engine, this.network, this.messages, app);
    return { sockets, calls: { tcp, homa }, leave };
  }

  /** The engine was stopped: who waits is to hear of it. */
  stopped(): void {
    for (const { app } of this.#sockets) app.rouse();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map(rpc => rpc.close()));
  }
}
