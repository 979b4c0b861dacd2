/**
 * A NIC whose wire is the host thread: what is sent here arrives at the port, what the port transmits comes out here.
 * Base of the replay and pcap NICs, and a NIC by itself for embedding: `nic.send(bytes)`, `nic.receive()`.
 * With `link` a model link lies between: the host has its far end, the engine the near one.
 */
import { EtherloomError } from '../errors.js';
import { FRAME_HEADROOM, type LinkView, NO_FRAME } from '../layout/layout.gen.js';
import { drainRing, type Packet, pendingIn } from '../mem/ring.js';
import type { LinkSettings, LinkStats } from './link.js';
import { type ModelEnd, modelLink } from './model.js';
import type { Nic, NicEnv, NicKind } from './nic.js';
import { Port } from './port.js';
import { checkSend } from './sendable.js';

export interface HostNicOptions {
  name?: string;
  /** Receive queues. Default: one per lane. */
  queues?: number;
  /** Default 1500. */
  mtu?: number;
  mac?: Uint8Array;
  /** Count what is transmitted and free it at once, instead of keeping it for `receive`. */
  sink?: boolean;
  /** Entries of each ring, a power of two. Default: the engine's. */
  ringSlots?: number;
  /** Lets every packet go over a model link, in and out. `{}`: one that only moves packets. */
  link?: LinkSettings;
}

export class HostNic implements Nic {
  readonly kind: NicKind = 'host';
  readonly name: string;
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #closed = false;
  readonly #near: ModelEnd | undefined;
  readonly #far: ModelEnd | undefined;

  constructor(readonly options: HostNicOptions = {}) {
    this.name = options.name ?? 'host';
    if (!options.link) return;
    const { queues, mtu, ringSlots } = options;
    const shape = { ...(queues && { queues }), ...(mtu && { mtu }), ...(ringSlots && { ringSlots }) };
    const names: [string, string] = [this.name, `far end of ${this.name}`];
    const { a, b } = modelLink({ ...options.link, ...shape, names });
    this.#near = a;
    this.#far = b;
  }

  open(env: NicEnv): Port {
    if (this.#port) throw new EtherloomError('ERR_NIC_OPEN', `${this.name} is open already`);
    this.#env = env;
    if (this.#near) return (this.#port = this.#near.open(env));
    this.#port = Port.create(env.arena, {
      ...this.options,
      name: this.name,
      ifindex: env.ifindex,
      lanes: env.lanes,
      ringSlots: this.options.ringSlots ?? env.ringSlots,
    });
    return this.#port;
  }

  connect(): void {
    this.#near?.connect();
  }

  /** What it was opened with. @throws EtherloomError ERR_NIC_CLOSED before `open`. */
  get env(): NicEnv {
    if (!this.#env) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#env;
  }

  get port(): Port {
    if (!this.#port) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#port;
  }

  /**
   * Sends one packet to the port, to the queue of its flow unless `queue` names one. False when that ring is full or no
   * frame is free: try again after the lanes have worked.
   * @throws EtherloomError ERR_NIC_PACKET for what is no Uint8Array or fits no frame, ERR_NIC_QUEUE for a queue that the
   * port does not have, ERR_NIC_CLOSED before `open` and after the engine was stopped: no lane would take it.
   */
  send(bytes: Uint8Array, queue?: number): boolean {
    return this.place(bytes, queue) !== 0;
  }

  /** `send` that tells the arena address of the packet; 0 when there is no room. */
  protected place(bytes: Uint8Array, queue?: number): number {
    const { arena, core } = this.env;
    const x = core.exports;
    checkSend(this.name, this.#closed, bytes);
    if (queue !== undefined && !(Number.isInteger(queue) && queue >= 0 && queue < this.port.queueCount))
      throw new EtherloomError('ERR_NIC_QUEUE', `queue ${queue} of ${this.name}`, {
        expected: `0 … ${this.port.queueCount - 1}`,
      });
    // RSS is at the near end of the link.
    if (this.#far) return this.#far.place(bytes);
    const frame = x.frame_alloc() >>> 0;
    if (frame === NO_FRAME) return 0;
    const addr = frame + FRAME_HEADROOM;
    const at = arena.header.packetAt + addr;
    arena.u8.set(bytes, at);
    const to = queue ?? x.port_steer(this.port.at, at, bytes.length);
    const feed = this.port.queue(to).rxFeedAt;
    if (!x.ring_push(feed, addr, bytes.length, 0)) {
      x.frame_free(frame);
      return 0;
    }
    x.ring_submit(feed);
    return at;
  }

  /** Packets that the port transmitted, oldest first by transmit ring; at most `max`. */
  receive(max = Number.POSITIVE_INFINITY): Packet[] {
    const packets: Packet[] = [];
    this.drain(max, data => {
      packets.push({ data: data.slice(), ifindex: this.port.ifindex, queue: 0 });
    });
    return packets;
  }

  /** Like `receive` without copies: the bytes are good during the call only. Returns packets taken. */
  drain(max: number, take: (data: Uint8Array) => void): number {
    if (this.#far) return this.#far.drain(max, take);
    const { arena, core } = this.env;
    let n = 0;
    for (let i = 0; i < this.port.txCount && n < max; i++) {
      const got = drainRing(arena, core, this.port.txOut(i), Math.min(max - n, 0x7fffffff), take);
      // A lossless lane may be waiting for this room.
      if (got && i < this.env.lanes) core.exports.ring_wake(i);
      n += got;
    }
    return n;
  }

  poll(): number {
    if (!this.#far) return 0;
    return this.options.sink ? this.drain(Number.POSITIVE_INFINITY, () => {}) : this.#far.poll();
  }

  get busy(): boolean {
    return this.#near?.busy ?? false;
  }

  /** What the link did with packets sent by the host and with those it received; undefined without a link. */
  get linkStats(): { sent: LinkStats; received: LinkStats } | undefined {
    return this.#near && this.#far && { sent: this.#near.stats, received: this.#far.stats };
  }

  nextDueNs(): bigint | undefined {
    return this.#near?.nextDueNs();
  }

  holders(): { name: string; frames(): Iterable<number> }[] {
    return this.#near?.holders() ?? [];
  }

  /** @internal The link and its far end: the engine's bookkeeping looks for them here. */
  get links(): LinkView[] | undefined {
    return this.#near?.links;
  }

  /** @internal */
  get farPort(): Port | undefined {
    return this.#near?.farPort;
  }

  /** Packets sent to the port that no lane has taken. */
  get waiting(): number {
    let n = 0;
    for (let i = 0; i < this.port.queueCount; i++) n += pendingIn(this.env.arena, this.port.queue(i).rxAt);
    return n;
  }

  /** Nothing can be sent any more; what was transmitted can still be received. */
  close(): void | Promise<void> {
    this.#closed = true;
  }
}
