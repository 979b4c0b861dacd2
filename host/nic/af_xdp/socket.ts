/**
 * One AF_XDP socket: a queue of an interface. Layouts of linux/if_xdp.h.
 *
 *   socket ─▶ UMEM registered, or shared with the first ─▶ ring sizes ─▶ rings mapped into the arena ─▶ bound
 *
 * Called by the AF_XDP NIC on the host thread; the rings are driven by the lane that owns the queue.
 */

import { errnoName } from '../../bpf/kernel/attr.js';
import { FRAME_SIZE } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Native } from '../../native/load.js';
import { refused } from './errors.js';
import { inNamespace } from './netns.js';
import { KernelRing, type RingKind, type RingOffsets } from './rings.js';

const AF_XDP = 44;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUFFORCE = 32;
const SOL_XDP = 283;

/** Socket options of linux/if_xdp.h. */
const Option = {
  MMAP_OFFSETS: 1,
  RX_RING: 2,
  TX_RING: 3,
  UMEM_REG: 4,
  FILL_RING: 5,
  COMPLETION_RING: 6,
  STATISTICS: 7,
  MAX_TX_BUDGET: 9,
} as const;
const SIZE_OPTION: Record<RingKind, number> = {
  rx: Option.RX_RING,
  tx: Option.TX_RING,
  fill: Option.FILL_RING,
  completion: Option.COMPLETION_RING,
};
/** struct xdp_umem_reg. */
const UMEM_REG = { bytes: 32, address: 0, length: 8, chunk: 16, headroom: 20 } as const;
/** struct xdp_mmap_offsets: one struct xdp_ring_offset {producer, consumer, descriptors, flags} each. */
const OFFSETS = { bytes: 128, rx: 0, tx: 32, fill: 64, completion: 96 } as const;
/** struct sockaddr_xdp. */
const ADDRESS = { bytes: 16, flags: 2, ifindex: 4, queue: 8, sharedFd: 12 } as const;
const BindFlag = { SHARED_UMEM: 1, COPY: 2, ZEROCOPY: 4, NEED_WAKEUP: 8 } as const;
/** Descriptors that one kick sends in copy mode: asked for, and what a kernel before Linux 6.17 sends. */
const TX_BUDGET = 256;
const TX_BATCH = 32;
/** What the kernel reckons a packet of 1,500 bytes at, about (skb->truesize), and a bound for large rings. */
const PACKET_TRUESIZE = 4096;
const MAX_SNDBUF = 64 << 20;

/** copy: the kernel copies between its buffers and frames. zero-copy: the device itself reads and writes frames. */
export type CopyMode = 'copy' | 'zero-copy';

/** What the kernel counted at a socket: struct xdp_statistics. */
export interface SocketStats {
  /** Packets dropped for other reasons than the next two. */
  rxDropped: number;
  /** Packets dropped because the receive ring was full. */
  rxRingFull: number;
  /** Packets dropped because the fill ring was empty. */
  rxFillEmpty: number;
  rxInvalid: number;
  txInvalid: number;
  txRingEmpty: number;
}

export interface SocketOptions {
  arena: Arena;
  native: Native;
  /** Of the interface, for messages. */
  name: string;
  namespace: string | undefined;
  /** With a transmit ring. */
  transmits: boolean;
  /** Rings, mapped or not: kept from one socket to the next. */
  rings: Map<RingKind, KernelRing>;
  slots: number;
}

export class XskSocket {
  #fd: number;
  readonly rings: ReadonlyMap<RingKind, KernelRing>;
  /** Packets that one kick sends at most, in copy mode. */
  kickPackets = TX_BATCH;

  private constructor(
    readonly options: SocketOptions,
    fd: number,
  ) {
    this.#fd = fd;
    this.rings = options.rings;
  }

