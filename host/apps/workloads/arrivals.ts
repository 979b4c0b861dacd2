/** When messages come: a Poisson process at a given load, seeded. */
import { EtherloomError } from '../../errors.js';
import type { Workload } from './workload.js';

/** Uniform numbers in [0, 1) of 53 bits: xoshiro128** (Blackman and Vigna 2018), filled by splitmix32. */
export class Uniform {
  readonly #s = new Uint32Array(4);

  constructor(seed: number) {
    let state = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#s[i] = z ^ (z >>> 16);
    }
    // Four zeros would stay zeros.
    this.#s[0] |= 1;
  }

  #word(): number {
    const s = this.#s;
    const times5 = Math.imul(s[1], 5);
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  next(): number {
    return ((this.#word() >>> 5) * 2 ** 26 + (this.#word() >>> 6)) / 2 ** 53;
  }
}

export interface ArrivalOptions {
  workload: Workload;
  /** Bits per second of the line that the load is a share of. */
  rate: number;
  /** 0 … 1. */
  load: number;
  seed: number;
  /** Bytes that a message is on the wire; what counts as load. Default: its own, as cp_node's --gbps counts. */
  wireBytes?: (bytes: number) => number;
}

export interface Arrival {
  /** ns since the start. */
  atNs: number;
  bytes: number;
}

/** The messages of one sender. */
export class Arrivals {
  /** Mean time between two, ns. */
  readonly meanGapNs: number;
  readonly #uniform: Uniform;
  #atNs = 0;

  /** @throws EtherloomError ERR_WORKLOAD */
  constructor(readonly options: ArrivalOptions) {
    const { workload, rate, load, wireBytes, seed } = options;
    if (!(load > 0 && load <= 1 && rate > 0))
      throw new EtherloomError('ERR_WORKLOAD', `load ${load} of ${rate} bit/s`, {
        expected: 'a load above 0, at most 1, of a rate above 0',
      });
    const mean = wireBytes ? workload.meanOf(wireBytes) : workload.mean;
    this.meanGapNs = (mean * 8e9) / (rate * load);
    this.#uniform = new Uniform(seed);
  }

  /** The next message. Draws two numbers: when, and how long. */
  next(): Arrival {
    this.#atNs -= Math.log(1 - this.#uniform.next()) * this.meanGapNs;
    return { atNs: this.#atNs, bytes: this.options.workload.quantile(1 - this.#uniform.next()) };
  }

  /** One of `n` others than `self`, evenly: where the message goes. Draws one number. */
  peer(n: number, self: number): number {
    const i = Math.floor(this.#uniform.next() * (n - 1));
    return i >= self ? i + 1 : i;
  }
}
