/** The host's end of pass rings and application sockets: where packets come up to JavaScript. */
import { OPT_META_SHIFT, OPT_QUEUE_SHIFT } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { drainRing, type Packet } from '../mem/ring.js';
import type { Port } from '../nic/port.js';
import type { Fabric, Socket } from './fabric.js';

/** Largest count that the core takes. */
const ALL = 0x7fffffff;

/** The bytes are good during the call only. */
export type TakePacket = (data: Uint8Array, ifindex: number, queue: number, meta: Uint8Array) => void;

/** A socket that the host reads. */
export type HostSocket = Socket & {
  /** Packets redirected to it, oldest first; at most `max`. */
  receive(max?: number): Packet[];
};

/** Calls `drain` with a taker that copies, and returns the copies. */
function copies(drain: (take: TakePacket) => void): Packet[] {
  const packets: Packet[] = [];
  drain((data, ifindex, queue, meta) => {
    const packet: Packet = { data: data.slice(), ifindex, queue };
    if (meta.length) packet.meta = meta.slice();
    packets.push(packet);
  });
  return packets;
}

export class HostEnd {
  constructor(
    readonly arena: Arena,
    readonly core: Core,
    readonly fabric: Fabric,
  ) {}

  /** Packets that passed, at most `max`: lane by lane, oldest first. */
  receive(max = ALL): Packet[] {
    return copies(take => this.drain(max, take));
  }

  /** Like `receive` without copies. Returns packets taken. */
  drain(max: number, take: TakePacket): number {
    let n = 0;
    for (const [lane, ring] of this.fabric.pass.entries())
      n += this.#drain(ring.consumer, max - n, lane, take);
    return n;
  }

  #drain(view: number, max: number, lane: number, take: TakePacket): number {
    const { arena, core } = this;
    const n = drainRing(arena, core, view, max, (data, options, at) => {
      const meta = (options >>> OPT_META_SHIFT) & 0xff;
      take(data, options & 0xff, (options >>> OPT_QUEUE_SHIFT) & 0xff, arena.u8.subarray(at - meta, at));
    });
    // A lossless lane may be waiting for this room.
    if (n) core.exports.ring_wake(lane);
    return n;
  }

  /** @throws EtherloomError ERR_SOCKET_BOUND */
  openSocket(port: Port, queue: number): HostSocket {
    const socket = this.fabric.openSocket(port, queue);
    const { lane } = port.queue(queue);
    const receive = (max = ALL): Packet[] =>
      copies(take => this.#drain(socket.rings.consumer, max, lane, take));
    return { ...socket, receive };
  }
}
