/**
 * A direct-mapped cache of transfer functions. The walk meets the same instruction with the very same (shared)
 * operands on many paths; a hit costs some ns where working it out in bigints costs µs, and it returns the same
 * reference again, so that equality stays a pointer comparison further down.
 */
import type { Scalar } from './scalar.js';

const SLOTS = 1 << 14;

export class Memo<R> {
  readonly #a: (Scalar | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #b: (Scalar | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #op = new Int32Array(SLOTS).fill(-1);
  readonly #result: (R | undefined)[] = new Array(SLOTS).fill(undefined);

  constructor(private readonly work: (op: number, a: Scalar, b: Scalar) => R) {}

  /** `op` is any small number that names the function together with the operands. */
  get(op: number, a: Scalar, b: Scalar): R {
    const slot =
      (Math.imul(a.id, 0x9e3779b1) ^ Math.imul(b.id, 0x85ebca6b) ^ Math.imul(op + 1, 0xc2b2ae35)) >>> 18;
    if (this.#op[slot] === op && this.#a[slot] === a && this.#b[slot] === b) return this.#result[slot] as R;
    const result = this.work(op, a, b);
    this.#op[slot] = op;
    this.#a[slot] = a;
    this.#b[slot] = b;
    this.#result[slot] = result;
    return result;
  }
}
