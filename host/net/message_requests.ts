/** What applications of other threads ask of a stack's transport of messages: slots for calls, and ports that are served. */
import type { Engine } from '../engine/engine.js';
import type { ClientPlace, LoadedMessages } from '../transports/messages.js';
import { canonicalIp } from '../wire/address.js';
import type { MessagesTold } from './burst/calls.js';
import type { Network } from './network.js';
import { wayOf } from './rpc_slots.js';

export class StackMessages {
  constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly messages: LoadedMessages,
    /** @throws EtherloomError ERR_STACK_CLOSED */
    readonly open: () => void,
  ) {}

  /** What another thread is told of it. */
  get told(): MessagesTold {
    const { transport, shared } = this.messages;
    return { transport: transport.name, shared };
  }

  /** @throws SocketError EADDRINUSE */
  client(app: number): ClientPlace {
    this.open();
    return this.messages.client({ app });
  }

  /** Slots in the lane where packets of that peer arrive. @throws SocketError ENETUNREACH, EHOSTUNREACH, ENOBUFS */
  slots(client: ClientPlace, address: string, n: number): number[] {
    this.open();
    const { lane, ifindex } = wayOf(this.engine, this.network, address);
    return this.messages.openSlots(client, Math.min(n, MOST_SLOTS), { lane, ifindex });
  }

  /** Returns the port. @throws SocketError EADDRINUSE; EtherloomError ERR_HOMA_PORT */
  serve(app: number, port: number, address: string | undefined): number {
    this.open();
    const own = address === undefined ? undefined : canonicalIp(address);
    return this.messages.serve({ app, port, address: own }).port;
  }

  unserve(port: number): void {
    this.messages.unserve(port);
  }

  /** Its slots have ended. */
  leave(client: ClientPlace): void {
    this.messages.closeClient(client);
  }
}

/** Slots that are opened at once, at most. */
const MOST_SLOTS = 256;
