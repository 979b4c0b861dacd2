/** Bytes to send, and what tells that they came as they were. */
import { createHash } from 'node:crypto';

/** Bytes that differ from place to place. */
export function pattern(bytes: number, seed = 1): Uint8Array {
  const out = new Uint8Array(bytes);
  let x = seed | 1;
  for (let i = 0; i < bytes; i++) {
    x = Math.imul(x, 1664525) + 1013904223;
    out[i] = x >>> 24;
  }
  return out;
}

export const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
