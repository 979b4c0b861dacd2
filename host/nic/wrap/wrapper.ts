/**
 * A NIC around any other: between its rings and the lanes' it lays rings of its own, so that every packet that comes
 * or goes passes the host, whatever kind of NIC it is.
 *
 *   NIC ─▶ rx ring ─▶ ┌─────────┐ ─▶ rx ring of the wrapper ─▶ lane
 *                     │ handle  │
 *   NIC ◀─ tx ring ◀─ └─────────┘ ◀─ tx ring of the wrapper ◀─ lane
 *
 * Only descriptors move; a frame keeps its place, its times and its owner. The price is the host's: a wrapped NIC goes
 * as fast as the host polls. A NIC that lanes would drive (AF_XDP, TAP) is opened with `byHost`, so that its packets come
 * by here; what is not wrapped knows nothing of it.
 */
import { EtherloomError } from '../../errors.js';
import { FRAME_SIZE, NO_FRAME, RingView } from '../../layout/layout.gen.js';
import { allocRing, allocViews, bindView, pendingIn } from '../../mem/ring.js';
import type { Nic, NicEnv, NicKind } from '../nic.js';
import type { Port } from '../port.js';

/** `rx`: from the wire to the lanes. `tx`: from the lanes to the wire. */
export type Direction = 'rx' | 'tx';

/** One ring of the NIC and the ring that stands before it. Addresses of views. */
interface Splice {
  direction: Direction;
  /** Packets are taken from here … */
  from: number;
  /** … and given on here; 0: they are freed (the transmit ring of a sink). */
  to: number;
  /** Lane that may wait for room in `from`. */
  lane: number | undefined;
}

/** Packets moved from one ring at a time. */
const BURST = 256;

export abstract class Wrapper implements Nic {
  readonly kind: NicKind;
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #splices: Splice[] = [];
  #wakes: { mine: number; theirs: number }[] = [];

  constructor(
    readonly inner: Nic,
    /** Most that `handle` answers. */
    protected readonly most: 1 | 2 = 1,
  ) {
    this.kind = inner.kind;
  }

  /** The NIC's, which it may know only when it is open. */
  get name(): string {
    return this.inner.name;
  }

  /**
   * Looks at one packet; the bytes may be changed in place. Answers how often it goes on: 0 frees its frame, 2 sends a
   * copy after it, where a frame is free for that. `at` is the arena address of the first byte.
   */
  protected abstract handle(direction: Direction, data: Uint8Array, at: number): 0 | 1 | 2;

  /** Copies sent after packets so far. */
  protected copies = 0;

  /** What it was opened with. @throws EtherloomError ERR_NIC_CLOSED before `open`. */
  protected get env(): NicEnv {
    if (!this.#env) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#env;
  }

  /** It lends frames to the kernel. */
  get lends(): boolean {
    return this.inner.lends ?? false;
  }

  /** @throws what opening the NIC throws */
  open(env: NicEnv): Port {
    const port = this.inner.open({ ...env, byHost: true });
    this.#env = env;
    this.#port = port;
    for (let i = 0; i < port.queueCount; i++) this.#spliceRx(env, port, i);
    for (let i = 0; i < port.txCount; i++) this.#spliceTx(env, port, i);
    return port;
  }

  /** The lane reads a new ring; its old one is read here. */
  #spliceRx(env: NicEnv, port: Port, i: number): void {
    const { arena } = env;
    const { rxAt, lane } = port.queue(i);
    const from = allocViews(arena, 1);
    const to = allocViews(arena, 1);
    copyView(env, rxAt, from);
    const ring = allocRing(arena, env.ringSlots);
    bindView(arena, rxAt, ring);
    bindView(arena, to, ring, lane);
    this.#splices.push({ direction: 'rx', from, to, lane: undefined });
  }

