/**
 * What joins lanes, ports and host: pass rings, lane links, application sockets, and the lists that each lane's loop
 * walks. Also the one place that knows every ring, so that frames can be counted and a crashed lane's rings mended.
 *
 *        lane 0 ──link 0→1──▶ lane 1 ──pass 1──▶ host
 *           ◀───link 1→0─────                     │
 *           ◀──────────────link host→0────────────┘
 */
import { PktQueueMap } from '../bpf/maps/index.js';
import { mapsIn } from '../bpf/maps/map.js';
import { EtherloomError } from '../errors.js';
import {
  DESC_OPTIONS,
  DESC_SIZE,
  LaneFlag,
  MAX_PORTS,
  OPT_QUEUE_SHIFT,
  OPT_SLOT_SHIFT,
  ReplayView,
  RingLayout,
  RingView,
  SkBuffLayout,
  XdpContextLayout,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { FrameHolder } from '../mem/frames.js';
import { allocRing, allocViews, bindView, createRing, pendingIn, type RingPair } from '../mem/ring.js';
import { streamsBusy } from '../mem/streams.js';
import type { DriverPlan } from '../nic/driver.js';
import type { Nic } from '../nic/nic.js';
import type { Port } from '../nic/port.js';

export interface FabricOptions {
  ringSlots: number;
  burst: number;
  lossless: boolean;
  /** Packets that pass are counted and freed instead of going to the host. */
  passSink: boolean;
}

/** An application's end of an XSKMAP entry: packets of one queue, redirected to the host. */
export interface Socket {
  port: Port;
  queue: number;
  /** What the XSKMAP entry holds. */
  number: number;
  rings: RingPair;
}

/** The views that one lane writes, by side. */
export interface LaneViews {
  producers: number[];
  consumers: number[];
}

export class Fabric {
  /** Lane → host, one per lane. */
  readonly pass: RingPair[] = [];
  readonly sockets: Socket[] = [];
  readonly #inbound: number[] = [];
  readonly #outbound: number[] = [];
  #attended: readonly Nic[] | undefined;

  constructor(
    readonly arena: Arena,
    readonly ports: readonly Port[],
    readonly nics: readonly Nic[],
    readonly options: FabricOptions,
  ) {
    const { laneCount } = arena.header;
    for (let i = 0; i <= laneCount; i++) {
      this.#inbound.push(allocViews(arena, laneCount + 1));
      this.#outbound.push(allocViews(arena, laneCount + 1));
    }
    for (let from = 0; from <= laneCount; from++)
      for (let to = 0; to < laneCount; to++) {
        const ring = allocRing(arena, options.ringSlots);
        bindView(arena, this.outbound(from, to), ring, to);
        bindView(arena, this.inbound(to, from), ring);
      }
    for (let i = 0; i <= laneCount; i++) {
      if (i < laneCount) this.pass.push(createRing(arena, options.ringSlots));
      this.#equip(i);
    }
  }

  /** What lanes make their parts of NICs from. */
  get plans(): DriverPlan[] {
    return this.nics.flatMap(nic => nic.plan?.() ?? []);
  }

  /** Producer view of the link from lane `from` to lane `to`; the lane count names the host. */
  outbound(from: number, to: number): number {
    return this.#outbound[from] + to * RingLayout.size;
  }

  /** Consumer view at lane `to` of the link from lane `from`. */
  inbound(to: number, from: number): number {
    return this.#inbound[to] + from * RingLayout.size;
  }

  /** Gives lane `i` its contexts and lists. */
  #equip(i: number): void {
    const { arena, options, ports } = this;
    const host = i === arena.header.laneCount;
    const zeroed = (bytes: number, align = 64): number => {
      const at = arena.rings.alloc(bytes, align);
      arena.u8.fill(0, at, at + bytes);
      return at;
    };
    const queues = ports
      .flatMap(p => Array.from({ length: p.queueCount }, (_, q) => p.queue(q)))
      .filter(q => q.lane === i);
    const queuesAt = zeroed(Math.max(4, queues.length * 4));
    queues.forEach((q, k) => {
      arena.u32[(queuesAt >> 2) + k] = q.at;
    });
    // Every ring can be touched once per round: transmit rings, lane links, sockets of all queues, the pass ring.
    const touchedAt = zeroed((MAX_PORTS + arena.header.laneCount + queues.length + 2) * 4);
    Object.assign(arena.lane(i), {
      flags: (options.lossless ? LaneFlag.LOSSLESS : 0) | (options.passSink ? LaneFlag.PASS_SINK : 0),
      burst: options.burst,
      xdpAt: zeroed(XdpContextLayout.size),
      skbAt: zeroed(SkBuffLayout.size),
      queuesAt,
      queueCount: queues.length,
      inboundAt: this.#inbound[i],
      outboundAt: this.#outbound[i],
      passAt: host ? 0 : this.pass[i].producer,
      touchedAt,
    });
    this.#listOutputs(i);
  }

  /** Writes the list of rings that a lossless lane watches. */
  #listOutputs(i: number): void {
    const { arena } = this;
    if (i === arena.header.laneCount) return;
    const sinks = new Set(this.ports.flatMap(p => Array.from({ length: p.txCount }, (_, k) => p.tx(k))));
    // A sink is emptied by the lane itself and, having more room than a burst, never full at the start of a round.
    // A view without a ring stands for the ring of another lane, whose link is in the list.
    const outputs = this.views(i).producers.filter(at => {
      const view = new RingView(arena.dv, at);
      const own = sinks.has(at) && view.consumerView !== 0;
      return !own && view.slots !== 0 && !this.#feeds(i).includes(at);
    });
    const state = arena.lane(i);
    if (state.outputsAt) arena.rings.free(state.outputsAt);
    state.outputsAt = arena.rings.alloc(Math.max(4, outputs.length * 4));
    state.outputCount = outputs.length;
    outputs.forEach((at, k) => {
      arena.u32[(state.outputsAt >> 2) + k] = at;
    });
  }

  /** Whether lanes move packets between the port's rings and descriptors themselves. */
  #driven(port: Port): boolean {
    return this.nics[this.ports.indexOf(port)].plan?.()?.kind === 'tap';
  }

  /** Producer views of rings that lane `i` fills from sources of its own: replay of its queues, links that it pumps. */
  #feeds(i: number): number[] {
    const feeds = new Set<number>();
    for (const port of this.ports) {
      const pumps = port.queue(0).linkAt !== 0 && port.queue(0).lane === i;
      for (let q = 0; q < port.queueCount; q++) {
        const queue = port.queue(q);
        if (pumps) feeds.add(queue.rxFeedAt);
        if (queue.replayAt !== 0 && queue.lane === i)
          feeds.add(new ReplayView(this.arena.dv, queue.replayAt).feedAt);
      }
    }
    return [...feeds];
  }

  /** Every view that lane `i` writes. */
  views(i: number): LaneViews {
    const { arena, ports } = this;
    const { laneCount } = arena.header;
    const producers: number[] = i < laneCount ? [this.pass[i].producer] : [];
    const consumers: number[] = [];
    for (let k = 0; k <= laneCount; k++) {
      if (k < laneCount) producers.push(this.outbound(i, k));
      if (i < laneCount) consumers.push(this.inbound(i, k));
    }
    for (const port of ports) {
      if (i < port.txCount) {
        producers.push(port.tx(i));
        const emptied = new RingView(arena.dv, port.tx(i)).consumerView !== 0;
        if (emptied || (i < port.queueCount && this.#driven(port))) consumers.push(port.txOut(i));
      }
      for (let q = 0; q < port.queueCount; q++) {
        const queue = port.queue(q);
        if (queue.lane !== i) continue;
        consumers.push(queue.rxAt);
        if (queue.socketAt !== 0) producers.push(queue.socketAt);
      }
    }
    // A replay at the sending end of a link fills a transmit ring, which is in the list already.
    producers.push(...this.#feeds(i).filter(at => !producers.includes(at)));
    for (const link of this.links(i))
      for (let k = 0; k < link.fromCount; k++) consumers.push(link.fromAt + k * RingLayout.size);
    return { producers, consumers };
  }

  /** Links that lane `i` pumps. */
  links(i: number): { fromAt: number; fromCount: number; at: number }[] {
    return this.ports.flatMap(port => {
      const first = port.queue(0);
      if (first.linkAt === 0 || first.lane !== i) return [];
      const nic = this.nics[this.ports.indexOf(port)] as {
        links?: { at: number; fromAt: number; fromCount: number }[];
      };
      return (nic.links ?? []).filter(l => l.at === first.linkAt);
    });
  }

  /**
   * Opens an application socket on a queue. Before the lanes start.
   * @throws EtherloomError ERR_SOCKET_BOUND when the queue has one.
   */
  openSocket(port: Port, queue: number): Socket {
    const q = port.queue(queue);
    if (q.socketAt !== 0)
      throw new EtherloomError('ERR_SOCKET_BOUND', `queue ${queue} of ${port.name} has a socket already`);
    const rings = createRing(this.arena, this.options.ringSlots);
    q.socketAt = rings.producer;
    const socket: Socket = { port, queue, number: (port.ifindex << OPT_QUEUE_SHIFT) | queue, rings };
    this.sockets.push(socket);
    this.#listOutputs(q.lane);
    return socket;
  }

  /**
   * Whether there is something for a lane to do: sources not exhausted, packets in receive rings or links, ready streams,
   * what applications ask of theirs.
   */
  get busy(): boolean {
    if (this.nics.some(n => n.busy)) return true;
    const { arena } = this;
    for (let i = 0; i < arena.header.laneCount; i++)
      if (arena.lane(i).readyCount !== 0 || streamsBusy(arena, i)) return true;
    for (const port of this.ports)
      for (let q = 0; q < port.queueCount; q++) if (pendingIn(arena, port.queue(q).rxAt)) return true;
    return this.laneLinks().some(view => pendingIn(arena, view) !== 0);
  }

  /** Consumer views of all links from lanes and host to lanes. */
  laneLinks(): number[] {
    const { laneCount } = this.arena.header;
    const sides = Array.from({ length: laneCount + 1 }, (_, i) => i);
    return sides.slice(0, laneCount).flatMap(to => sides.map(from => this.inbound(to, from)));
  }

  /**
   * Whether a packet on its way to a lane is to be run through the program in table slot `slot` there: that of a cpumap
   * entry. Sure only for a slot that no lane puts on a link any more.
   */
  carries(slot: number): boolean {
    const { u32 } = this.arena;
    for (const view of this.laneLinks())
      for (const at of ringEntries(this.arena, view))
        if (u32[(at + DESC_OPTIONS) >> 2] >>> OPT_SLOT_SHIFT === slot) return true;
    return false;
  }

  /** NICs with a part of the host's: with many ports in one engine they are few. */
  get attended(): readonly Nic[] {
    this.#attended ??= this.nics.filter(nic => !nic.pumped);
    return this.#attended;
  }

  /** When a link of one of these NICs has something due next, ns; undefined when nothing is under way. */
  nextDueNs(nics: readonly Nic[] = this.nics): bigint | undefined {
    let next: bigint | undefined;
    for (const nic of nics) {
      const due = nic.nextDueNs?.();
      if (due !== undefined && (next === undefined || due < next)) next = due;
    }
    return next;
  }

  /** Every place that can hold frames, by name. */
  holders(): FrameHolder[] {
    const { arena } = this;
    const { laneCount } = arena.header;
    const ring = (name: string, view: number): FrameHolder => ({
      name,
      frames: () => ringFrames(arena, view),
    });
    const who = (i: number): string => (i === laneCount ? 'host' : `${i}`);
    const out: FrameHolder[] = [];
    const far = this.nics.flatMap(n => (n as { farPort?: Port }).farPort ?? []);
    const ours = this.ports.filter(port => !port.outside);
    for (const port of [...ours, ...far]) {
      for (let q = 0; q < port.queueCount; q++) out.push(ring(`rx ${port.name}/${q}`, port.queue(q).rxAt));
      for (let i = 0; i < port.txCount; i++) out.push(ring(`tx ${port.name}/${i}`, port.txOut(i)));
    }
    for (const [i, p] of this.pass.entries()) out.push(ring(`pass ${i}`, p.consumer));
    for (let to = 0; to < laneCount; to++)
      for (let from = 0; from <= laneCount; from++)
        out.push(ring(`link ${who(from)}→${who(to)}`, this.inbound(to, from)));
    for (const s of this.sockets) out.push(ring(`socket ${s.port.name}/${s.queue}`, s.rings.consumer));
    for (const map of mapsIn(arena))
      if (map instanceof PktQueueMap)
        for (let i = 0; i <= laneCount; i++)
          out.push({ name: `pkt_queue ${map.name}/${who(i)}`, frames: () => map.frames(i) });
    for (const nic of this.nics) out.push(...(nic.holders?.() ?? []));
    return out;
  }
}

/** Addresses of the packets published and not released in a ring. */
export function* ringFrames(arena: Arena, view: number): Generator<number> {
  for (const at of ringEntries(arena, view)) yield arena.u32[at >> 2];
}

/** Addresses of the descriptors published and not released in a ring, oldest first. */
function* ringEntries(arena: Arena, view: number): Generator<number> {
  const v = new RingView(arena.dv, view);
  if (v.slots === 0) return;
  const to = Atomics.load(arena.u32, v.producerAt >> 2);
  for (let i = Atomics.load(arena.u32, v.consumerAt >> 2); i !== to; i = (i + 1) >>> 0)
    yield v.entriesAt + (i & v.mask) * DESC_SIZE;
}
