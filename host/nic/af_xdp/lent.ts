/**
 * Frames that the kernel has, by port: a byte per frame, written by lanes (assembly/nic/umem.ts) before a frame is
 * published to the kernel and after it came back. What rings do not say (a frame that is being received or sent) this
 * table says, so every frame is known at any time, and all of a port's can be had back when its sockets are closed.
 */
import { FRAME_SIZE } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';

/** Address of the table; made at the first call. @throws EtherloomError ERR_ARENA_FULL */
export function lentTable(arena: Arena): number {
  const { header } = arena;
  if (header.lentAt === 0) {
    const at = arena.rings.alloc(header.frameCount, 64);
    arena.u8.fill(0, at, at + header.frameCount);
    header.lentAt = at;
  }
  return header.lentAt;
}

/** Numbers of the frames that port `ifindex` has lent. */
export function* lentFrames(arena: Arena, ifindex: number): Generator<number> {
  const table = lentTable(arena);
  for (let i = 0; i < arena.header.frameCount; i++) if (arena.u8[table + i] === ifindex) yield i;
}

/**
 * Takes back every frame of port `ifindex`, but for those at the addresses `kept`, which stay where they are. After its
 * sockets were closed, while no lane runs. Returns frames freed.
 */
export function reclaim(arena: Arena, core: Core, ifindex: number, kept: Iterable<number> = []): number {
  const table = lentTable(arena);
  for (const addr of kept) arena.u8[table + Math.floor(addr / FRAME_SIZE)] = 0;
  let freed = 0;
  for (const frame of lentFrames(arena, ifindex)) {
    arena.u8[table + frame] = 0;
    core.exports.frame_free(frame * FRAME_SIZE);
    freed++;
  }
  return freed;
}
