/**
 * RPCs of an application inside a lane: `app.rpc()`. Calls and requests in batches, as `rpc.burst` has them; what happened is
 * told by `LaneHandler.calls`, once a round.
 */
import { type CarrierLimits, limitsOf } from '../../rpc/carrier.js';
import { type CarrierMaker, Endpoint } from '../../rpc/endpoint.js';
import { RpcError } from '../../rpc/errors.js';
import type { RpcEvent } from '../../rpc/event.js';
import { HomaCarrier } from '../../rpc/homa/carrier.js';
import type { RpcPeer } from '../../rpc/peer.js';
import { TcpCarrier } from '../../rpc/tcp/carrier.js';
import type { LinkToBe } from '../../rpc/tcp/connection.js';
import { Link } from '../../rpc/tcp/link.js';
import type { MessageView } from '../../transports/messages.js';
import type { Asked, ConnectOptions, ListenOptions, Told } from '../burst/calls.js';
import type { Connection } from '../burst/connection.js';
import type { Sockets, StackEvent } from '../burst/sockets.js';
import { NO_DELAY } from '../rpc_place.js';

/** What it has of its application. */
export interface LaneRpcHome<O> {
  readonly lane: number;
  readonly sockets: Sockets<O>;
  /** Of a stack that has a transport of messages. */
  readonly messages: { name: string; protocol: number; view: MessageView } | undefined;
  nowMs(): number;
  /** Asks the stack; `told` hears of it in a later round. @param listens nothing is told of before */
  ask(asked: Asked, listens: boolean, told: (result: Told) => void, refused: (error: Error) => void): void;
  connecting(result: Told, link: LinkToBe): Connection<O>;
  listening(result: Told, data: unknown): void;
}

export interface LaneRpcOptions {
  /** Name of the carrier of calls. Default `tcp`. */
  carrier?: string;
  /** As RpcOptions.limits. */
  limits?: Partial<CarrierLimits>;
}

/** Events told of before what they wrote leaves: as of connections. */
const BATCH = 16;

export class LaneRpc<O extends object = object> {
  readonly #home: LaneRpcHome<O>;
  readonly #endpoint: Endpoint;
  readonly #tcp: TcpCarrier;
  readonly #homa: HomaCarrier | undefined;
  readonly #events: RpcEvent[] = [];

