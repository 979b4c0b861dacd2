/** A core over a small arena for tests that call its exports with bytes of their own. */
import { Arena } from '../../host/mem/arena.js';
import { type CoreExports, instantiateCore } from '../../host/mem/core.js';

export class Bench {
  readonly arena = Arena.create({
    lanes: 1,
    frames: 16,
    mapBytes: 4096,
    ringBytes: 4096,
    scratchBytes: 1 << 20,
  });
  readonly core: CoreExports = instantiateCore(this.arena, 0).exports;
  /** Where `put` writes: a megabyte of scratch. */
  readonly at = this.arena.header.scratchAt;

  /** Writes bytes at `offset` of the scratch region; returns their address. */
  put(bytes: ArrayLike<number>, offset = 0): number {
    this.arena.u8.set(bytes, this.at + offset);
    return this.at + offset;
  }

  /** Writes bytes so that the last one is the last of all memory: a read behind them traps. */
  putLast(bytes: ArrayLike<number>): number {
    const at = this.arena.u8.length - bytes.length;
    this.arena.u8.set(bytes, at);
    return at;
  }

  /** Copies bytes out. */
  take(at: number, bytes: number): Uint8Array {
    return this.arena.u8.slice(at, at + bytes);
  }
}

/** Bytes from hex; blanks and line breaks are ignored. */
export const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replace(/\s+/g, ''), 'hex'));

/** Hex of bytes. */
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
