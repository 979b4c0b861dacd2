/** What the tests of the wire spine share: the core, and the statuses by name. */
import { WireStatus } from '../../host/wire/layout.gen.js';
import { Bench, hex, toHex } from '../support/core.js';

export { hex, toHex };

export const bench = new Bench();
export const { core } = bench;

/** Name of what a `check` returned. */
export const status = (n: number): string =>
  Object.keys(WireStatus).find(k => WireStatus[k as keyof typeof WireStatus] === n) ?? `unknown ${n}`;

/** Little-endian number of bytes as they lie in memory. */
export const inMemory = (bytes: Uint8Array): number => bytes.reduceRight((n, b) => n * 256 + b, 0);

/** Calls `check` with every prefix of `bytes`, each at the very end of memory, so that a read too far traps. */
export function prefixes(bytes: Uint8Array, check: (at: number, len: number) => number): string[] {
  return Array.from({ length: bytes.length + 1 }, (_, n) =>
    status(check(bench.putLast(bytes.subarray(0, n)), n)),
  );
}

/** Scratch memory filled with a pattern, so that what `emit` leaves out shows; returns what it wrote. */
export function emitted(bytes: number, emit: (at: number) => number): string {
  const at = bench.put(new Uint8Array(bytes + 8).fill(0xee));
  const written = emit(at);
  if (toHex(bench.take(at + bytes, 8)) !== 'eeeeeeeeeeeeeeee') throw new Error('wrote behind its header');
  return `${written}: ${toHex(bench.take(at, bytes))}`;
}

/** An address of `bytes` in scratch memory, behind where `emitted` writes. */
export const place = (bytes: Uint8Array, slot = 0): number => bench.put(bytes, 65536 + slot * 64);
