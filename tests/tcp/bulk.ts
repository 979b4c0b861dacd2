/** Connections with always something to send, whose bytes are counted and not looked at: for figures. */
import type { StreamEnd } from '../../host/streams/stream_end.js';

const CHUNK = new Uint8Array(1 << 18).fill(0x5a);

/** Fills the send ring. */
export function feed(end: StreamEnd): void {
  while (end.write(CHUNK) === CHUNK.length);
}

/** Empties the receive ring. Returns bytes. */
export function drain(end: StreamEnd): number {
  const n = end.readable;
  if (n) end.consume(n);
  return n;
}
