/**
 * What an engine is random by: a key for hashes that nobody is to guess, and a generator for each lane. With a seed both
 * are the same in every run. They lie in the arena, so a lane that replaces another goes on with what that had.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import { ARENA_HEADER_AT, ArenaHeaderLayout } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';

/** Before programs run. @param seed for the same run again; undefined: another one each time */
export function plantSeeds(arena: Arena, core: Core, seed: number | undefined): void {
  keyHash(arena, seed);
  seedLanes(arena, core, seed ?? randomInt(2 ** 32));
}

/** The key of el_siphash. */
function keyHash(arena: Arena, seed: number | undefined): void {
  const key = new BigUint64Array(2);
  if (seed === undefined) randomFillSync(key);
  else key.set([BigInt(seed), ~BigInt(seed)]);
  const at = (ARENA_HEADER_AT + ArenaHeaderLayout.hashKey) >> 3;
  new BigUint64Array(arena.memory.buffer, at << 3, 2).set(key);
}

/** Every lane's generator starts elsewhere, the host's, too: the last, by whose instance they are all made. */
function seedLanes(arena: Arena, core: Core, seed: number): void {
  const { laneCount } = arena.header;
  const host = arena.lane(laneCount);
  for (let i = 0; i <= laneCount; i++) {
    core.exports.prandom_seed((seed + Math.imul(i, 0x9e3779b1)) >>> 0);
    const { random0, random1, random2, random3 } = host;
    Object.assign(arena.lane(i), { random0, random1, random2, random3 });
  }
}
