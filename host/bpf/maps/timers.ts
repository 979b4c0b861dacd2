/**
 * Maps with timers, as lanes see them: their wheels name nodes that lie beside the values (assembly/bpf/timers). Memory
 * of such a map is given back only when no wheel and no inbox names it any more.
 */
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';

interface Retired {
  core: Core;
  /** Maps that are destroyed, but still named. */
  addrs: number[];
}

/** One per arena that ever had a map with timers destroyed. */
const retired = new WeakMap<Arena, Retired>();

/** Gives the memory of a map back whose timers were ended, as soon as every lane has let go of them. */
export function retireTimers(arena: Arena, core: Core, addr: number): void {
  let list = retired.get(arena);
  if (!list) retired.set(arena, (list = { core, addrs: [] }));
  list.addrs.push(addr);
  collectTimers(arena);
}

/** Frees what no lane names any more. Called when memory is wanted, or given back. */
export function collectTimers(arena: Arena): void {
  const list = retired.get(arena);
  if (!list?.addrs.length) return;
  list.addrs = list.addrs.filter(addr => {
    const named = list.core.exports.timers_linked(addr) !== 0;
    if (!named) arena.maps.free(addr);
    return named;
  });
}

/** Every wheel of the arena from the timers of these maps and of no other, while no lane runs; without those of lane `except`. */
export function rebuildWheels(
  arena: Arena,
  core: Core | undefined,
  maps: readonly number[],
  arm: boolean,
  except = 0xffffffff,
): void {
  const list = retired.get(arena);
  const by = core ?? list?.core;
  if (!by) return;
  by.exports.timers_reset();
  for (const addr of maps) by.exports.timers_restore(addr, arm ? 1 : 0, except);
  // Nothing names the others from here on.
  for (const addr of list?.addrs.splice(0) ?? []) arena.maps.free(addr);
}