  /** The lane writes a new ring; its old one is written here. */
  #spliceTx(env: NicEnv, port: Port, i: number): void {
    const { arena } = env;
    const mine = port.tx(i);
    const view = new RingView(arena.dv, mine);
    const sink = view.consumerView !== 0;
    const from = allocViews(arena, 1);
    const to = allocViews(arena, 1);
    copyView(env, mine, to);
    view.consumerView = 0;
    const ring = allocRing(arena, env.ringSlots);
    bindView(arena, mine, ring);
    bindView(arena, from, ring);
    this.#wakes.push({ mine, theirs: to });
    this.#splices.push({
      direction: 'tx',
      from,
      to: sink ? 0 : to,
      lane: i < env.lanes ? i : undefined,
    });
  }

  connect(): void {
    this.inner.connect?.();
  }

  start(): void {
    this.inner.start?.();
  }

  async ready(): Promise<void> {
    await this.inner.ready?.();
  }

  /** Who waits for the NIC's transmit rings is known once all NICs are connected: it now waits for those behind us. */
  #handOverWakes(): void {
    for (const { mine, theirs } of this.#wakes) {
      const view = new RingView(this.env.arena.dv, mine);
      new RingView(this.env.arena.dv, theirs).wakeLane = view.wakeLane;
      view.wakeLane = 0;
    }
    this.#wakes = [];
  }

  poll(): number {
    if (this.#wakes.length) this.#handOverWakes();
    let moved = this.#move('tx');
    moved += this.inner.poll();
    return moved + this.#move('rx');
  }

  #move(direction: Direction): number {
    let moved = 0;
    for (const s of this.#splices) if (s.direction === direction) moved += this.#moveRing(s);
    return moved;
  }

  #moveRing({ direction, from, to, lane }: Splice): number {
    const { arena, core } = this.env;
    const x = core.exports;
    const { packetAt } = arena.header;
    let n = x.ring_peek(from, BURST);
    // Room for every copy, too.
    if (n && to) n = Math.min(n, Math.floor(x.ring_reserve(to, n * this.most) / this.most));
    if (n <= 0) return 0;
    const dropped: number[] = [];
    for (let k = 0; k < n; k++) {
      const d = (x.ring_entry(from, k) >>> 0) >> 2;
      const addr = arena.u32[d];
      const len = arena.u32[d + 2];
      const at = packetAt + addr;
      const times = this.handle(direction, arena.u8.subarray(at, at + len), at);
      if (times === 0 || !to) {
        dropped.push(addr);
        continue;
      }
      const options = arena.u32[d + 3];
      x.ring_push(to, addr, len, options);
      const copy = times === 2 ? this.#copy(addr, len) : NO_FRAME;
      if (copy !== NO_FRAME) x.ring_push(to, copy, len, options);
    }
    x.ring_release(from, n);
    for (const addr of dropped) x.frame_free(addr);
    if (to) x.ring_submit(to);
    if (lane !== undefined) x.ring_wake(lane);
    return n;
  }

  /** A copy of the frame up to the end of the packet; its address there. NO_FRAME when no frame is free. */
  #copy(addr: number, len: number): number {
    const { arena, core } = this.env;
    const frame = core.exports.frame_alloc() >>> 0;
    if (frame === NO_FRAME) return NO_FRAME;
    const { packetAt } = arena.header;
    const offset = addr % FRAME_SIZE;
    const from = packetAt + addr - offset;
    arena.u8.copyWithin(packetAt + frame, from, from + offset + len);
    this.copies++;
    return frame + offset;
  }

  get busy(): boolean {
    return this.inner.busy || this.#splices.some(s => pendingIn(this.env.arena, s.from) > 0);
  }

  /** At once, when packets can move: a lane that pumps a link fills our ring without taking a packet itself. */
  nextDueNs(): bigint | undefined {
    const x = this.env.core.exports;
    const movable = ({ from, to }: Splice): boolean =>
      x.ring_peek(from, 1) > 0 && (to === 0 || x.ring_reserve(to, this.most) === this.most);
    return this.#splices.some(movable) ? this.env.now() : this.inner.nextDueNs?.();
  }

  /** Frames in the rings that the port does not show: read here on the way in, waiting to be read on the way out. */
  holders(): { name: string; frames(): Iterable<number> }[] {
    const { arena } = this.env;
    const mine = this.#splices.map(({ direction, from }, i) => ({
      name: `wrapped ${direction} ${this.name}/${i}`,
      *frames() {
        const v = new RingView(arena.dv, from);
        const to = Atomics.load(arena.u32, v.producerAt >> 2);
        for (let k = Atomics.load(arena.u32, v.consumerAt >> 2); k !== to; k = (k + 1) >>> 0)
          yield arena.u32[(v.entriesAt + (k & v.mask) * 16) >> 2];
      },
    }));
    return [...mine, ...(this.inner.holders?.() ?? [])];
  }

  /** The links and far side of a model NIC inside: the engine's bookkeeping looks for them here. */
  get links(): unknown {
    return (this.inner as { links?: unknown }).links;
  }

  get farPort(): unknown {
    return (this.inner as { farPort?: unknown }).farPort;
  }

  /** Hands on what the lanes have sent, then closes the NIC. */
  close(): void | Promise<void> {
    if (this.#env) while (this.#move('tx') > 0) this.inner.poll();
    return this.inner.close();
  }

  /** The port, once open. */
  get port(): Port {
    this.env;
    return this.#port!;
  }
}

/** Makes `to` a view of the ring that `from` is a view of, at the same place in it. */
function copyView({ arena }: NicEnv, from: number, to: number): void {
  const v = new RingView(arena.dv, from);
  bindView(arena, to, {
    producerAt: v.producerAt,
    consumerAt: v.consumerAt,
    flagsAt: v.flagsAt,
    entriesAt: v.entriesAt,
    slots: v.slots,
  });
}
