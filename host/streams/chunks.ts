/**
 * Memory of chunks, which are their reader's for ever. Small ones are cut from a piece that they share, as those of
 * Buffer.allocUnsafe are; to make such a Buffer and to copy by words costs a third of `allocUnsafe` and `set`.
 */
import { copyWords, SHORT } from './words.js';

/** Bytes of a piece: what one chunk that is kept may keep. Twice Buffer.poolSize. */
const PIECE_BYTES = 16_384;
/** Largest chunk that is cut from one. */
const SMALL = PIECE_BYTES >> 3;
const ALIGN = 8;

/** What `subarray` of a Buffer makes, too. */
const FastBuffer = (
  Buffer as unknown as { [Symbol.species]: new (memory: ArrayBufferLike, at: number, n: number) => Buffer }
)[Symbol.species];

let memory = new ArrayBuffer(PIECE_BYTES);
let view = new DataView(memory);
let free = 0;

/** Whoever has bytes to read, as StreamEnd has. */
export interface Readable {
  /** Copies the next `n` bytes by words, if they are few and in one piece. Whether it did. */
  readWords(into: DataView, at: number, n: number): boolean;
  read(into: Uint8Array): number;
}

/** Finds `n` bytes at `free`, at most SMALL. */
function makeRoom(n: number): void {
  if (free + n <= PIECE_BYTES) return;
  memory = Buffer.allocUnsafeSlow(PIECE_BYTES).buffer as ArrayBuffer;
  view = new DataView(memory);
  free = 0;
}

/** The next `n` bytes at `free`. */
function cut(n: number): Buffer {
  const chunk = new FastBuffer(memory, free, n);
  free = (free + n + ALIGN - 1) & -ALIGN;
  return chunk;
}

/** The next `n` bytes of what can be read, of which there are as many. */
export function chunkOf(from: Readable, n: number): Buffer {
  if (n > SMALL) {
    const chunk = Buffer.allocUnsafeSlow(n);
    from.read(chunk);
    return chunk;
  }
  makeRoom(n);
  const read = from.readWords(view, free, n);
  const chunk = cut(n);
  if (!read) from.read(chunk);
  return chunk;
}

/** Memory that was copied from last: the arena, almost always. */
let known: Uint8Array = new Uint8Array(0);
let knownView = new DataView(known.buffer);

/** The `n` bytes at `at`, copied. */
export function copyOf(bytes: Uint8Array, at: number, n: number): Buffer {
  if (n > SMALL) {
    const chunk = Buffer.allocUnsafeSlow(n);
    chunk.set(bytes.subarray(at, at + n));
    return chunk;
  }
  makeRoom(n);
  if (n > SHORT) {
    const chunk = cut(n);
    chunk.set(bytes.subarray(at, at + n));
    return chunk;
  }
  if (bytes !== known) {
    known = bytes;
    knownView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  copyWords(view, free, knownView, at, n);
  return cut(n);
}
