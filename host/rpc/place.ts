/** Where an Rpc lives: what a stack, or an application of another thread, gives it. host/net/rpc_place.ts makes it. */
import type { VirtualTime } from '../engine/turns.js';
import type { BurstRest } from './burst.js';
import type { CarrierLimits } from './carrier.js';
import type { Endpoint } from './endpoint.js';

/** One endpoint with an application of the stack of its own. */
export interface Entered extends BurstRest {
  readonly endpoint: Endpoint;
  /** An engine in virtual time, and how it lets time pass. */
  readonly virtual: { key: object; time: VirtualTime } | undefined;
  /** False: nothing happens any more, the engine was stopped. */
  readonly runs: boolean;
  /** Somebody begins to keep the process alive, or does so no more. */
  hold(on: boolean): void;
  /** Gives the application back: what was written is delivered. */
  leave(): Promise<void>;
}

export interface RpcPlace {
  /** Names of the carriers that there are. */
  readonly carriers: readonly string[];
  /** The name, if there is such a carrier; undefined: the first. @throws RpcError ERR_RPC_NO_CARRIER */
  carrier(name: string | undefined): string;
  /** @throws EtherloomError ERR_STACK_CLOSED */
  open(): void;
  /** @throws EtherloomError ERR_APPS_FULL */
  enter(use: string, limits: CarrierLimits, inParts: boolean): Entered;
  close(): Promise<void>;
}
