/**
 * The model NIC: two ends joined by a link with rate, delay, loss, duplication, reordering, corruption and ECN marks,
 * all drawn from one seed. The work per packet is assembly/nic/link.ts, settings and counts are link.ts; here are the ends.
 *
 *   engine ══ port A ◀────── link b→a ──────  port B ══ the same engine, or nobody: then the host is the far side
 *                    ──────  link a→b ──────▶            (`b.send(bytes)`, `b.receive()`)
 *
 * A link is pumped by whoever receives: the lane that owns queue 0 of the receiving port, or the host.
 */
import { EtherloomError } from '../errors.js';
import { FRAME_HEADROOM, type LinkView } from '../layout/layout.gen.js';
import { drainRing, type Packet, pendingIn } from '../mem/ring.js';
import { createLink, framesUnderWay, type LinkSettings, type LinkStats, linkStats } from './link.js';
import type { Nic, NicEnv, NicKind } from './nic.js';
import { Port } from './port.js';
import { checkSend } from './sendable.js';

export interface ModelOptions extends LinkSettings {
  /** Names of the ends are `${name}.a` and `${name}.b`. Default "model". */
  name?: string;
  /** Names of the ends, where those would not do. */
  names?: readonly [a: string, b: string];
  /** Same seed, same packets, same times: same outcome. Default 1. */
  seed?: number | bigint;
  /** Where one direction differs. */
  aToB?: LinkSettings;
  bToA?: LinkSettings;
  /** Receive queues of the ports. Default: one per lane. */
  queues?: number;
  /** Lane of the first queue of each end: with one queue, the lane that the end belongs to. Default 0. */
  firstLanes?: readonly [a: number, b: number];
  mtu?: number;
  ringSlots?: number;
}

const NEVER = 0xffffffffffffffffn;

export class ModelEnd implements Nic {
  readonly kind: NicKind = 'model';
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #peer: ModelEnd | undefined;
  /** False for an end that no engine opened: the host is the far side. */
  #owned = false;
  #closed = false;
  /** The direction that ends here. */
  #incoming: LinkView | undefined;

  constructor(
    readonly name: string,
    readonly options: ModelOptions,
    readonly settings: LinkSettings,
    readonly seed: bigint,
    readonly firstLane: number,
  ) {}

  /** @internal Called by modelLink. */
  join(peer: ModelEnd): void {
    this.#peer = peer;
  }

