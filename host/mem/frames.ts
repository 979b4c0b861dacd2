/**
 * The frame pool seen from the host: making it, counting it, and rebuilding it after a lane has crashed.
 * The law that all of it serves: in flight + free = total, every frame in exactly one place (DESIGN D12).
 */
import { EtherloomError } from '../errors.js';
import {
  FRAME_SIZE,
  FramePoolLayout,
  FramePoolView,
  MAGAZINE_CAPACITY,
  MagazineLayout,
} from '../layout/layout.gen.js';
import type { Arena } from './arena.js';

/** Where every frame is. Counts of frames. */
export interface Ledger {
  total: number;
  free: number;
  /** By name of the place: `rx eth0/0`, `tx eth0/1`, `pass 0`, `link 0→1` … Places that hold nothing are left out. */
  inFlight: Record<string, number>;
  /** Frames found nowhere. */
  lost: number;
  /** Frames found nowhere because the descriptor that came back for them named no frame (BAD_DESCRIPTOR). */
  strayed: number;
  /** Frames found in more than one place. */
  doubled: number;
}

/** Reserves the pool and fills the depot with every frame of the packet area. */
export function createFramePool(arena: Arena): void {
  const { frameCount, laneCount } = arena.header;
  // Two magazines per lane are out of the depot; one more per lane lets every lane hold a part-filled one.
  const magazineCount = Math.ceil(frameCount / MAGAZINE_CAPACITY) + 3 * (laneCount + 1);
  const poolAt = arena.rings.alloc(FramePoolLayout.size, 64);
  const magazinesAt = arena.rings.alloc(magazineCount * MagazineLayout.size, 64);
  arena.u8.fill(0, poolAt, poolAt + FramePoolLayout.size);
  Object.assign(new FramePoolView(arena.dv, poolAt), { magazinesAt, magazineCount, total: frameCount });
  arena.header.poolAt = poolAt;
  rebuildFramePool(
    arena,
    Array.from({ length: frameCount }, (_, i) => i),
  );
}

/**
 * Gives every lane two empty magazines and puts the frames `free` (by number) in the depot.
 * Only while no lane runs: at creation, and when the supervisor has paused them all.
 */
export function rebuildFramePool(arena: Arena, free: readonly number[]): void {
  const { u32, header } = arena;
  const pool = new FramePoolView(arena.dv, header.poolAt);
  const { magazinesAt, magazineCount } = pool;
  const magazine = (i: number): number => magazinesAt + i * MagazineLayout.size;
  for (let i = 0; i < magazineCount; i++) u32.fill(0, magazine(i) >> 2, (magazine(i) >> 2) + 2);
  let next = 0;
  for (let lane = 0; lane <= header.laneCount; lane++) {
    arena.lane(lane).loaded = magazine(next++);
    arena.lane(lane).previous = magazine(next++);
  }
  let full = 0;
  for (let at = 0; at < free.length; at += MAGAZINE_CAPACITY) {
    const part = free.slice(at, at + MAGAZINE_CAPACITY);
    const m = magazine(next++);
    u32[(m + MagazineLayout.next) >> 2] = full;
    u32[(m + MagazineLayout.count) >> 2] = part.length;
    part.forEach((frame, i) => {
      u32[((m + MagazineLayout.frames) >> 2) + i] = frame * FRAME_SIZE;
    });
    full = m;
  }
  let empty = 0;
  for (; next < magazineCount; next++) {
    u32[(magazine(next) + MagazineLayout.next) >> 2] = empty;
    empty = magazine(next);
  }
  pool.full = BigInt(full);
  pool.empty = BigInt(empty);
}

/** Numbers of the free frames: depot and the magazines of every lane. Only while no lane runs. */
export function freeFrames(arena: Arena): number[] {
  const { u32, header } = arena;
  const pool = new FramePoolView(arena.dv, header.poolAt);
  const found: number[] = [];
  const take = (m: number): void => {
    const count = u32[(m + MagazineLayout.count) >> 2];
    for (let i = 0; i < count; i++) found.push(u32[((m + MagazineLayout.frames) >> 2) + i] / FRAME_SIZE);
  };
  for (let m = Number(pool.full & 0xffffffffn); m !== 0; m = u32[(m + MagazineLayout.next) >> 2]) take(m);
  for (let lane = 0; lane <= header.laneCount; lane++) {
    take(arena.lane(lane).loaded);
    take(arena.lane(lane).previous);
  }
  return found;
}

/** Something that holds frames: a ring, or the packets under way on a link. */
export interface FrameHolder {
  name: string;
  /** Addresses of its packets relative to the packet area. */
  frames(): Iterable<number>;
}

/** Counts every frame once. Only while no lane runs. */
export function takeLedger(arena: Arena, holders: readonly FrameHolder[]): Ledger {
  const { frameCount } = arena.header;
  const seen = new Uint8Array(frameCount);
  const ledger: Ledger = { total: frameCount, free: 0, inFlight: {}, lost: 0, strayed: 0, doubled: 0 };
  const mark = (frame: number): void => {
    if (frame >= frameCount || seen[frame] !== 0) ledger.doubled++;
    else seen[frame] = 1;
  };
  for (const frame of freeFrames(arena)) {
    mark(frame);
    ledger.free++;
  }
  for (const holder of holders) {
    let count = 0;
    for (const addr of holder.frames()) {
      mark(Math.floor(addr / FRAME_SIZE));
      count++;
    }
    if (count) ledger.inFlight[holder.name] = (ledger.inFlight[holder.name] ?? 0) + count;
  }
  for (const s of seen) if (s === 0) ledger.lost++;
  let stray = 0;
  for (let i = 0; i <= arena.header.laneCount; i++) stray += arena.lane(i).strayDescriptors;
  ledger.strayed = Math.min(ledger.lost, stray);
  ledger.lost -= ledger.strayed;
  return ledger;
}

/** @throws EtherloomError ERR_FRAMES_LOST with the ledger in its message when in flight + free ≠ total. */
export function checkLedger(ledger: Ledger): void {
  if (ledger.lost === 0 && ledger.doubled === 0) return;
  const places = Object.entries(ledger.inFlight).map(([name, n]) => `${name} ${n}`);
  throw new EtherloomError(
    'ERR_FRAMES_LOST',
    `of ${ledger.total} frames ${ledger.lost} are lost and ${ledger.doubled} are in two places ` +
      `(free ${ledger.free}${places.length ? `, ${places.join(', ')}` : ''})`,
    { expected: 'in flight + free = total' },
  );
}
