/** Reads and writes of shared memory that do not tear what fits one aligned word. */
import type { Arena } from '../../mem/arena.js';

/** Copies `size` bytes out; 4 and 8 aligned bytes in one load. */
export function loadBytes(arena: Arena, at: number, size: number): Uint8Array {
  if (size === 8 && at % 8 === 0)
    return new Uint8Array(BigUint64Array.of(Atomics.load(wordsOf(arena), at >>> 3)).buffer);
  if (size === 4 && at % 4 === 0)
    return new Uint8Array(Uint32Array.of(Atomics.load(arena.u32, at >>> 2)).buffer);
  return arena.u8.slice(at, at + size);
}

/** Copies bytes in; 4 and 8 aligned bytes in one store. */
export function storeBytes(arena: Arena, at: number, bytes: Uint8Array): void {
  if (bytes.length === 8 && at % 8 === 0) {
    const dv = new DataView(bytes.buffer, bytes.byteOffset);
    Atomics.store(wordsOf(arena), at >>> 3, dv.getBigUint64(0, true));
  } else if (bytes.length === 4 && at % 4 === 0) {
    const dv = new DataView(bytes.buffer, bytes.byteOffset);
    Atomics.store(arena.u32, at >>> 2, dv.getUint32(0, true));
  } else arena.u8.set(bytes, at);
}

const words = new WeakMap<Arena, BigUint64Array>();

function wordsOf(arena: Arena): BigUint64Array {
  let w = words.get(arena);
  if (!w) words.set(arena, (w = new BigUint64Array(arena.memory.buffer)));
  return w;
}
