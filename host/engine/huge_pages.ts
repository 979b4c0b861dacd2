/** Large pages for the arena: a choice of the kernel's, where it is asked to (EngineOptions.hugePages). */
import type { Arena } from '../mem/arena.js';
import { native } from '../native/load.js';

/** Returns whether the kernel was asked: without the addon nobody can. */
export function askHugePages(arena: Arena): boolean {
  const addon = native();
  return addon.ok && addon.native.hugePages?.(arena.u8) === 0;
}
