/**
 * What a NIC is: the one interface of model, replay, pcap, af_xdp, tap and tun.
 * A NIC opens into a Port of the arena, whose rings the lanes drive without calling it. It is called by the host only.
 */
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import type { DriverPlan } from './driver.js';
import type { Port } from './port.js';

export type NicKind = 'model' | 'replay' | 'pcap' | 'host' | 'af_xdp' | 'tap' | 'tun';

/** What a NIC is opened with. */
export interface NicEnv {
  readonly arena: Arena;
  /** The host's instance of the core: ring verbs, steering. */
  readonly core: Core;
  /** Lanes of the engine; lane number `lanes` is the host. */
  readonly lanes: number;
  /** NICs of the engine that lend frames to the kernel: they share half of all. */
  readonly lenders: number;
  /**
   * Packets must pass the host, for whoever opens the NIC lays rings of its own before the port's (wrap/wrapper.ts): the
   * port has ordinary rings, and `poll` moves what lanes would have driven. Default false.
   */
  readonly byHost?: boolean;
  /** Number that the port gets. */
  readonly ifindex: number;
  /** Entries of each ring, a power of two. */
  readonly ringSlots: number;
  /** The engine's clock, ns. */
  now(): bigint;
  /**
   * Does `work` while every lane stands still between two bursts: for changes of rings that lanes drive.
   * @throws EtherloomError ERR_LANE_STUCK, and what `work` throws
   */
  paused(work: () => void): Promise<void>;
}

export interface Nic {
  readonly name: string;
  readonly kind: NicKind;
  /** Makes the port. Called once, before the lanes start. @throws EtherloomError ERR_NIC_* */
  open(env: NicEnv): Port;
  /** Called when every NIC of the engine is open: ends of a link find each other here. */
  connect?(): void;
  /** Resolves when what `open` could not wait for is there. Before the lanes start. @throws EtherloomError ERR_NIC_* */
  ready?(): Promise<void>;
  /** Called when the lanes run: what is outside may send from now on. @throws EtherloomError ERR_NIC_* */
  start?(): void;
  /**
   * The host's part between bursts: moves packets between the rings and whatever lies outside (a file, a peer).
   * Never blocks. Returns packets moved; 0 when there was nothing to do.
   */
  poll(): number;
  /**
   * How long lanes in workers may go on without a `poll`, ms. Default 1: packets wait for it. More where it only looks
   * after the interface: each call takes CPU time from a lane that shares the core.
   */
  readonly pollMs?: number;
  /** Whether packets are still to come without anybody sending: a source not exhausted, packets under way. */
  readonly busy: boolean;
  /** The lanes do it all: `poll` moves nothing, and what is due they know themselves. Known when it is connected. */
  readonly pumped?: boolean;
  /** When something falls due next, ns of the engine's clock; undefined when nothing does. */
  nextDueNs?(): bigint | undefined;
  /** Other places than the port's rings where it keeps frames. */
  holders?(): { name: string; frames(): Iterable<number> }[];
  /** It lends frames to the kernel. */
  readonly lends?: boolean;
  /** What the threads of lanes make their part of the NIC from; undefined when the host does it all. */
  plan?(): DriverPlan | undefined;
  /** Lets go of files and sockets. The rings stay readable. */
  close(): void | Promise<void>;
}