  open(env: NicEnv): Port {
    if (this.#port) throw new EtherloomError('ERR_NIC_OPEN', `${this.name} is open already`);
    this.#owned = true;
    return this.#make(env, env.ifindex, this.options.queues, env.lanes + 1);
  }

  #make(env: NicEnv, ifindex: number, queues: number | undefined, txRings: number): Port {
    this.#env = env;
    this.#port = Port.create(env.arena, {
      name: this.name,
      ifindex,
      lanes: env.lanes,
      queues,
      firstLane: this.#owned ? this.firstLane : 0,
      txRings,
      mtu: this.options.mtu,
      ringSlots: this.options.ringSlots ?? env.ringSlots,
    });
    return this.#port;
  }

  connect(): void {
    const peer = this.#peer!;
    const env = this.env;
    if (!peer.#port) peer.#make(env, 0, 1, 1);
    if (peer.#env!.arena !== env.arena)
      throw new EtherloomError('ERR_NIC_OPEN', `${this.name} and ${peer.name} belong to different engines`);
    if (!this.#incoming) this.#attach(peer);
    if (!peer.#incoming) peer.#attach(this);
  }

  /** Lays the direction from `peer` to this end. */
  #attach(peer: ModelEnd): void {
    const link = createLink(this.env, peer.#port!, this.#port!, this.settings, this.seed);
    this.#incoming = link;
    if (!this.#owned) return;
    const first = this.#port!.queue(0);
    first.linkAt = link.at;
    peer.#port!.setTxConsumer(first.lane);
  }

  get env(): NicEnv {
    if (!this.#env) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#env;
  }

  get port(): Port {
    if (!this.#port) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#port;
  }

  /**
   * Sends from the far side into the link. False when the ring is full or no frame is free.
   * @throws EtherloomError ERR_NIC_PACKET, ERR_NIC_CLOSED as HostNic.send
   */
  send(bytes: Uint8Array): boolean {
    return this.place(bytes) !== 0;
  }

  /** @internal `send` that tells the arena address of the packet; 0 when there is no room. */
  place(bytes: Uint8Array): number {
    const { arena, core, lanes } = this.env;
    const x = core.exports;
    checkSend(this.name, this.#closed, bytes);
    // The last transmit ring is the host's, at either kind of end.
    const tx = this.port.tx(this.#owned ? lanes : 0);
    if (!x.ring_reserve(tx, 1)) return 0;
    const frame = x.frame_alloc() >>> 0;
    if (frame === 0xffffffff) return 0;
    const addr = frame + FRAME_HEADROOM;
    const at = arena.header.packetAt + addr;
    arena.u8.set(bytes, at);
    x.ring_push(tx, addr, bytes.length, 0);
    x.ring_submit(tx);
    return at;
  }

  /** Packets that have arrived at the far side by now; at most `max`. @throws EtherloomError ERR_NIC_OWNED when lanes own this end */
  receive(max = 0x7fffffff): Packet[] {
    const packets: Packet[] = [];
    this.drain(max, data => {
      packets.push({ data: data.slice(), ifindex: 0, queue: 0 });
    });
    return packets;
  }

  /**
   * Like `receive` without copies: the bytes are good during the call only. Returns packets taken.
   * @throws EtherloomError ERR_NIC_OWNED when lanes own this end
   */
  drain(max: number, take: (data: Uint8Array) => void): number {
    if (this.#owned)
      throw new EtherloomError('ERR_NIC_OWNED', `what arrives at ${this.name} goes to the lanes`);
    const { arena, core } = this.env;
    let n = 0;
    for (let got = 1; got && n < max; n += got) {
      this.poll();
      got = drainRing(arena, core, this.port.queue(0).rxAt, Math.min(max - n, 0x7fffffff), take);
    }
    return n;
  }

  /** Where lanes have both ends they do it all. */
  get pollMs(): number {
    return this.#owned && this.#peer!.#owned ? Number.POSITIVE_INFINITY : 1;
  }

  /** Pumps the direction that ends at the far side. */
  poll(): number {
    const { core, lanes, now } = this.env;
    const far = this.#owned ? this.#peer! : this;
    if (far.#owned || !far.#incoming) return 0;
    core.exports.clock_set(now());
    const moved = core.exports.link_pump(far.#incoming.at, 0x7fffffff);
    // A lossless lane may be waiting for this room.
    for (let i = 0; moved && i < lanes; i++) core.exports.ring_wake(i);
    return moved;
  }

  /** What became of the packets of the direction that ends here. */
  get stats(): LinkStats {
    const l = this.#incoming;
    if (!l) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return linkStats(this.env.arena, l);
  }

  /** Both ends belong to the engine: each direction is pumped by the lane that receives. */
  get pumped(): boolean {
    return this.#peer!.#owned && this.#owned;
  }

  get busy(): boolean {
    return this.#directions().some(end => end.#waits() || end.#unsent() !== 0);
  }

  /** Whether packets are under way, or wait for the wire. */
  #waits(): boolean {
    const { heapCount, waiting } = this.#incoming!;
    return heapCount + waiting !== 0;
  }

  /** Packets in the peer's transmit rings that the link has not taken. */
  #unsent(): number {
    const from = this.#peer!.#port!;
    let n = 0;
    for (let i = 0; i < from.txCount; i++) n += pendingIn(this.env.arena, from.txOut(i));
    return n;
  }

  /** Directions this NIC answers for: its own, and that of a far side which no engine owns. */
  #directions(): ModelEnd[] {
    const peer = this.#peer!;
    return [this as ModelEnd, ...(peer.#owned ? [] : [peer])].filter(end => end.#incoming);
  }

  nextDueNs(): bigint | undefined {
    let next = NEVER;
    for (const end of this.#directions()) {
      const due = BigInt.asUintN(64, this.env.core.exports.link_next_due(end.#incoming!.at));
      if (due < next) next = due;
    }
    return next === NEVER ? undefined : next;
  }

  holders(): { name: string; frames(): Iterable<number> }[] {
    const { arena } = this.env;
    const out: { name: string; frames(): Iterable<number> }[] = [];
    for (const end of this.#directions()) {
      out.push({
        name: `link to ${end.name}`,
        frames: () => framesUnderWay(arena, end.#incoming!),
      });
    }
    return out;
  }

  /** The port of a far side that no engine owns: its rings hold frames, too. */
  get farPort(): Port | undefined {
    const peer = this.#peer!;
    return peer.#owned ? undefined : peer.#port;
  }

  /** @internal Link structures that end at this NIC's port or far side, for the recovery of a crash. */
  get links(): LinkView[] {
    return this.#directions().map(end => end.#incoming!);
  }

  /** Nothing can be sent any more, from a far side that no engine owns neither. */
  close(): void {
    for (const end of this.#directions()) end.#closed = true;
  }
}

/** Two NICs and the link between them. Give one or both to `Engine.create`. */
export function modelLink(options: ModelOptions = {}): { a: ModelEnd; b: ModelEnd } {
  const name = options.name ?? 'model';
  const seed = BigInt(options.seed ?? 1);
  const { aToB, bToA, names = [`${name}.a`, `${name}.b`], firstLanes = [0, 0], ...both } = options;
  // The two directions draw from different sequences.
  const a = new ModelEnd(names[0], options, { ...both, ...bToA }, seed * 2n, firstLanes[0]);
  const b = new ModelEnd(names[1], options, { ...both, ...aToB }, seed * 2n + 1n, firstLanes[1]);
  a.join(b);
  b.join(a);
  return { a, b };
}
