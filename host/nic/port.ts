/**
 * A port: one interface of the engine, as the arena has it, with its rings made here.
 *
 *            queue 0 … n-1                       lane 0 … L, host
 *   feed ─▶ [ rx ring ] ─▶ lane that owns it     [ tx ring ] ─▶ txOut (link, sink, file)
 *
 * Receive queue i belongs to lane i mod L. Every lane has a transmit ring of its own, the last is the host's.
 */
import { EtherloomError } from '../errors.js';
import {
  CounterBlockLayout,
  FRAME_HEADROOM,
  FRAME_SIZE,
  type Hook,
  MAX_PORTS,
  MAX_QUEUES,
  PortFlag,
  PortLayout,
  PortView,
  QueueLayout,
  QueueView,
  RingLayout,
  RingView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { allocRing, allocViews, bindView } from '../mem/ring.js';
import { RssTable } from './rss.js';

/** Longest packet that fits a frame behind its headroom, bytes. */
export const MAX_PACKET = FRAME_SIZE - FRAME_HEADROOM;

export interface PortOptions {
  name: string;
  /** 1 … MAX_PORTS - 1; 0 makes a port outside the table, for the far end of a link. */
  ifindex: number;
  /** Lanes of the engine. */
  lanes: number;
  /** Receive queues. Default: one per lane. */
  queues?: number;
  /** Lane of the first queue; those of the others follow it, around the end. Default 0. */
  firstLane?: number;
  /** Transmit rings. Default: one per lane and one for the host. */
  txRings?: number;
  /** Entries of each ring. */
  ringSlots: number;
  /** Default 1500. */
  mtu?: number;
  /** 6 B. Default 02:00:00:00:00:ifindex. */
  mac?: Uint8Array;
  /** Packets sent are freed by the lane that sent them, and only counted. */
  sink?: boolean;
  /** Views only: the rings are the NIC's affair, who binds them and lists their frames (`Nic.holders`). */
  outside?: boolean;
}

export class Port {
  readonly #view: PortView;

  private constructor(
    readonly arena: Arena,
    readonly name: string,
    /** Address of the Port structure. */
    readonly at: number,
    readonly queueCount: number,
    readonly txCount: number,
    readonly rss: RssTable,
    /** Consumer side of the transmit rings: Ring[txCount]. */
    readonly txOutAt: number,
    /** Its rings are its NIC's affair. */
    readonly outside: boolean,
  ) {
    this.#view = new PortView(arena.dv, at);
  }

  /** Makes rings, queues, counters and the table entry. @throws EtherloomError ERR_PORT_OPTIONS, ERR_ARENA_FULL */
  static create(arena: Arena, options: PortOptions): Port {
    const { name, ifindex, lanes, ringSlots } = options;
    const queues = options.queues ?? lanes;
    const inTable = ifindex !== 0;
    const txCount = options.txRings ?? lanes + 1;
    if (ifindex >= MAX_PORTS || ifindex < 0)
      throw new EtherloomError('ERR_PORT_OPTIONS', `ifindex ${ifindex}`, {
        expected: `1 … ${MAX_PORTS - 1}`,
      });
    if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUES)
      throw new EtherloomError('ERR_PORT_OPTIONS', `${queues} queues on ${name}`, {
        expected: `a whole number from 1 to ${MAX_QUEUES}`,
      });
    const mac = options.mac ?? Uint8Array.of(2, 0, 0, 0, 0, ifindex);
    const at = inTable
      ? arena.header.portsAt + ifindex * PortLayout.size
      : arena.rings.alloc(PortLayout.size, 256);
    arena.u8.fill(0, at, at + PortLayout.size);
    const rss = RssTable.create(arena, queues);
    const txAt = allocViews(arena, txCount);
    const txOutAt = allocViews(arena, txCount);
    const queuesAt = arena.rings.alloc(queues * QueueLayout.size, 64);
    arena.u8.fill(0, queuesAt, queuesAt + queues * QueueLayout.size);
    const blocks = queues * (arena.header.laneCount + 1);
    const countersAt = arena.counters.alloc(blocks * CounterBlockLayout.size, 64);
    arena.u8.fill(0, countersAt, countersAt + blocks * CounterBlockLayout.size);
    Object.assign(new PortView(arena.dv, at), {
      ifindex,
      flags: PortFlag.UP,
      mtu: options.mtu ?? 1500,
      queueCount: queues,
      queuesAt,
      txAt,
      countersAt,
      rssAt: rss.at,
    });
    arena.u8.set(mac, at + PortLayout.mac);
    const port = new Port(arena, name, at, queues, txCount, rss, txOutAt, options.outside ?? false);
    for (let i = 0; i < txCount; i++) {
      const view = new RingView(arena.dv, port.tx(i));
      view.countersAt = port.countersAt(i % queues, Math.min(i, arena.header.laneCount));
      if (options.outside) continue;
      const ring = allocRing(arena, ringSlots);
      bindView(arena, port.tx(i), ring);
      bindView(arena, port.txOut(i), ring);
      if (options.sink) view.consumerView = port.txOut(i);
    }
    for (let i = 0; i < queues; i++) {
      const lane = (i + (options.firstLane ?? 0)) % lanes;
      const rxAt = allocViews(arena, 1);
      const rxFeedAt = options.outside ? 0 : allocViews(arena, 1);
      if (!options.outside) {
        const ring = allocRing(arena, ringSlots);
        bindView(arena, rxAt, ring);
        bindView(arena, rxFeedAt, ring, inTable ? lane : undefined);
      }
      Object.assign(port.queue(i), {
        portAt: at,
        index: i,
        lane,
        rxAt,
        rxFeedAt,
        countersAt: port.countersAt(i, lane),
      });
    }
    return port;
  }

  get ifindex(): number {
    return this.#view.ifindex;
  }

  get mtu(): number {
    return this.#view.mtu;
  }

  /** Sets or clears a PortFlag: redirects to a port that is not UP are dropped, with a reason. */
  setFlag(flag: number, on: boolean): void {
    const at = (this.at + PortLayout.flags) >> 2;
    if (on) Atomics.or(this.arena.u32, at, flag);
    else Atomics.and(this.arena.u32, at, ~flag);
  }

  /** Hardware address, 6 B: that of an interface which was made again may be another. */
  get mac(): Uint8Array {
    const at = this.at + PortLayout.mac;
    return this.arena.u8.slice(at, at + 6);
  }

  /** A line with one other end: `mac` stands for everybody there, and no neighbour is asked for. */
  setPeer(mac: Uint8Array): void {
    this.arena.u8.set(mac, this.at + PortLayout.peer);
    this.setFlag(PortFlag.NOARP, true);
  }

  /** Receive queue `i`. */
  queue(i: number): QueueView {
    return new QueueView(this.arena.dv, this.#view.queuesAt + i * QueueLayout.size);
  }

  /** Producer view of the transmit ring of lane `i` (the number of lanes: the host's). */
  tx(i: number): number {
    return this.#view.txAt + i * RingLayout.size;
  }

  /** Its consumer view. */
  txOut(i: number): number {
    return this.txOutAt + i * RingLayout.size;
  }

  /** Who consumes the transmit rings: a lane to be woken, or undefined for the host. */
  setTxConsumer(lane: number | undefined): void {
    for (let i = 0; i < this.txCount; i++)
      new RingView(this.arena.dv, this.tx(i)).wakeLane = lane === undefined ? 0 : lane + 1;
  }

  /** CounterBlock of (queue, lane). */
  countersAt(queue: number, lane: number): number {
    return (
      this.#view.countersAt + (queue * (this.arena.header.laneCount + 1) + lane) * CounterBlockLayout.size
    );
  }

  /** Table slot of the program at a hook, 0 when there is none. */
  slot(hook: Hook): number {
    return Atomics.load(this.arena.u32, (this.at + PortLayout.hook + hook * 4) >> 2);
  }

  /** Publishes a table slot at a hook: lanes use it from their next burst on. */
  setSlot(hook: Hook, slot: number): void {
    Atomics.store(this.arena.u32, (this.at + PortLayout.hook + hook * 4) >> 2, slot);
  }
}
