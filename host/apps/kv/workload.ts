/** What flexkvs_bench asks for: keys and values of a size, so many keys, chosen evenly or by Zipf's law, so many gets. */
import { EtherloomError } from '../../errors.js';

export interface WorkloadOptions {
  /** Bytes of a key, at least 8. Default 32. */
  keyBytes?: number;
  /** Default 1000. */
  keys?: number;
  /** Bytes of a value. Default 64. */
  valueBytes?: number;
  /** Part of the requests that are gets. Default 0.9. */
  gets?: number;
  /** Exponent of Zipf's law, from 0 on; 0: every key as often. Default 0.9. */
  zipf?: number;
  /** Of the choices of keys, and of those between get and set. Default 1 and 2. */
  keySeed?: number;
  opSeed?: number;
}

const LEAST_KEY = 8;

/** xorshift32. */
class Choice {
  #state: number;

  constructor(seed: number, thread: number) {
    this.#state = (seed + Math.imul(thread, 0x9e3779b1)) >>> 0 || 1;
  }

  /** 0 … 1, without 1. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state / 2 ** 32;
  }
}

export class Workload {
  readonly keyBytes: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly gets: number;
  /** All keys in a row. */
  readonly #names: Uint8Array;
  /** Part of all requests that go to keys 0 … i; undefined: all as often. */
  readonly #reach: Float64Array | undefined;
  readonly #keyChoice: Choice;
  readonly #opChoice: Choice;

  /** @param thread each has choices of its own @throws EtherloomError ERR_KV_OPTIONS */
  constructor(options: WorkloadOptions = {}, thread = 0) {
    const { keyBytes = 32, keys = 1000, valueBytes = 64, gets = 0.9, zipf = 0.9 } = options;
    check('keyBytes', keyBytes, LEAST_KEY, 250);
    check('keys', keys, 1, 2 ** 24);
    check('valueBytes', valueBytes, 0, 1 << 20);
    check('gets', gets, 0, 1, true);
    check('zipf', zipf, 0, 10, true);
    this.keyBytes = keyBytes;
    this.keys = keys;
    this.valueBytes = valueBytes;
    this.gets = gets;
    this.#keyChoice = new Choice(options.keySeed ?? 1, thread);
    this.#opChoice = new Choice(options.opSeed ?? 2, thread);
    this.#names = new Uint8Array(keys * keyBytes);
    // A number in digits, in front of whatever fills the rest.
    for (let k = 0; k < keys; k++)
      this.#names.set(
        Buffer.from(`k${String(k).padStart(LEAST_KEY - 1, '0')}`.padEnd(keyBytes, 'x')),
        k * keyBytes,
      );
    if (zipf > 0) this.#reach = reachOf(keys, zipf);
  }

  /** Number of the key of the next request. */
  nextKey(): number {
    const r = this.#keyChoice.next();
    const reach = this.#reach;
    if (!reach) return Math.floor(r * this.keys);
    let low = 0;
    let high = this.keys - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (reach[middle] < r) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether the next request is a get. */
  nextIsGet(): boolean {
    return this.#opChoice.next() < this.gets;
  }

  /** Copies key `k`. */
  writeKey(k: number, to: Uint8Array, at: number): void {
    const from = k * this.keyBytes;
    for (let i = 0; i < this.keyBytes; i++) to[at + i] = this.#names[from + i];
  }
}

function reachOf(keys: number, zipf: number): Float64Array {
  const reach = new Float64Array(keys);
  let sum = 0;
  for (let k = 0; k < keys; k++) reach[k] = sum += 1 / (k + 1) ** zipf;
  for (let k = 0; k < keys; k++) reach[k] /= sum;
  return reach;
}

function check(name: string, value: number, least: number, most: number, parts = false): void {
  if ((parts || Number.isInteger(value)) && value >= least && value <= most) return;
  throw new EtherloomError('ERR_KV_OPTIONS', `${name}: ${value}`, {
    expected: `a ${parts ? '' : 'whole '}number from ${least} to ${most}`,
  });
}
