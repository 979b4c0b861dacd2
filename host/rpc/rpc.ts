/**
 * RPCs with promises: the same over any carrier.
 *
 *   const rpc = await stack.rpc({ carrier: 'tcp' });
 *   await rpc.serve({ port: 7 }, async request => request);
 *   const response = await rpc.call({ address: '10.0.0.1', port: 7 }, 'hello', { deadline: 100 });
 */
import {
  endSource,
  outgoingOf,
  type Pieces,
  type RpcBody,
  type RpcBodyInput,
  Streamed,
  wholeBody,
} from './body.js';
import { RpcBurst } from './burst.js';
import { checkDeadline } from './calls.js';
import { type CarrierLimits, limitsOf } from './carrier.js';
import { RpcError } from './errors.js';
import { CALL_OPTIONS, checkOptions, RPC_OPTIONS } from './options.js';
import type { Entered, RpcPlace } from './place.js';
import { PromiseCalls } from './promises.js';
import { type RpcHandler, RpcServer, type ServeOptions } from './server.js';
import { leaveSettled } from './settling.js';

export interface RpcAddress {
  /** IPv4 or IPv6. */
  address: string;
  port: number;
}

export interface CallOptions {
  /** Ends the call when it is aborted. */
  signal?: AbortSignal;
  /** ms, from now on; of the engine's time. Default: the RPC's. */
  deadline?: number;
}

export interface RpcOptions {
  /** Name of the carrier of calls: `tcp`, `homa`, or that of a transport of datagrams. Default: the first that the stack has. */
  carrier?: string;
  /** ms, for calls that do not say. Default: none. */
  deadline?: number;
  /** What is endured of peers, where it is to be other than usual: docs/rpc.md. */
  limits?: Partial<CarrierLimits>;
}

/** @throws RpcError ERR_RPC_OPTIONS */
function checkCall(to: unknown, options: unknown): void {
  if (typeof to !== 'object' || to === null) throw wrong(`whom to call: ${String(to)}`, '{ address, port }');
  checkOptions(options, CALL_OPTIONS, 'call');
  const { signal } = options as CallOptions;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw wrong(`signal: ${typeof signal}`, 'an AbortSignal, such as controller.signal');
}

const wrong = (what: string, expected: string): RpcError =>
  new RpcError('ERR_RPC_OPTIONS', what, { expected });

export class Rpc {
  readonly #place: RpcPlace;
  readonly #options: RpcOptions;
  readonly #limits: CarrierLimits;
  #promises: PromiseCalls | undefined;
  #burst: RpcBurst | undefined;
  #bursts: Entered | undefined;
  #use: string;
  #closing: Promise<void> | undefined;

  /** @internal Use stack.rpc(). */
  constructor(place: RpcPlace, options: RpcOptions) {
    checkOptions(options, RPC_OPTIONS, 'rpc');
    checkDeadline(options.deadline);
    this.#limits = limitsOf(options.limits);
    this.#place = place;
    this.#options = options;
    this.#use = place.carrier(options.carrier);
  }

  /** Name of the carrier that new calls go by. */
  get carrier(): string {
    return this.#use;
  }

  /** Names of the carriers that there are. A server takes requests on all of them. */
  get carriers(): readonly string[] {
    return this.#place.carriers;
  }

  /**
   * New calls go by that carrier; those in flight end on theirs. When it throws nothing has changed.
   * @throws RpcError ERR_RPC_NO_CARRIER, ERR_RPC_CLOSED; SocketError EADDRINUSE: the port of a server is another's there
   */
  use(name: string): void {
    this.#open();
    const used = this.#place.carrier(name);
    this.#promises?.endpoint.use(used);
    try {
      this.#burst?.endpoint.use(used);
    } catch (error) {
      this.#promises?.endpoint.use(this.#use);
      throw error;
    }
    this.#use = used;
  }

