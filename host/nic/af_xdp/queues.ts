/**
 * The sockets of an AF_XDP port and the views that lanes drive their rings by. Views and pages are reserved once;
 * sockets come and go with the interface. Called by the AF_XDP NIC while no lane runs.
 */
import { PortView, QueueLayout, RingView } from '../../layout/layout.gen.js';
import { allocViews, bindView } from '../../mem/ring.js';
import type { Native } from '../../native/load.js';
import type { NicEnv } from '../nic.js';
import type { Port } from '../port.js';
import type { KernelRing, RingKind } from './rings.js';
import { type CopyMode, type SocketStats, XskSocket } from './socket.js';

/** What is left at closing is kicked so many times at most. */
const LAST_KICKS = 4096;

interface Queue {
  index: number;
  lane: number;
  /** Whether its lane transmits here: the lane's first queue, if the interface sends on it. */
  transmits: boolean;
  rings: Map<RingKind, KernelRing>;
}

export interface QueuesOptions {
  native: Native;
  name: string;
  namespace: string | undefined;
  slots: number;
  /** Transmit queues of the interface: a socket on a queue above them sends nothing, and the kernel says nothing. */
  txQueues: number;
}

export class Queues {
  readonly slots: number;
  readonly #queues: Queue[] = [];
  #sockets: XskSocket[] = [];
  /** How packets are carried between kernel and frames. */
  carried: { mode: CopyMode; reason: string } | undefined;

  constructor(
    readonly env: NicEnv,
    /** Whose views the lanes, or the host (relay.ts), drive the kernel's rings by. */
    readonly port: Port,
    readonly options: QueuesOptions,
  ) {
    this.slots = options.slots;
    const { arena } = env;
    const lanes = new Set<number>();
    for (let i = 0; i < port.queueCount; i++) {
      const view = port.queue(i);
      view.fillAt = allocViews(arena, 1);
      view.completionAt = allocViews(arena, 1);
      this.#queues.push({
        index: i,
        lane: view.lane,
        transmits: !lanes.has(view.lane) && i < options.txQueues,
        rings: new Map(),
      });
      lanes.add(view.lane);
    }
    // Lanes without a queue here hand over what they transmit.
    new PortView(arena.dv, port.at).txLane = port.queue(0).lane;
  }

  /** Transmit queues that the interface must have. */
  get txQueues(): number {
    return Math.max(...this.#queues.map(q => (q.transmits ? q.index + 1 : 0)));
  }

  /** Lanes with a queue of their own that hand over what they transmit, as the interface sends on fewer. */
  get handingOver(): number {
    const lanes = new Set(this.#queues.map(q => q.lane));
    return lanes.size - this.#queues.filter(q => q.transmits).length;
  }

  /**
   * A socket on every queue. `name` tells the program of each.
   * @throws EtherloomError ERR_NIC_<ERRNO>; no socket is open then
   */
  open(ifindex: number, zeroCopy: boolean, name: (queue: number, fd: number) => void): void {
    const { arena } = this.env;
    try {
      for (const { transmits, rings } of this.#queues) {
        const options = { ...this.options, arena, transmits, rings };
        this.#sockets.push(XskSocket.open(options, this.#sockets[0]));
      }
      for (const [i, socket] of this.#sockets.entries()) {
        const carried = socket.bind(ifindex, i, i ? { share: this.#sockets[0] } : { zeroCopy });
        if (i === 0) this.carried = carried;
        name(i, socket.fd);
      }
    } catch (error) {
      this.close();
      throw error;
    }
    for (const queue of this.#queues) this.#bind(queue, this.#sockets[queue.index].fd);
  }

  /** Points the views of a queue to its rings as they are now; without socket to rings that are empty and stay so. */
  #bind(queue: Queue, fd: number | undefined): void {
    const { arena } = this.env;
    const view = this.port.queue(queue.index);
    for (const [kind, { place }] of queue.rings) {
      if (kind === 'rx') bindView(arena, view.rxAt, place);
      else if (kind === 'completion') bindView(arena, view.completionAt, place);
      else if (kind === 'fill')
        bindView(arena, view.fillAt, fd === undefined ? { ...place, slots: 0 } : place);
      else {
        bindView(arena, this.port.tx(queue.lane), place);
        bindView(arena, this.port.txOut(queue.lane), place);
        new RingView(arena.dv, this.port.tx(queue.lane)).lender = this.env.ifindex;
      }
    }
    Atomics.store(arena.u32, (view.at + QueueLayout.fd) >> 2, fd === undefined ? 0 : fd + 1);
  }

  /** Closes every socket. Frames in their rings are the caller's to take back. */
  close(): void {
    const opened = this.#sockets.splice(0);
    for (const socket of opened) socket.close();
    for (const queue of this.#queues) this.#bind(queue, undefined);
  }

  /**
   * Sends what is left and closes every socket, at the end: what was received and not read stays in the rings.
   * Returns addresses of those packets.
   */
  closeForGood(): number[] {
    const received: { ring: KernelRing; saved: Uint8Array }[] = [];
    for (const [i, socket] of this.#sockets.entries()) {
      for (let k = 0; k < LAST_KICKS && this.#sends(this.#queues[i]); k++) {
        const rc = this.options.native.kick(socket.fd);
        if (rc < 0 && rc !== -11 && rc !== -16) break;
      }
      const ring = this.#queues[i].rings.get('rx')!;
      received.push({ ring, saved: ring.save() });
    }
    const opened = this.#sockets.splice(0);
    for (const socket of opened) socket.close();
    const kept: number[] = [];
    for (const { ring, saved } of received) {
      ring.restore(saved);
      kept.push(...ring.addresses());
    }
    for (const queue of this.#queues) this.#bind(queue, undefined);
    return kept;
  }

  #sends(queue: Queue): boolean {
    return !queue.rings.get('tx')?.addresses().next().done;
  }

  get sending(): boolean {
    return this.#sockets.length !== 0 && this.#queues.some(q => q.transmits && this.#sends(q));
  }

  /** Packets in the transmit rings. */
  get unsent(): number {
    return this.#queues.reduce((n, q) => n + [...(q.rings.get('tx')?.addresses() ?? [])].length, 0);
  }

  /** Packets that one kick sends at most, in copy mode; undefined while no socket is open. */
  get kickPackets(): number | undefined {
    return this.#sockets.at(0)?.kickPackets;
  }

  /** An error that the kernel noted at a socket, 0 for none. */
  takeError(): number {
    for (const socket of this.#sockets) {
      const error = socket.takeError();
      if (error) return error;
    }
    return 0;
  }

  get stats(): SocketStats[] {
    return this.#sockets.map(s => s.stats);
  }

  /** Addresses of the frames in each ring, by name. */
  frames(): Map<string, number[]> {
    const places = new Map<string, number[]>();
    for (const { index, rings } of this.#queues)
      for (const [kind, ring] of rings)
        places.set(`${kind} ${this.port.name}/${index}`, [...ring.addresses()]);
    return places;
  }
}