  /** @internal Use LaneApp.rpc(). @throws RpcError ERR_RPC_NO_CARRIER */
  constructor(home: LaneRpcHome<O>, { carrier, limits: wished }: LaneRpcOptions) {
    const limits = limitsOf(wished);
    this.#home = home;
    const { sockets } = home;
    let tcp!: TcpCarrier;
    let homa: HomaCarrier | undefined;
    const makers: CarrierMaker[] = [
      (index, its) => {
        tcp = new TcpCarrier(index, its, this.#connections(), limits);
        return tcp;
      },
    ];
    const { messages } = home;
    if (messages)
      makers.push((index, its) => {
        homa = new HomaCarrier(index, its, this.#slots(messages), limits);
        sockets.datagrams = homa;
        return homa;
      });
    const own = { news: () => 0, flush: () => sockets.flush(), nowMs: () => home.nowMs() };
    this.#endpoint = new Endpoint(own, makers, carrier);
    this.#tcp = tcp;
    this.#homa = homa;
  }

  #connections(): ConstructorParameters<typeof TcpCarrier>[2] {
    const home = this.#home;
    return {
      connect(host, port, link) {
        const options: Omit<ConnectOptions, 'data'> = { host, port, options: NO_DELAY };
        home.ask(
          { call: 'connect', options },
          false,
          result => link.opened(home.connecting(result, link) as never),
          error => link.refused(error),
        );
        return undefined;
      },
      // `listen` below asks by itself: nobody can wait in a lane.
      listen() {
        throw new RpcError('ERR_RPC_OPTIONS', 'a listener of a lane', { expected: 'LaneRpc.listen' });
      },
    };
  }

  #slots({
    protocol,
    view,
  }: NonNullable<LaneRpcHome<O>['messages']>): ConstructorParameters<typeof HomaCarrier>[2] {
    const { lane, sockets, ask } = this.#home;
    return {
      protocol,
      view,
      // By which port a peer is reached says the stack, for each address by which slots are asked for.
      way: address => ({ lane, ifindex: 0, address }),
      open({ address }, n, opened, refused) {
        ask({ call: 'slots', address, n }, false, ids => opened(ids as number[]), refused);
      },
      end: id => sockets.app.end(id),
      serve() {
        throw new RpcError('ERR_RPC_OPTIONS', 'a port of a lane', { expected: 'LaneRpc.listen' });
      },
      // The stack gives the client back when the application ends.
      leave() {},
    };
  }

  /** Name of the carrier that new calls go by. */
  get carrier(): string {
    return this.#endpoint.carrier;
  }

  /** As Rpc.use. @throws RpcError ERR_RPC_NO_CARRIER */
  use(name: string): void {
    this.#endpoint.use(name);
  }

  /** As RpcBurst.peer. */
  peer(address: string, port: number): RpcPeer {
    return this.#endpoint.peer(address, port);
  }

  /** As RpcBurst.begin. */
  begin(peer: RpcPeer, bytes: Uint8Array, tag?: unknown, deadline?: number): number {
    return this.#endpoint.begin(peer, bytes, tag, deadline);
  }

  /** As RpcBurst.cancel. */
  cancel(call: number): boolean {
    return this.#endpoint.cancel(call);
  }

  get inFlight(): number {
    return this.#endpoint.inFlight;
  }

  /**
   * Takes the requests that arrive in this lane at a port, on every carrier; lanes that listen at the same place share it.
   * `refused` is told when the stack did not want to: by default that ends the application in this lane.
   */
  listen(
    { port, address, data }: { port: number; address?: string; data?: unknown },
    refused: (error: Error) => void = error => {
      throw error;
    },
  ): void {
    const home = this.#home;
    const where = { port, ...(address === undefined ? {} : { address }) };
    const options: ListenOptions = { ...where, options: NO_DELAY };
    const served = this.#tcp.served(data);
    home.ask({ call: 'listen', options }, true, result => home.listening(result, served), refused);
    const homa = this.#homa;
    if (homa) home.ask({ call: 'serve', ...where }, true, () => homa.serves(port, data), refused);
  }

  // ── the lane's side ───────────────────────────────────────────────────────────────────────────────────────────

  /** @internal Before news is taken. */
  done(): void {
    this.#endpoint.done();
  }

  /** @internal Takes its own out of news of connections; how many are left. */
  news(events: StackEvent<O>[], n: number): number {
    let left = 0;
    for (let i = 0; i < n; i++) {
      const event = events[i];
      if (this.#tcp.news(event as never)) continue;
      // Objects are used again: none may stand twice in the list.
      events[i] = events[left];
      events[left++] = event;
    }
    return left;
  }

  /** @internal Tells `calls` of what happened. Returns how much. */
  tell(calls: (events: readonly RpcEvent[], n: number) => void): number {
    const n = this.#endpoint.take(this.#events, BATCH);
    if (n > 0) calls(this.#events, n);
    return n;
  }

  /** @internal Whether that connection carries its calls. */
  has({ data }: Connection<O>): boolean {
    return data instanceof Link && data.carrier === this.#tcp;
  }

  /** @internal Nothing more is asked, taken or told. Whether there is something that was answered and is not on its way. */
  close(): boolean {
    this.#endpoint.close();
    return this.#endpoint.settling;
  }

  /** @internal After `close`, with news: goes on with what was answered. Whether some of it is left. */
  settle(): boolean {
    return this.#endpoint.settle();
  }

  /** @internal The application has ended: what is not on its way is not sent any more. */
  end(): void {
    this.#endpoint.close();
    this.#endpoint.end();
  }
}
