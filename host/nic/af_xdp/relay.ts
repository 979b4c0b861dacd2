/**
 * The host's part of a port whose packets are to pass it (a wrapped one): between the kernel's rings and ordinary ones.
 *
 *   kernel ── rx ──▶ ┌───────┐ ──▶ receive ring of the port ──▶ wrapper ──▶ lane
 *          ◀── tx ── │ relay │ ◀── transmit rings of the port ◀── wrapper ◀── lane
 *                    └───────┘   fill and completion rings: frames lent and taken back
 *
 * The kernel's rings hang on a port of their own that is in no table and whose one lane is the host; unwrapped ports have
 * none of this. Packets are moved in Wasm (assembly/nic/umem.ts), the kick is the lanes' own driver's. Called by the NIC.
 */
import { type LaneStateView, RingView } from '../../layout/layout.gen.js';
import { pendingIn } from '../../mem/ring.js';
import type { Native } from '../../native/load.js';
import type { NicEnv } from '../nic.js';
import { Port } from '../port.js';
import { AfXdpDriver } from './driver.js';

/** The port that the kernel's rings hang on. @throws EtherloomError ERR_ARENA_FULL */
export const kernelPort = (env: NicEnv, port: Port): Port =>
  Port.create(env.arena, {
    name: `kernel:${port.name}`,
    ifindex: 0,
    lanes: 1,
    txRings: 1,
    queues: port.queueCount,
    ringSlots: env.ringSlots,
    outside: true,
  });

export class Relay {
  /** Queue of the kernel, receive ring of the port: addresses. */
  readonly #receives: readonly { queue: number; feed: number }[];
  readonly #sends: readonly number[];
  readonly #to: number;
  readonly #driver: AfXdpDriver;
  readonly #host: LaneStateView;

  /** `wire` is the port of `kernelPort`, its rings made (queues.ts). */
  constructor(
    readonly env: NicEnv,
    readonly port: Port,
    wire: Port,
    native: Native,
  ) {
    const { arena, lanes } = env;
    this.#receives = Array.from({ length: port.queueCount }, (_, i) => ({
      queue: wire.queue(i).at,
      feed: port.queue(i).rxFeedAt,
    }));
    this.#sends = Array.from({ length: port.txCount }, (_, i) => port.txOut(i));
    this.#to = wire.tx(0);
    // What ends here is counted at the port that everybody sees.
    new RingView(arena.dv, this.#to).countersAt = port.countersAt(0, lanes);
    this.#driver = AfXdpDriver.create(native, arena, 0, wire.at, lanes)!;
    this.#host = arena.lane(lanes);
  }

  /** Moves what the rings hold, both ways, and has the kernel send. Returns packets moved. */
  poll(): number {
    const x = this.env.core.exports;
    let moved = 0;
    for (const { queue, feed } of this.#receives) moved += x.umem_receive(queue, feed, this.port.ifindex);
    return moved + this.send();
  }

  /** The part of `poll` towards the wire. */
  send(): number {
    const x = this.env.core.exports;
    let moved = 0;
    for (const [lane, from] of this.#sends.entries()) {
      const n = x.umem_send(from, this.#to);
      // A lossless lane may be waiting for this room.
      if (n && lane < this.env.lanes) x.ring_wake(lane);
      moved += n;
    }
    this.#driver.push();
    // As the loop does for a lane.
    this.#host.owedKicks = 0;
    return moved;
  }

  /** Frees what waits for an interface that is gone. Returns packets freed. */
  discard(): number {
    return this.#sends.reduce((n, from) => n + this.env.core.exports.ring_discard(from, 0x7fffffff), 0);
  }

  /** Whether packets wait for the wire. */
  get sending(): boolean {
    return this.#sends.some(from => pendingIn(this.env.arena, from) > 0);
  }
}
