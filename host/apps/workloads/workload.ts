/** How long messages are: one of Homa's workloads, or one length. */
import { EtherloomError } from '../../errors.js';
import { CDF, CP_NODE_CDF } from './cdf.js';

export type WorkloadName = keyof typeof CDF;

/** Longest message of a fixed length: Homa's. */
const MAX_FIXED = 1_000_000;

/** A distribution of lengths. */
export class Workload {
  /** Sum of length × share, bytes. */
  readonly mean: number;

  /** @internal `lengths` ascending; `shares[i]` of the messages are not longer than `lengths[i]`, the last is 1. */
  constructor(
    readonly name: string,
    readonly lengths: Uint32Array,
    readonly shares: Float64Array,
  ) {
    this.mean = this.meanOf(bytes => bytes);
  }

  /** Index of the first share that is at least `share`. */
  #find(share: number): number {
    let [low, high] = [0, this.shares.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shares[middle] < share) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The length that a share 0 … 1 of the messages does not exceed; of uniform numbers it makes lengths of the workload. */
  quantile(share: number): number {
    return this.lengths[this.#find(share)];
  }

  /** Share of the messages that are not longer. */
  shareUpTo(bytes: number): number {
    let n = 0;
    for (let i = 0; i < this.lengths.length && this.lengths[i] <= bytes; i++) n = this.shares[i];
    return n;
  }

  /** Share of all bytes that are in messages not longer. */
  byteShareUpTo(bytes: number): number {
    return this.meanOf(length => (length <= bytes ? length : 0)) / this.mean;
  }

  /** Mean of something that depends on the length, as bytes on the wire. */
  meanOf(value: (bytes: number) => number): number {
    let sum = 0;
    for (let i = 0; i < this.lengths.length; i++)
      sum += value(this.lengths[i]) * (this.shares[i] - (i ? this.shares[i - 1] : 0));
    return sum;
  }

  /** The same with nothing longer than `bytes`: longer messages are as long as that. */
  limited(bytes: number): Workload {
    const n = this.lengths.findIndex(length => length >= bytes);
    if (n < 0) return this;
    const shares = this.shares.slice(0, n + 1);
    shares[n] = 1;
    const lengths = this.lengths.slice(0, n + 1);
    lengths[n] = bytes;
    return new Workload(this.name, lengths, shares);
  }
}

const made = new Map<string, Workload>();

function parsed(name: string, key: string, text: string): Workload {
  let w = made.get(key);
  if (!w) {
    const pairs = text.split(',').map(pair => pair.trim().split(' ').map(Number));
    w = new Workload(
      name,
      Uint32Array.from(pairs, p => p[0]),
      Float64Array.from(pairs, p => p[1]),
    );
    made.set(key, w);
  }
  return w;
}

/**
 * A workload by what cp_node's --workload takes: `w1` … `w5`, `starve`, or a number of bytes. `cpNode`: as cp_node reduces
 * it, up to 1,000,000 B; else as published, which Homa can only carry `limited`.
 * @throws EtherloomError ERR_WORKLOAD for anything else
 */
export function workload(name: string | number, cpNode = false): Workload {
  const key = `${name}`;
  if (Object.hasOwn(CDF, key)) {
    const known = key as WorkloadName;
    return cpNode ? parsed(key, `${key} cp_node`, CP_NODE_CDF[known]) : parsed(key, key, CDF[known]);
  }
  const bytes = /^\d{1,9}$/.test(key) ? Number(key) : 0;
  if (bytes < 1 || bytes > MAX_FIXED)
    throw new EtherloomError('ERR_WORKLOAD', `workload ${key}`, {
      expected: `${Object.keys(CDF).join(', ')}, or bytes from 1 to ${MAX_FIXED}`,
    });
  return new Workload(key, Uint32Array.of(bytes), Float64Array.of(1));
}