  /** @throws RpcError ERR_RPC_CLOSED; EtherloomError ERR_STACK_CLOSED */
  #open(): void {
    if (this.#closing) throw new RpcError('ERR_RPC_CLOSED', 'the RPC was closed');
    this.#place.open();
  }

  get #calls(): PromiseCalls {
    this.#open();
    this.#promises ??= new PromiseCalls(this.#place.enter(this.#use, this.#limits, true));
    return this.#promises;
  }

  /**
   * Calls: resolves with the response. A body of bytes must not be changed before that.
   * @throws RpcError ETIMEDOUT, ECONNREFUSED, ECONNRESET, EHOSTUNREACH … as Linux names what happened; EMSGSIZE; ABORT_ERR
   * (an AbortError) when `signal` was aborted; ERR_RPC_REMOTE: the handler threw; ERR_RPC_BODY: the body is none, or not as
   * long as was said; ERR_RPC_OPTIONS; ERR_RPC_CLOSED. EtherloomError ERR_ADDRESS, ERR_STACK_CLOSED. A call that failed may have been served: it is made at most once
   */
  call(to: RpcAddress, body: RpcBodyInput, options?: CallOptions & { stream?: false }): Promise<Buffer>;
  /** The same, with a response that is read while it comes: resolves with its first bytes. */
  call(to: RpcAddress, body: RpcBodyInput, options: CallOptions & { stream: true }): Promise<RpcBody>;
  call(
    to: RpcAddress,
    body: RpcBodyInput,
    options: CallOptions & { stream?: boolean } = {},
  ): Promise<Buffer | RpcBody> {
    try {
      const calls = this.#calls;
      checkCall(to, options);
      const whole = wholeBody(body);
      const { deadline = this.#options.deadline } = options;
      checkDeadline(deadline);
      const peer = calls.endpoint.peer(to.address, to.port);
      if (whole !== undefined) return calls.call(peer, whole, deadline, options);
      const out = body instanceof Streamed ? outgoingOf(body) : undefined;
      if (out !== undefined) return calls.callStreamed(peer, body as Streamed, out, deadline, options);
      return calls.callGathered(peer, body as Pieces, deadline, options);
    } catch (error) {
      // A call that is none ends its source, too.
      if (typeof body === 'object' && body !== null) endSource(body as Pieces);
      return Promise.reject(error);
    }
  }

  /**
   * Answers requests: `handler` returns, or resolves with, the response; what it throws is the caller's ERR_RPC_REMOTE.
   * @throws SocketError EADDRINUSE, EADDRNOTAVAIL; RpcError ERR_RPC_OPTIONS
   */
  serve(options: ServeOptions & { stream: true }, handler: RpcHandler<RpcBody>): Promise<RpcServer>;
  serve(options: ServeOptions & { stream?: false }, handler: RpcHandler<Buffer>): Promise<RpcServer>;
  async serve(
    options: ServeOptions & { stream?: boolean },
    handler: RpcHandler<RpcBody> | RpcHandler<Buffer>,
  ): Promise<RpcServer> {
    const server = new RpcServer(options, handler as RpcHandler<unknown>);
    await this.#calls.serve(server);
    return server;
  }

  /** Calls and requests in batches, without promises: an application of its own. */
  get burst(): RpcBurst {
    this.#open();
    if (this.#burst === undefined) {
      const entered = this.#place.enter(this.#use, this.#limits, false);
      this.#burst = new RpcBurst(entered.endpoint, entered);
      this.#bursts = entered;
    }
    return this.#burst;
  }

  /**
   * Ends it: servers take nothing more, calls in flight fail with ERR_RPC_CLOSED, and what was answered is delivered: it
   * resolves when that is on its way, a caller takes nothing of it for 1 s, or after 10 s. The stack goes on.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#burst?.endpoint.close();
    await Promise.all([this.#promises?.close(), this.#bursts && leaveSettled(this.#bursts)]);
    await this.#place.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
