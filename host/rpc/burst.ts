/**
 * The burst API of RPCs: many calls and requests at a time, with views of the rings, and nothing allocated for a call.
 * `rpc.burst`; an application of its own beside that of `rpc.call` and `rpc.serve`.
 */
import type { ServePlace } from './carrier.js';
import type { Endpoint } from './endpoint.js';
import { RpcError } from './errors.js';
import type { RpcEvent } from './event.js';
import type { RpcPeer } from './peer.js';

/** Longest timer, ms. */
const FAR_MS = 2 ** 31 - 1;
/** A timer may end so much too soon, ms. */
const EARLY_MS = 1;

/** How its thread waits. */
export interface BurstRest {
  /** @throws EtherloomError ERR_STACK_CLOSED */
  open(): void;
  wait(ms?: number): Promise<boolean>;
  waitSync(ms?: number): boolean;
  rouse(): void;
}

/** @throws RpcError ERR_RPC_OPTIONS */
function checkWait(ms: number | undefined): void {
  if (ms === undefined || (typeof ms === 'number' && ms >= 0)) return;
  throw new RpcError('ERR_RPC_OPTIONS', `wait: ${String(ms)}`, { expected: 'ms from 0 on' });
}

export class RpcBurst {
  /** @internal */
  constructor(
    readonly endpoint: Endpoint,
    readonly rest: BurstRest,
  ) {}

  /** Somebody to call: made once. @throws EtherloomError ERR_ADDRESS; RpcError ERR_RPC_OPTIONS */
  peer(address: string, port: number): RpcPeer {
    return this.endpoint.peer(address, port);
  }

  /**
   * Calls; `bytes` may be changed as soon as it returns. Returns the number of the call, good until its event came; 0: there
   * is no room now, poll first. @param tag for the event @param deadline ms from now on @throws RpcError EMSGSIZE
   */
  begin(peer: RpcPeer, bytes: Uint8Array, tag?: unknown, deadline?: number): number {
    return this.endpoint.begin(peer, bytes, tag, deadline);
  }

  /** Gives up a call: no event will tell of it. Whether it was in flight. */
  cancel(call: number): boolean {
    return this.endpoint.cancel(call);
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.endpoint.inFlight;
  }

  /** Takes requests at a port, on every carrier. @throws SocketError EADDRINUSE, EADDRNOTAVAIL */
  listen(wish: { port?: number; address?: string; carriers?: readonly string[] } = {}): Promise<ServePlace> {
    const { port = 0, address, carriers } = wish;
    return this.endpoint.listen({ port, ...(address === undefined ? {} : { address }) }, carriers);
  }

  /**
   * Fills `events` with what happened, at most `max` of them, and returns how many. The objects are used again, and their
   * bytes given back, at the next poll. @throws EtherloomError ERR_STACK_CLOSED
   */
  poll(events: RpcEvent[], max?: number): number {
    this.rest.open();
    return this.endpoint.poll(events, max);
  }

  /** Publishes calls and answers without looking for news. */
  flush(): void {
    this.endpoint.flush();
  }

  /** Resolves when there is news, or after `ms`: true or false. @throws EtherloomError ERR_STACK_CLOSED */
  async wait(ms?: number): Promise<boolean> {
    this.rest.open();
    const { endpoint } = this;
    checkWait(ms);
    const endMs = ms === undefined ? undefined : endpoint.nowMs() + ms;
    for (;;) {
      if (endpoint.look()) return true;
      const { nextMs } = endpoint;
      if (await this.rest.wait(this.#left(nextMs, endMs))) return true;
      if (this.#isOver(nextMs, endMs)) return endpoint.look();
    }
  }

  /** The same for a thread that does nothing else meanwhile. @throws EtherloomError ERR_STACK_CLOSED */
  waitSync(ms?: number): boolean {
    this.rest.open();
    const { endpoint } = this;
    checkWait(ms);
    const endMs = ms === undefined ? undefined : endpoint.nowMs() + ms;
    for (;;) {
      if (endpoint.look()) return true;
      const { nextMs } = endpoint;
      if (this.rest.waitSync(this.#left(nextMs, endMs))) return true;
      if (this.#isOver(nextMs, endMs)) return endpoint.look();
    }
  }

  /** How long to wait, ms: no longer than until somebody may be late, which is to be looked at. */
  #left(nextMs: number, endMs: number | undefined): number | undefined {
    const untilMs = Math.min(nextMs, endMs ?? nextMs);
    const leftMs = untilMs - this.endpoint.nowMs();
    return leftMs < FAR_MS ? Math.max(0, leftMs) : undefined;
  }

  /** Whether a wait that brought no news ends here: it was roused, its time is over, or nothing is ever to come. */
  #isOver(nextMs: number, endMs: number | undefined): boolean {
    const nowMs = this.endpoint.nowMs() + EARLY_MS;
    return nowMs < nextMs || (endMs !== undefined && nowMs >= endMs);
  }

  /** Ends a `wait`. */
  rouse(): void {
    this.rest.rouse();
  }
}
