/**
 * After a crash: mends the rings of the dead lane and rebuilds the frame pool. Every other lane stands still meanwhile.
 *
 * A lane can die anywhere, even between two stores. Nothing it held privately is believed; what counts is
 *   1. what rings have published: those packets live on,
 *   2. the burst that it had in hand (LaneState.handRing): those packets end here, whatever became of them,
 *   3. packets under way on links, if their frames are in no ring,
 *   4. frames that the kernel has, by the table of what was lent to it (assembly/nic/umem.ts).
 * Every other frame is free. So nothing is lost, nothing is doubled, and the packet that killed the lane is gone.
 * Elements and records of maps that it had in hand are of use again (assembly/bpf/maps/reclaim.ts); its streams are all
 * ready, and say themselves what they owe (ready.ts). Wheels are made anew from the timers in maps: each that is armed fires
 * once, in the lane that takes the dead one's place.
 */
import { reclaimMaps, restoreTimers } from '../bpf/maps/map.js';
import {
  CounterBlockLayout,
  DESC_SIZE,
  DropReason,
  FRAME_SIZE,
  LanePhase,
  LaneStateLayout,
  LINK_ENTRY_SIZE,
  LINK_WAIT_SIZE,
  LinkView,
  QueueLayout,
  RingView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { freeFrames, rebuildFramePool } from '../mem/frames.js';
import { mendStreams } from '../mem/streams.js';
import { queuesOf } from '../nic/link.js';
import type { Port } from '../nic/port.js';
import { mendNeighbours } from '../responder/neighbours.js';
import type { Fabric } from './fabric.js';
import { mendReady } from './ready.js';

/** Bytes of an entry of the kernel's fill and completion rings. */
const ADDRESS_SIZE = 8;

/** Mends what lane `dead` left. Returns frames that it had in hand and that are free now. */
export function recoverLane(arena: Arena, fabric: Fabric, dead: number): number {
  const state = arena.lane(dead);
  const word = (at: number): number => Atomics.load(arena.u32, at >> 2);
  const freeBefore = new Set(freeFrames(arena));

  const { producers, consumers } = fabric.views(dead);
  for (const port of fabric.ports)
    for (const [at, entryBytes] of lendingViews(arena, port, dead)) {
      takeBackStaged(arena, new RingView(arena.dv, at), entryBytes);
      producers.push(at);
    }
  for (const port of fabric.ports)
    for (let q = 0; q < port.queueCount; q++) {
      const { lane, completionAt } = port.queue(q);
      if (lane === dead && completionAt !== 0) consumers.push(completionAt);
    }
  if (arena.header.lentAt) takeBackHand(arena, state.handRing, state.handEnd);
  for (const at of producers) {
    const v = new RingView(arena.dv, at);
    if (v.slots === 0) continue;
    v.cachedProducer = v.submitted = word(v.producerAt);
    v.cachedConsumer = word(v.consumerAt);
  }
  for (const at of consumers) {
    const v = new RingView(arena.dv, at);
    if (v.slots === 0) continue;
    if (at === state.handRing) Atomics.store(arena.u32, v.consumerAt >> 2, state.handEnd);
    v.cachedConsumer = word(v.consumerAt);
    v.cachedProducer = word(v.producerAt);
  }

  const held = new Uint8Array(arena.header.frameCount);
  const linked = new Set(fabric.nics.flatMap(n => n.holders?.() ?? []).map(h => h.name));
  for (const holder of fabric.holders())
    if (!linked.has(holder.name)) for (const addr of holder.frames()) held[Math.floor(addr / FRAME_SIZE)] = 1;
  for (const link of fabric.links(dead)) mendLink(arena, new LinkView(arena.dv, link.at), held);
  for (const nic of fabric.nics)
    for (const holder of nic.holders?.() ?? [])
      for (const addr of holder.frames()) held[Math.floor(addr / FRAME_SIZE)] = 1;

  const free: number[] = [];
  let recovered = 0;
  for (let i = 0; i < held.length; i++) {
    if (held[i]) continue;
    free.push(i);
    if (!freeBefore.has(i)) recovered++;
  }
  rebuildFramePool(arena, free);
  mendNeighbours(arena);
  mendStreams(arena, dead);
  mendReady(arena, dead);
  countCrash(arena, state.queueCount ? arena.u32[state.queuesAt >> 2] : 0, recovered);

  state.handRing = 0;
  state.tailCalls = 0;
  state.entryFp = state.stackTop;
  state.sleeping = 0;
  state.ended = 0;
  // From here on whoever waits for a lock that the dead lane held may take it over (assembly/bpf/maps/lock.ts).
  Atomics.add(arena.u32, (state.at + LaneStateLayout.lives) >> 2, 1);
  state.phase = LanePhase.IDLE;
  reclaimMaps(arena, state.handMap);
  state.handMap = 0;
  restoreTimers(arena, true);
  return recovered;
}

/** Views by which lane `dead` gave frames to the kernel, and the bytes of an entry. */
function lendingViews(arena: Arena, port: Port, dead: number): [at: number, entryBytes: number][] {
  const views: [number, number][] = [];
  if (dead < port.txCount && new RingView(arena.dv, port.tx(dead)).lender !== 0)
    views.push([port.tx(dead), DESC_SIZE]);
  for (let q = 0; q < port.queueCount; q++) {
    const { lane, fillAt } = port.queue(q);
    if (lane === dead && fillAt !== 0) views.push([fillAt, ADDRESS_SIZE]);
  }
  return views;
}

/** What was staged and perhaps marked as lent, but not published, the kernel never saw. */
function takeBackStaged(arena: Arena, v: RingView, entryBytes: number): void {
  if (v.slots === 0) return;
  for (let i = Atomics.load(arena.u32, v.producerAt >> 2); i !== v.cachedProducer; i = (i + 1) >>> 0)
    notLent(arena, arena.u32[(v.entriesAt + (i & v.mask) * entryBytes) >> 2]);
}

/** The burst in hand came back from the kernel, whether it was noted or not. */
function takeBackHand(arena: Arena, ring: number, end: number): void {
  if (ring === 0) return;
  const v = new RingView(arena.dv, ring);
  for (let i = Atomics.load(arena.u32, v.consumerAt >> 2); i !== end; i = (i + 1) >>> 0)
    notLent(arena, arena.u32[(v.entriesAt + (i & v.mask) * DESC_SIZE) >> 2]);
}

function notLent(arena: Arena, addr: number): void {
  const { lentAt, packetBytes } = arena.header;
  if (addr < packetBytes) arena.u8[lentAt + Math.floor(addr / FRAME_SIZE)] = 0;
}

/** Packets under way and waiting, each once: it may have been on its way from one to the other, or to a ring. */
function mendLink(arena: Arena, link: LinkView, held: Uint8Array): void {
  if (link.heapAt === 0) return;
  const seen = new Set<number>();
  mendHeap(arena, link, held, seen);
  mendQueues(arena, link, held, seen);
}

/** Entries of a heap that was being sifted may be doubled or in a ring already: the rest is sorted, which is a heap. */
function mendHeap(arena: Arena, link: LinkView, held: Uint8Array, seen: Set<number>): void {
  const entries: { due: bigint; order: number; bytes: Uint8Array }[] = [];
  for (let i = 0; i < link.heapCount; i++) {
    const at = link.heapAt + i * LINK_ENTRY_SIZE;
    const frame = Math.floor(arena.u32[(at + 12) >> 2] / FRAME_SIZE);
    if (frame >= held.length || held[frame] || seen.has(frame)) continue;
    seen.add(frame);
    entries.push({
      due: arena.dv.getBigUint64(at, true),
      order: arena.u32[(at + 8) >> 2],
      bytes: arena.u8.slice(at, at + LINK_ENTRY_SIZE),
    });
  }
  entries.sort((a, b) => (a.due < b.due ? -1 : a.due > b.due ? 1 : (a.order - b.order) | 0));
  entries.forEach((e, i) => {
    arena.u8.set(e.bytes, link.heapAt + i * LINK_ENTRY_SIZE);
  });
  link.heapCount = entries.length;
}

/** The first of a queue may be under way already; what is derived from the queues is counted anew. */
function mendQueues(arena: Arena, link: LinkView, held: Uint8Array, seen: Set<number>): void {
  link.occupied = link.waiting = 0;
  let waitingBytes = 0;
  for (const [i, q] of queuesOf(arena, link).entries()) {
    const entry = (k: number): number => q.entriesAt + (k & q.mask) * LINK_WAIT_SIZE;
    let to = q.head;
    let bytes = 0;
    for (let from = q.head; from !== q.tail; from = (from + 1) >>> 0) {
      const at = entry(from);
      const frame = Math.floor(arena.u32[(at + 8) >> 2] / FRAME_SIZE);
      if (frame >= held.length || held[frame] || seen.has(frame)) continue;
      seen.add(frame);
      bytes += arena.u32[(at + 12) >> 2];
      arena.u8.copyWithin(entry(to), at, at + LINK_WAIT_SIZE);
      to = (to + 1) >>> 0;
    }
    q.tail = to;
    q.bytes = bytes;
    if (to === q.head) continue;
    link.occupied |= 1 << i;
    link.waiting += (to - q.head) >>> 0;
    waitingBytes += bytes;
  }
  link.waitingBytes = BigInt(waitingBytes);
}

/** Counts the packets that died with their lane on the first of its queues. */
function countCrash(arena: Arena, queueAt: number, packets: number): void {
  if (queueAt === 0 || packets === 0) return;
  const block = arena.u32[(queueAt + QueueLayout.countersAt) >> 2];
  const at = block + CounterBlockLayout.drop + DropReason.LANE_CRASHED * 8;
  arena.dv.setBigUint64(at, arena.dv.getBigUint64(at, true) + BigInt(packets), true);
}
