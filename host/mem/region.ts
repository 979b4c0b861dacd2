/**
 * A region of the arena handed out by the control plane: first fit over a sorted free list, coalescing.
 * Runs on the host thread only, never per packet. Addresses are arena addresses in bytes.
 */
import { EtherloomError } from '../errors.js';

interface Span {
  at: number;
  bytes: number;
}

export class Region {
  #free: Span[];
  readonly #used = new Map<number, number>();

  constructor(
    readonly name: string,
    readonly at: number,
    readonly bytes: number,
  ) {
    this.#free = [{ at, bytes }];
  }

  /**
   * Reserves `bytes` bytes aligned to `align` (a power of two) for `what`, which an error names.
   * @throws EtherloomError ERR_ARENA_FULL when no free span is large enough.
   */
  alloc(bytes: number, align = 64, what?: string): number {
    const need = Math.max(8, Math.ceil(bytes / 8) * 8);
    for (let i = 0; i < this.#free.length; i++) {
      const span = this.#free[i];
      const at = Math.ceil(span.at / align) * align;
      const waste = at - span.at;
      if (span.bytes < waste + need) continue;
      const rest = span.bytes - waste - need;
      const parts: Span[] = [];
      if (waste) parts.push({ at: span.at, bytes: waste });
      if (rest) parts.push({ at: at + need, bytes: rest });
      this.#free.splice(i, 1, ...parts);
      this.#used.set(at, need);
      return at;
    }
    throw new EtherloomError(
      'ERR_ARENA_FULL',
      `no ${bytes} bytes left${what ? ` for ${what}` : ''} in the ${this.name} region of ${this.bytes} bytes`,
      {
        expected: `a larger ${this.name} region when the engine is created (${this.name.replace(/s$/, '')}Bytes)`,
      },
    );
  }

  /** Gives back what `alloc` returned. @throws EtherloomError ERR_ARENA_FREE for any other address. */
  free(at: number): void {
    const bytes = this.#used.get(at);
    if (bytes === undefined)
      throw new EtherloomError('ERR_ARENA_FREE', `address ${at} is not allocated in the ${this.name} region`);
    this.#used.delete(at);
    let i = this.#free.findIndex(s => s.at > at);
    if (i < 0) i = this.#free.length;
    this.#free.splice(i, 0, { at, bytes });
    const merge = (k: number): void => {
      const a = this.#free[k];
      const b = this.#free[k + 1];
      if (a && b && a.at + a.bytes === b.at) {
        a.bytes += b.bytes;
        this.#free.splice(k + 1, 1);
      }
    };
    merge(i);
    merge(i - 1);
  }

  /** Bytes handed out now. */
  get usedBytes(): number {
    let n = 0;
    for (const b of this.#used.values()) n += b;
    return n;
  }
}
