/**
 * The lane's side of an AF_XDP port. All that is left to do outside Wasm is the system call that makes the kernel send,
 * and in zero-copy mode the one that makes it look for empty frames. Rings are read here, never moved.
 */
import {
  LaneStateLayout,
  PortView,
  QueueLayout,
  QueueView,
  RingLayout,
  RingView,
} from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Native } from '../../native/load.js';
import type { LaneDriver } from '../driver.js';

/** XDP_RING_NEED_WAKEUP. */
const NEED_WAKEUP = 1;
/** A ring that holds more is a matter of the next step: nobody else may starve. */
const MOST_KICKS = 64;
const EAGAIN = -11;
const EBUSY = -16;

/** A queue of the lane: indices into the arena's words. */
interface QueueWords {
  /** 1 + descriptor; 0 while the interface is gone. */
  fd: number;
  /** Ring views are read at each call: the rings of a queue are there only after its first socket. */
  fill: RingView | undefined;
  tx: RingView | undefined;
}

export class AfXdpDriver implements LaneDriver {
  readonly fetches = false;
  /** Index of LaneState.owedKicks. */
  readonly #owed: number;
  /** Something stayed on a ring that the kernel was to take it from. */
  #left = false;
  readonly #fds: number[] = [];
  readonly #pollfd = new Uint8Array(8);
  readonly #pollView = new DataView(this.#pollfd.buffer);

  private constructor(
    readonly native: Native,
    readonly arena: Arena,
    thread: number,
    readonly queues: readonly QueueWords[],
  ) {
    this.#owed = (arena.header.lanesAt + thread * LaneStateLayout.size + LaneStateLayout.owedKicks) >> 2;
  }

  /** Undefined when the lane owns no queue of the port. `thread`: whose core drives the rings, if not the lane's. */
  static create(
    native: Native,
    arena: Arena,
    lane: number,
    portAt: number,
    thread = lane,
  ): AfXdpDriver | undefined {
    const port = new PortView(arena.dv, portAt);
    const queues: QueueWords[] = [];
    for (let i = 0; i < port.queueCount; i++) {
      const at = port.queuesAt + i * QueueLayout.size;
      const queue = new QueueView(arena.dv, at);
      if (queue.lane !== lane) continue;
      // The lane transmits on the first of its queues.
      const tx = queues.length ? undefined : new RingView(arena.dv, port.txAt + lane * RingLayout.size);
      const fill = new RingView(arena.dv, queue.fillAt);
      queues.push({ fd: (at + QueueLayout.fd) >> 2, fill, tx });
    }
    return queues.length ? new AfXdpDriver(native, arena, thread, queues) : undefined;
  }

  get fds(): readonly number[] {
    for (let i = 0; i < this.queues.length; i++)
      this.#fds[i] = Atomics.load(this.arena.u32, this.queues[i].fd) - 1;
    return this.#fds;
  }

  get pending(): boolean {
    return this.#left;
  }

  pull(): void {}

  push(): void {
    const { u32 } = this.arena;
    if (u32[this.#owed] === 0 && !this.#left) return;
    this.#left = false;
    for (const q of this.queues) {
      const fd = u32[q.fd] - 1;
      if (fd < 0) continue;
      if (q.tx && this.#transmit(fd, q.tx)) this.#left = true;
      if (q.fill && u32[q.fill.flagsAt >> 2] & NEED_WAKEUP) this.#wakeDriver(fd);
    }
  }

  /**
   * Kicks until the ring is empty, or the kernel takes no more. Whether something stays: that is tried again after the
   * next step.
   */
  #transmit(fd: number, tx: RingView): boolean {
    const { u32 } = this.arena;
    const producer = tx.producerAt >> 2;
    const consumer = tx.consumerAt >> 2;
    const flags = tx.flagsAt >> 2;
    // Plain loads: what an old value would hide is seen after the next step, and an atomic one is a call in V8.
    let at = u32[consumer];
    for (let kicks = 0; kicks < MOST_KICKS; kicks++) {
      if (u32[producer] === at) return false;
      if (!(u32[flags] & NEED_WAKEUP)) return true;
      const rc = this.native.kick(fd);
      // EAGAIN: more than a call sends, or no room. EBUSY: the device dropped one, and took the frame.
      if (rc < 0 && rc !== EAGAIN && rc !== EBUSY) return true;
      const now = u32[consumer];
      if (now === at) return true;
      at = now;
    }
    return true;
  }

  /** A zero-copy driver that ran out of frames and sleeps: poll(2) wakes it. */
  #wakeDriver(fd: number): void {
    this.#pollView.setInt32(0, fd, true);
    this.#pollView.setInt16(4, 1, true);
    this.native.poll(this.#pollfd, 0);
  }
}
