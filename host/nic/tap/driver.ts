/**
 * The lane's side of a TUN/TAP port: reads what the kernel sent into receive rings before a step, writes what the step
 * transmitted after it. The lane sleeps in poll(2) on its descriptors. The host opens, watches and joins again.
 */
import { PortView, QueueLayout, QueueView, RingLayout, RingView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import type { Native } from '../../native/load.js';
import type { LaneDriver } from '../driver.js';
import { deviceOf } from './device.js';
import { Hand } from './hand.js';
import { discard, GONE, type Pump, pull, push } from './pump.js';
import { TapCounts } from './stats.js';

/** What a lane makes its driver from. */
export interface TapPlan {
  kind: 'tap';
  /** Address of the Port. */
  portAt: number;
  /** Consumer views of its transmit rings. */
  txOutAt: number;
  /** First of the blocks that threads count in. */
  countsAt: number;
  /** TUN: hardware addresses of the header that packets get. */
  header: Uint8Array | undefined;
}

/** Packets moved by queue and step. */
const BATCH = 64;

interface DrivenQueue {
  /** Index of the word that holds 1 + descriptor; 0 while the interface is deleted. */
  word: number;
  feeds: number[];
  pump: Pump;
}

export class TapDriver implements LaneDriver {
  readonly fetches = true;
  readonly #fds: number[];

  private constructor(
    readonly native: Native,
    readonly arena: Arena,
    readonly portAt: number,
    readonly queues: readonly DrivenQueue[],
    /** Consumer view of the lane's transmit ring. */
    readonly out: number,
  ) {
    this.#fds = queues.map(() => -1);
  }

  /** Undefined when the lane owns no queue of the port. */
  static create(
    native: Native,
    arena: Arena,
    core: Core,
    lane: number,
    plan: TapPlan,
  ): TapDriver | undefined {
    const port = new PortView(arena.dv, plan.portAt);
    const stats = TapCounts.of(arena, plan.countsAt, lane);
    const hand = new Hand(arena, lane);
    const queues: DrivenQueue[] = [];
    for (let i = 0; i < port.queueCount; i++) {
      const at = port.queuesAt + i * QueueLayout.size;
      const queue = new QueueView(arena.dv, at);
      if (queue.lane !== lane) continue;
      const word = (at + QueueLayout.fd) >> 2;
      // The descriptor is looked up at each step.
      const pump = { arena, core, device: deviceOf(-1, native), hand, stats, header: plan.header };
      queues.push({ word, feeds: [queue.rxFeedAt], pump });
    }
    const out = plan.txOutAt + lane * RingLayout.size;
    return queues.length ? new TapDriver(native, arena, plan.portAt, queues, out) : undefined;
  }

  get fds(): readonly number[] {
    for (let i = 0; i < this.queues.length; i++)
      this.#fds[i] = Atomics.load(this.arena.u32, this.queues[i].word) - 1;
    return this.#fds;
  }

  get pending(): boolean {
    const { producerAt, consumerAt } = new RingView(this.arena.dv, this.out);
    return Atomics.load(this.arena.u32, producerAt >> 2) !== Atomics.load(this.arena.u32, consumerAt >> 2);
  }

  pull(): void {
    for (const q of this.queues)
      if (this.#there(q) && pull(q.pump, q.feeds, this.portAt, BATCH) === GONE) this.#lose(q);
  }

  push(): void {
    const [first] = this.queues;
    if (!this.#there(first)) discard(first.pump, this.out);
    else if (push(first.pump, this.out, BATCH) === GONE) this.#lose(first);
  }

  /** Looked at each step: the host takes a descriptor away, and gives it back, when the interface goes and comes. */
  #there(q: DrivenQueue): boolean {
    const fd = Atomics.load(this.arena.u32, q.word) - 1;
    if (fd >= 0 && fd !== q.pump.device.fd) q.pump.device = deviceOf(fd, this.native);
    return fd >= 0;
  }

  /** The host sees it, and joins the interface again when it is there. */
  #lose(q: DrivenQueue): void {
    Atomics.store(this.arena.u32, q.word, 0);
  }
}
