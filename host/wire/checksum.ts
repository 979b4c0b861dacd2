/** The Internet checksum (RFC 1071) for printers: plain, in network order. The packet path has assembly/mem/checksum.ts. */
import type { Span } from './layer.js';

/** Sum of 16-bit words on top of `start`, carries folded in; 0xffff over a range that holds its own right checksum. */
export function sum(span: Span, start = 0): number {
  const { bytes, at, end } = span;
  let total = start;
  let i = at;
  for (; i + 1 < end; i += 2) total += (bytes[i] << 8) | bytes[i + 1];
  if (i < end) total += bytes[i] << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

/** Is the checksum inside this range right? */
export const checksumOk = (span: Span, pseudo = 0): boolean => sum(span, pseudo) === 0xffff;

/** Sum of a pseudo header: both addresses, the length, the protocol. */
export const pseudoSum = (addresses: Span, length: number, protocol: number): number =>
  sum(addresses, (length & 0xffff) + (length >>> 16) + protocol);
