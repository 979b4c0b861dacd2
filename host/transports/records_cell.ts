/**
 * Where an array of records lies, for threads that were told once: a word in the arena says whether that has changed, and
 * where the new description is. Nobody is asked: a look at the word is all that a reader pays.
 *
 *   version │ writers │ textAt │ textBytes          version: even; odd while the values are on their way
 */
import type { Arena } from '../mem/arena.js';

const CELL_BYTES = 16;
const VERSION = 0;
const WRITERS = 1;
const TEXT_AT = 2;
const TEXT_BYTES = 3;
/** A look at whether the values have arrived, ms. */
const WAIT_MS = 1;
/** A write takes some ns: a thread that does not end one in this time has died within it, ms. */
const WRITE_MS = 50;

export const newCell = (arena: Arena): number => {
  const at = arena.maps.alloc(CELL_BYTES, 64, 'the place of records');
  arena.u32.fill(0, at >> 2, (at + CELL_BYTES) >> 2);
  return at;
};

/** For the thread that moves the values, while lanes stand still: writers of other threads end, and none begins. */
export function closeCell(arena: Arena, cell: number): void {
  const i = cell >> 2;
  Atomics.or(arena.u32, i + VERSION, 1);
  const late = performance.now() + WRITE_MS;
  while (Atomics.load(arena.u32, i + WRITERS) !== 0 && performance.now() < late);
  Atomics.store(arena.u32, i + WRITERS, 0);
}

/** The values are where `text` says, or where they were. */
export function openCell(arena: Arena, cell: number, text?: string): void {
  const i = cell >> 2;
  if (text !== undefined) {
    const bytes = new TextEncoder().encode(text);
    const at = arena.maps.alloc(bytes.length, 8, 'the layout of records');
    arena.u8.set(bytes, at);
    const old = arena.u32[i + TEXT_AT];
    arena.u32[i + TEXT_AT] = at;
    arena.u32[i + TEXT_BYTES] = bytes.length;
    if (old) arena.maps.free(old);
  }
  // From odd to the next even number, also when nothing has moved: who waits looks again.
  Atomics.add(arena.u32, i + VERSION, 1);
  Atomics.notify(arena.i32, i + VERSION);
}

export function freeCell(arena: Arena, cell: number): void {
  const text = arena.u32[(cell >> 2) + TEXT_AT];
  if (text) arena.maps.free(text);
  arena.maps.free(cell);
}

/** Whether nothing has moved since `version`. A plain load. */
export const unmoved = (arena: Arena, cell: number, version: number): boolean =>
  arena.u32[(cell >> 2) + VERSION] === version;

/** Waits until the values are in their place; the version of now, and the description if there is one. */
export function readCell(arena: Arena, cell: number): { version: number; text: string | undefined } {
  const i = cell >> 2;
  for (;;) {
    const version = Atomics.load(arena.u32, i + VERSION);
    if (version & 1) {
      Atomics.wait(arena.i32, i + VERSION, version | 0, WAIT_MS);
      continue;
    }
    const [at, bytes] = [arena.u32[i + TEXT_AT], arena.u32[i + TEXT_BYTES]];
    // A copy: text is made of plain memory only.
    const text = at ? new TextDecoder().decode(arena.u8.slice(at, at + bytes)) : undefined;
    if (Atomics.load(arena.u32, i + VERSION) === version) return { version, text };
  }
}

/** A write is under way from now on, if nothing has moved since `version`; `endWrite` ends it. */
export function beginWrite(arena: Arena, cell: number, version: number): boolean {
  const i = cell >> 2;
  Atomics.add(arena.u32, i + WRITERS, 1);
  if (Atomics.load(arena.u32, i + VERSION) === version) return true;
  endWrite(arena, cell);
  return false;
}

export function endWrite(arena: Arena, cell: number): void {
  const i = (cell >> 2) + WRITERS;
  // It may have been taken for dead.
  for (let n = Atomics.load(arena.u32, i); n > 0; n = Atomics.load(arena.u32, i))
    if (Atomics.compareExchange(arena.u32, i, n, n - 1) === n) return;
}
