/**
 * A joint: two ports of one engine whose rings are the same memory. What lane i sends out of one is what it receives at
 * queue i of the other, without a link between and without another lane: the shortest way from program to program.
 *
 *   port A  tx ring of lane i ══ rx ring of queue i  port B      and the other way round
 */
import { EtherloomError } from '../errors.js';
import { RingLayout, RingView } from '../layout/layout.gen.js';
import { bindView } from '../mem/ring.js';
import { parseMac } from '../wire/address.js';
import type { Nic, NicEnv, NicKind } from './nic.js';
import { Port } from './port.js';

export interface JointOptions {
  /** Names are `${name}.a` and `${name}.b`. Default "joint". */
  name?: string;
  mtu?: number;
  /** Ethernet addresses of the two ends. */
  macs?: readonly [string, string];
}

export class JointEnd implements Nic {
  readonly kind: NicKind = 'model';
  readonly busy = false;
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #peer: JointEnd | undefined;

  constructor(
    readonly name: string,
    readonly options: JointOptions,
    readonly mac: string | undefined,
  ) {}

  /** @internal Called by joint(). */
  join(peer: JointEnd): void {
    this.#peer = peer;
  }

  open(env: NicEnv): Port {
    if (this.#port) throw new EtherloomError('ERR_NIC_OPEN', `${this.name} is open already`);
    this.#env = env;
    this.#port = Port.create(env.arena, {
      name: this.name,
      ifindex: env.ifindex,
      lanes: env.lanes,
      mtu: this.options.mtu,
      ringSlots: env.ringSlots,
      ...(this.mac === undefined ? {} : { mac: parseMac(this.mac) }),
    });
    return this.#port;
  }

  /** The peer receives from our transmit rings. Each end does its half. */
  connect(): void {
    const peer = this.#peer!;
    if (!peer.#port || peer.#env!.arena !== this.#env!.arena)
      throw new EtherloomError('ERR_NIC_OPEN', `${this.name} without ${peer.name} in the same engine`, {
        expected: 'both ends in the options of one engine',
      });
    const { arena, lanes } = this.#env!;
    for (let lane = 0; lane < lanes; lane++) {
      const { producerAt, consumerAt, flagsAt, entriesAt, slots } = new RingView(
        arena.dv,
        this.#port!.tx(lane),
      );
      bindView(arena, peer.#port.queue(lane).rxAt, { producerAt, consumerAt, flagsAt, entriesAt, slots });
      // One consumer a ring: the lane at the other end. As a place of frames it is counted there, too.
      const out = this.#port!.txOut(lane);
      arena.u8.fill(0, out, out + RingLayout.size);
    }
  }

  readonly pollMs = Number.POSITIVE_INFINITY;

  poll(): number {
    return 0;
  }

  close(): void {}
}

/** Two NICs that are one wire of no length. Give both to `Engine.create`. */
export function joint(options: JointOptions = {}): { a: JointEnd; b: JointEnd } {
  const name = options.name ?? 'joint';
  const a = new JointEnd(`${name}.a`, options, options.macs?.[0]);
  const b = new JointEnd(`${name}.b`, options, options.macs?.[1]);
  a.join(b);
  b.join(a);
  return { a, b };
}