  /**
   * Makes a socket and maps its rings; `share` has registered the packet area already.
   * @throws EtherloomError ERR_NIC_<ERRNO>; nothing stays mapped or open then
   */
  static open(options: SocketOptions, share?: XskSocket): XskSocket {
    const { native, namespace, name } = options;
    const fd = inNamespace(native, namespace, () => native.socket(AF_XDP, SOCK_RAW, 0));
    if (fd < 0) throw refused(name, 'socket', fd);
    const socket = new XskSocket(options, fd);
    try {
      if (!share) socket.#register();
      socket.#mapRings();
      socket.#raiseBudget();
      socket.#widen();
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  get fd(): number {
    return this.#fd;
  }

  /** Registers the packet area, and nothing else of the arena, as this socket's UMEM. */
  #register(): void {
    const { arena, native, name } = this.options;
    const { packetAt, packetBytes } = arena.header;
    const reg = new DataView(new ArrayBuffer(UMEM_REG.bytes));
    reg.setBigUint64(UMEM_REG.length, BigInt(packetBytes), true);
    reg.setUint32(UMEM_REG.chunk, FRAME_SIZE, true);
    const area = arena.u8.subarray(packetAt, packetAt + packetBytes);
    const value = new Uint8Array(reg.buffer);
    const rc = native.setsockopt(this.#fd, SOL_XDP, Option.UMEM_REG, value, [UMEM_REG.address, area]);
    if (rc < 0) throw refused(name, 'UMEM', rc);
  }

  /**
   * In copy mode what is sent counts against the socket's send buffer until the receiver has it: the kernel's default holds
   * some 90 packets, less than a veth's own ring. A kernel that refuses sends in smaller portions.
   */
  #widen(): void {
    this.#set(SO_SNDBUFFORCE, Math.min(this.options.slots * PACKET_TRUESIZE, MAX_SNDBUF), SOL_SOCKET);
  }

  /** A kernel that does not know the option makes more calls necessary, nothing else. It takes no more than the ring has. */
  #raiseBudget(): void {
    const budget = Math.min(TX_BUDGET, this.options.slots);
    if (this.#set(Option.MAX_TX_BUDGET, budget) >= 0) this.kickPackets = budget;
  }

  #set(option: number, value: number, level = SOL_XDP): number {
    const bytes = new Uint8Array(Uint32Array.of(value).buffer);
    return this.options.native.setsockopt(this.#fd, level, option, bytes);
  }

  #mapRings(): void {
    const { arena, native, name, rings, slots, transmits } = this.options;
    const kinds: RingKind[] = transmits ? ['fill', 'completion', 'rx', 'tx'] : ['fill', 'completion', 'rx'];
    for (const kind of kinds) {
      const rc = this.#set(SIZE_OPTION[kind], slots);
      if (rc < 0) throw refused(name, 'ring', rc);
    }
    const bytes = new Uint8Array(OFFSETS.bytes);
    const rc = native.getsockopt(this.#fd, SOL_XDP, Option.MMAP_OFFSETS, bytes);
    if (rc < 0) throw refused(name, 'ring', rc);
    const view = new DataView(bytes.buffer);
    for (const kind of kinds) {
      const at = OFFSETS[kind];
      const word = (i: number): number => Number(view.getBigUint64(at + i * 8, true));
      const offsets: RingOffsets = { producer: word(0), consumer: word(1), entries: word(2), flags: word(3) };
      let ring = rings.get(kind);
      if (!ring) rings.set(kind, (ring = KernelRing.create(arena, kind, slots, offsets)));
      const mapped = ring.map(native, this.#fd);
      if (mapped < 0) throw refused(name, 'mapping', mapped);
    }
  }

  /**
   * Binds to a queue. The first socket tries zero copy, unless that is out of the question; the others share its UMEM.
   * Returns how packets are carried, and why so.
   * @throws EtherloomError ERR_NIC_<ERRNO>: EBUSY while the queue is not free yet
   */
  bind(
    ifindex: number,
    queue: number,
    how: { share: XskSocket } | { zeroCopy: boolean },
  ): { mode: CopyMode; reason: string } {
    if ('share' in how) {
      this.#bind(ifindex, queue, BindFlag.SHARED_UMEM, how.share.fd);
      return { mode: 'copy', reason: 'as the first queue' };
    }
    if (how.zeroCopy) {
      const rc = this.#tryBind(ifindex, queue, BindFlag.ZEROCOPY | BindFlag.NEED_WAKEUP, 0);
      if (rc >= 0) return { mode: 'zero-copy', reason: 'the driver supports it' };
      // Anything else would be the same with copies.
      if (!['EOPNOTSUPP', 'EINVAL', 'ENOTSUPP'].includes(errnoName(-rc)))
        throw refused(this.options.name, 'bind', rc);
    }
    this.#bind(ifindex, queue, BindFlag.COPY | BindFlag.NEED_WAKEUP, 0);
    const reason = how.zeroCopy ? 'the driver has no zero copy' : 'generic XDP has no zero copy';
    return { mode: 'copy', reason };
  }

  #tryBind(ifindex: number, queue: number, flags: number, sharedFd: number): number {
    const address = new DataView(new ArrayBuffer(ADDRESS.bytes));
    address.setUint16(0, AF_XDP, true);
    address.setUint16(ADDRESS.flags, flags, true);
    address.setUint32(ADDRESS.ifindex, ifindex, true);
    address.setUint32(ADDRESS.queue, queue, true);
    address.setUint32(ADDRESS.sharedFd, sharedFd, true);
    return this.options.native.bind(this.#fd, new Uint8Array(address.buffer));
  }

  #bind(ifindex: number, queue: number, flags: number, sharedFd: number): void {
    const rc = this.#tryBind(ifindex, queue, flags, sharedFd);
    if (rc < 0) throw refused(`${this.options.name}/${queue}`, 'bind', rc);
  }

  /** An error that the kernel noted at the socket, 0 for none: ENETDOWN when its interface was deleted. */
  takeError(): number {
    const value = new Uint8Array(4);
    const rc = this.options.native.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, value);
    return rc < 0 ? -rc : new DataView(value.buffer).getInt32(0, true);
  }

  get stats(): SocketStats {
    const bytes = new Uint8Array(48);
    this.options.native.getsockopt(this.#fd, SOL_XDP, Option.STATISTICS, bytes);
    const view = new DataView(bytes.buffer);
    const word = (i: number): number => Number(view.getBigUint64(i * 8, true));
    return {
      rxDropped: word(0),
      rxInvalid: word(1),
      txInvalid: word(2),
      rxRingFull: word(3),
      rxFillEmpty: word(4),
      txRingEmpty: word(5),
    };
  }

  /** Puts anonymous memory back where the rings were mapped, then closes: no hole, at no moment. */
  close(): void {
    if (this.#fd < 0) return;
    // A mapping holds the socket open by itself; without its descriptor nothing could be made of it any more.
    for (const ring of this.rings.values()) ring.unmap(this.options.native);
    this.options.native.close(this.#fd);
    this.#fd = -1;
  }
}
