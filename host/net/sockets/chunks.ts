/**
 * Memory of chunks, which are their reader's for ever. Small ones are cut from a piece that they share, as those of
 * Buffer.allocUnsafe are; to make such a Buffer and to copy by words costs a third of `allocUnsafe` and `read`.
 */
import type { SocketConnection } from './loop.js';

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

/** The next `n` bytes of what can be read, of which there are as many. */
export function chunkOf(connection: SocketConnection, n: number): Buffer {
  if (n > SMALL) {
    const chunk = Buffer.allocUnsafeSlow(n);
    connection.read(chunk);
    return chunk;
  }
  if (free + n > PIECE_BYTES) {
    memory = Buffer.allocUnsafeSlow(PIECE_BYTES).buffer as ArrayBuffer;
    view = new DataView(memory);
    free = 0;
  }
  const chunk = new FastBuffer(memory, free, n);
  if (!connection.readWords(view, free, n)) connection.read(chunk);
  free = (free + n + ALIGN - 1) & -ALIGN;
  return chunk;
}
