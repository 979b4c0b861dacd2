/** A server of requests: what its handler is given, and where it listens. */
import type { RpcBodyInput } from './body.js';
import type { ServePlace } from './carrier.js';
import { RpcError } from './errors.js';
import { checkOptions, SERVE_OPTIONS } from './options.js';

/** What a handler may ask about a request. */
export interface RpcContext {
  /** Aborted when nobody waits for the answer any more: the caller gave up, or its connection ended. */
  readonly signal: AbortSignal;
  /** Who called. */
  readonly from: { address: string; port: number };
}

export type RpcHandler<T> = (
  request: T,
  context: RpcContext,
) => RpcBodyInput | undefined | Promise<RpcBodyInput | undefined>;

export interface ServeOptions {
  /** Default 0: any that is free, which `server.port` tells. */
  port?: number;
  /** One of the stack's. Default: any. */
  address?: string;
  /** Names of carriers. Default: all. */
  carriers?: readonly string[];
  /** The handler is given an RpcBody, with the first bytes of a request. Default false: a Buffer, when all of it is there. */
  stream?: boolean;
}

export class RpcServer {
  #place: ServePlace | undefined;

  /** @internal Use rpc.serve(). @throws RpcError ERR_RPC_OPTIONS */
  constructor(
    readonly options: ServeOptions,
    readonly handler: RpcHandler<unknown>,
  ) {
    checkOptions(options, SERVE_OPTIONS, 'serve');
    const { port = 0 } = options;
    if (typeof handler !== 'function')
      throw new RpcError('ERR_RPC_OPTIONS', `handler: ${typeof handler}`, { expected: 'a function' });
    if (!Number.isInteger(port) || port < 0 || port > 65535)
      throw new RpcError('ERR_RPC_OPTIONS', `port: ${String(port)}`, { expected: '0 to 65535' });
  }

  /** @internal */
  listening(place: ServePlace): void {
    this.#place = place;
  }

  /** 0 when it is closed. */
  get port(): number {
    return this.#place?.port ?? 0;
  }

  /** No more requests: connections end, and whoever waits for an answer there hears ECONNRESET. What was answered arrives. */
  close(): void {
    this.#place?.close();
    this.#place = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
