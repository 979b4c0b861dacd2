/** What the map tests share: an arena with a host core, maps from a few words, seeded choice. */
import { createMap, type MapError, type MapOf } from '../../../host/bpf/maps/index.js';
import type { MapSpec, MapTypeName } from '../../../host/bpf/spec.js';
import { Arena, type ArenaOptions } from '../../../host/mem/arena.js';
import { type Core, instantiateCore } from '../../../host/mem/core.js';

export interface Bench {
  arena: Arena;
  core: Core;
}

/** A small arena; its host instance does the work. */
export function bench(options: ArenaOptions = {}): Bench {
  const arena = Arena.create({ lanes: 2, frames: 16, mapBytes: 32 << 20, ...options });
  return { arena, core: instantiateCore(arena, arena.header.laneCount) };
}

export function make<T extends MapTypeName>(
  b: Bench,
  type: T,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  more: Partial<MapSpec> = {},
): MapOf<T> {
  const spec = { name: type, keySize, valueSize, maxEntries, flags: 0, ...more, type };
  return createMap<T>(b.arena, b.core, spec);
}

/** Deterministic pseudo-random numbers (mulberry32). */
export function random(seed: number): { below(n: number): number; bytes(n: number): Uint8Array } {
  let s = seed >>> 0;
  const next = (): number => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    below: n => next() % n,
    bytes: n => Uint8Array.from({ length: n }, () => next() & 255),
  };
}

export const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

/** Runs `body` and returns the errno name it failed with, or 'ok'. */
export function outcomeOf(body: () => unknown): string {
  try {
    body();
    return 'ok';
  } catch (e) {
    const code = (e as MapError).code;
    if (typeof code !== 'string' || !code.startsWith('ERR_MAP_')) throw e;
    return code.slice('ERR_MAP_'.length);
  }
}
