/**
 * One direction of a wire as the arena has it: its settings, made here, and its counts. What happens to a packet is
 * assembly/nic/link.ts, and assembly/nic/strict.ts where it has priorities.
 */
import { EtherloomError } from '../errors.js';
import {
  LINK_ENTRY_SIZE,
  LINK_QUEUES,
  LINK_WAIT_SIZE,
  LinkLayout,
  LinkView,
  PriorityQueueLayout,
  PriorityQueueView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { NicEnv } from './nic.js';
import type { Port } from './port.js';

/** Queues of one wire, a higher number first. A packet's class is its 802.1p priority or, without a tag, its DSCP >> 3. */
export interface PrioritySettings {
  /** 1 … 8. Default 8. */
  queues?: number;
  /** Queue of each class 0 … 7. Default: as they are with 8 queues, neighbours together with fewer. */
  queueOf?: readonly number[];
  /** Bytes that may wait in a queue, for all or for each; 0: no limit but that of all together. */
  queueBytes?: number | readonly number[];
  /** Bytes waiting in a queue from which its ECN-capable packets are marked CE; 0: only by the threshold for all. */
  ecnBytes?: number | readonly number[];
}

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
  /** Packets that may be under way or wait for the wire. Default 4096. */
  packets?: number;
  /**
   * Strict priority before the wire: so many queues, or how they are. `queueBytes` and `ecnBytes` above go for all of them
   * together. Default one queue, first come, first served. Needs `rate`.
   */
  priorities?: number | PrioritySettings;
}

export interface QueueStats {
  enqueued: number;
  sent: number;
  sentBytes: number;
  /** Found no room. */
  dropped: number;
  marked: number;
  /** Packets and bytes that wait now, and the most that ever did. */
  packets: number;
  bytes: number;
  maxPackets: number;
  maxBytes: number;
  /** Packets of higher queues that left while one waited here: what strict priority costs the lower ones. */
  passed: number;
  /** Time that packets waited for the wire, ns: of all together, and the longest. */
  waitNs: number;
  maxWaitNs: number;
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
  /** Packets under way now, and waiting for the wire. */
  underWay: number;
  /** By priority, lowest first; none for a link with one queue. */
  queues: QueueStats[];
}

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
export function createLink(env: NicEnv, from: Port, to: Port, s: LinkSettings, seed: bigint): LinkView {
  const { arena } = env;
  const heapMax = amount(s.packets ?? 4096, 'packets', 1 << 20);
  const rate = amount(s.rate, 'rate');
  if ((s.queueBytes || s.ecnBytes || s.priorities !== undefined) && !rate)
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
  if (s.priorities !== undefined) createQueues(arena, link, s.priorities);
  return link;
}

/** A number for all queues, or one for each. */
function ofEach(n: number | readonly number[] | undefined, what: string, queues: number): number[] {
  if (typeof n !== 'object') return Array.from({ length: queues }, () => amount(n, what, 2 ** 31));
  if (n.length !== queues)
    throw new EtherloomError('ERR_LINK_OPTIONS', `${what} of ${n.length} queues`, {
      expected: `a number, or ${queues} of them`,
    });
  return n.map(each => amount(each, what, 2 ** 31));
}

function createQueues(arena: Arena, link: LinkView, p: number | PrioritySettings): void {
  const settings = typeof p === 'number' ? { queues: p } : p;
  const count = settings.queues ?? LINK_QUEUES;
  if (!Number.isInteger(count) || count < 1 || count > LINK_QUEUES)
    throw new EtherloomError('ERR_LINK_OPTIONS', `${count} priorities`, {
      expected: `a whole number from 1 to ${LINK_QUEUES}`,
    });
  const queueOf = settings.queueOf ?? Array.from({ length: 8 }, (_, c) => Math.floor((c * count) / 8));
  if (queueOf.length !== 8 || queueOf.some(q => !Number.isInteger(q) || q < 0 || q >= count))
    throw new EtherloomError('ERR_LINK_OPTIONS', `queueOf [${queueOf}]`, {
      expected: `for each of 8 classes a queue from 0 to ${count - 1}`,
    });
  const queueBytes = ofEach(settings.queueBytes, 'priorities.queueBytes', count);
  const ecnBytes = ofEach(settings.ecnBytes, 'priorities.ecnBytes', count);
  const bytes = LINK_QUEUES * PriorityQueueLayout.size;
  link.queuesAt = arena.rings.alloc(bytes, 64);
  arena.u8.fill(0, link.queuesAt, link.queuesAt + bytes);
  link.queueOf = queueOf.reduce((word, q, c) => (word | (q << (4 * c))) >>> 0, 0);
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1, link.heapMax)));
  for (let i = 0; i < count; i++)
    Object.assign(queueView(arena, link, i), {
      entriesAt: arena.rings.alloc(slots * LINK_WAIT_SIZE, 64),
      mask: slots - 1,
      queueBytes: queueBytes[i],
      ecnBytes: ecnBytes[i],
    });
}

const queueView = (arena: Arena, link: LinkView, i: number): PriorityQueueView =>
  new PriorityQueueView(arena.dv, link.queuesAt + i * PriorityQueueLayout.size);

/** The priority queues of a link, lowest first. */
export function queuesOf(arena: Arena, link: LinkView): PriorityQueueView[] {
  if (link.queuesAt === 0) return [];
  return Array.from({ length: LINK_QUEUES }, (_, i) => queueView(arena, link, i)).filter(
    q => q.entriesAt !== 0,
  );
}

/** Addresses of the packets that are under way or wait for the wire. */
export function* framesUnderWay(arena: Arena, link: LinkView): Generator<number> {
  for (let i = 0; i < link.heapCount; i++) yield arena.u32[(link.heapAt + i * LINK_ENTRY_SIZE + 12) >> 2];
  for (const q of queuesOf(arena, link))
    for (let i = q.head; i !== q.tail; i = (i + 1) >>> 0)
      yield arena.u32[(q.entriesAt + (i & q.mask) * LINK_WAIT_SIZE + 8) >> 2];
}

function queueStats(q: PriorityQueueView): QueueStats {
  const { bytes, maxBytes, maxPackets } = q;
  return {
    enqueued: Number(q.enqueued),
    sent: Number(q.sent),
    sentBytes: Number(q.sentBytes),
    dropped: Number(q.dropped),
    marked: Number(q.marked),
    packets: (q.tail - q.head) >>> 0,
    bytes,
    maxPackets,
    maxBytes,
    passed: Number(q.passed),
    waitNs: Number(q.waitNs),
    maxWaitNs: Number(q.maxWaitNs),
  };
}

/** What became of the packets so far. */
export function linkStats(arena: Arena, l: LinkView): LinkStats {
  return {
    taken: Number(l.taken),
    delivered: Number(l.delivered),
    lost: Number(l.lost),
    overflowed: Number(l.overflowed),
    duplicated: Number(l.duplicated),
    reordered: Number(l.reordered),
    corrupted: Number(l.corrupted),
    marked: Number(l.marked),
    underWay: l.heapCount + l.waiting,
    queues: queuesOf(arena, l).map(queueStats),
  };
}
