/**
 * The model NIC: two ends joined by a link with rate, delay, loss, duplication, reordering, corruption and ECN marks,
 * all drawn from one seed. The work per packet is assembly/nic/link.ts; here are its settings and its ends.
 *
 *   engine ══ port A ◀────── link b→a ──────  port B ══ the same engine, or nobody: then the host is the far side
 *                    ──────  link a→b ──────▶            (`b.send(bytes)`, `b.receive()`)
 *
 * A link is pumped by whoever receives: the lane that owns queue 0 of the receiving port, or the host.
 */
import { EtherloomError } from '../errors.js';
import { FRAME_HEADROOM, LINK_ENTRY_SIZE, LinkLayout, LinkView } from '../layout/layout.gen.js';
import { drainRing, type Packet, pendingIn } from '../mem/ring.js';
import type { Nic, NicEnv, NicKind } from './nic.js';
import { Port } from './port.js';
import { checkSend } from './sendable.js';

/** One direction of the wire. Everything off by default: packets only change rings. */
export interface LinkSettings {
  /** Bits per second. Default: no limit. */
  rate?: number;
  /** Propagation delay, ns. */
  delayNs?: number;
  /** Uniform extra delay of 0 … jitterNs; packets may overtake each other. */
  jitterNs?: number;
  /** Probabilities, 0 … 1. */
  loss?: number;
  duplicate?: number;
  /** A packet that skips the delay and so overtakes those under way. */
  reorder?: number;
  /** One bit of the packet is flipped. */
  corrupt?: number;
  /** Bytes that may wait for the wire; more are dropped. Default: no limit. Needs `rate`. */
  queueBytes?: number;
  /** Bytes waiting from which ECN-capable packets are marked CE. Default: never. Needs `rate`. */
  ecnBytes?: number;
  /** Packets that may be under way. Default 4096. */
  packets?: number;
}

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

export interface LinkStats {
  taken: number;
  delivered: number;
  lost: number;
  overflowed: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  marked: number;
  /** Packets under way now. */
  underWay: number;
}

const NEVER = 0xffffffffffffffffn;

/** A probability as the link has it: × 2^32, the largest u32 for 1. */
function chance(p: number | undefined, what: string): number {
  if (p === undefined) return 0;
  if (!(p >= 0 && p <= 1))
    throw new EtherloomError('ERR_LINK_OPTIONS', `${what} ${p}`, { expected: 'a probability from 0 to 1' });
  return Math.min(0xffffffff, Math.round(p * 2 ** 32));
}

function amount(n: number | undefined, what: string, most = Number.MAX_SAFE_INTEGER): number {
  if (n === undefined) return 0;
  if (!Number.isInteger(n) || n < 0 || n > most)
    throw new EtherloomError('ERR_LINK_OPTIONS', `${what} ${n}`, {
      expected: `a whole number from 0 to ${most}`,
    });
  return n;
}

/** Makes the link from the transmit rings of `from` to the receive queues of `to`. */
function createLink(env: NicEnv, from: Port, to: Port, s: LinkSettings, seed: bigint): LinkView {
  const { arena } = env;
  const heapMax = amount(s.packets ?? 4096, 'packets', 1 << 20);
  const rate = amount(s.rate, 'rate');
  if ((s.queueBytes || s.ecnBytes) && !rate)
    throw new EtherloomError('ERR_LINK_OPTIONS', 'a buffer without a rate never fills', { expected: 'rate' });
  const at = arena.rings.alloc(LinkLayout.size, 64);
  arena.u8.fill(0, at, at + LinkLayout.size);
  const link = new LinkView(arena.dv, at);
  Object.assign(link, {
    fromAt: from.txOut(0),
    fromCount: from.txCount,
    toPort: to.at,
    loss: chance(s.loss, 'loss'),
    duplicate: chance(s.duplicate, 'duplicate'),
    reorder: chance(s.reorder, 'reorder'),
    corrupt: chance(s.corrupt, 'corrupt'),
    queueBytes: amount(s.queueBytes, 'queueBytes', 2 ** 31),
    ecnBytes: amount(s.ecnBytes, 'ecnBytes', 2 ** 31),
    rate: BigInt(rate),
    delayNs: BigInt(amount(s.delayNs, 'delayNs')),
    jitterNs: BigInt(amount(s.jitterNs, 'jitterNs')),
    random: BigInt.asUintN(64, seed),
    heapMax,
  });
  const shaped = [link.loss, link.duplicate, link.reorder, link.corrupt].some(n => n !== 0);
  const timed = link.rate !== 0n || link.delayNs !== 0n || link.jitterNs !== 0n;
  link.plain = shaped || timed ? 0 : 1;
  if (!link.plain) link.heapAt = arena.rings.alloc(heapMax * LINK_ENTRY_SIZE, 64);
  return link;
}

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
    const { taken, delivered, lost, overflowed, duplicated, reordered, corrupted, marked } = l;
    const n = { taken, delivered, lost, overflowed, duplicated, reordered, corrupted, marked };
    const counts = Object.fromEntries(Object.entries(n).map(([k, v]) => [k, Number(v)]));
    return { ...(counts as Omit<LinkStats, 'underWay'>), underWay: l.heapCount };
  }

  get busy(): boolean {
    return this.#directions().some(end => end.#incoming!.heapCount !== 0 || end.#unsent() !== 0);
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
        *frames() {
          const l = end.#incoming!;
          for (let i = 0; i < l.heapCount; i++) yield arena.u32[(l.heapAt + i * LINK_ENTRY_SIZE + 12) >> 2];
        },
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
