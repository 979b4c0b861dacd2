/**
 * Loses and corrupts packets of a NIC, by a seed: `faults(nic, { rx: { loss: 0.01 } })`. For NICs without a model of
 * their wire (pcap, AF_XDP, tap); the model link does the same and more inside the lanes.
 */
import { EtherloomError } from '../../errors.js';
import type { Nic } from '../nic.js';
import { type Direction, Wrapper } from './wrapper.js';

export interface FaultSettings {
  /** Probability that a packet is dropped, 0 … 1. */
  loss?: number;
  /** Probability that one bit of a packet is flipped, 0 … 1. */
  corrupt?: number;
}

export interface FaultOptions {
  rx?: FaultSettings;
  tx?: FaultSettings;
  /** Same packets, same seed: same faults. Default 1. */
  seed?: number;
}

export class FaultNic extends Wrapper {
  /** Packets dropped and corrupted so far. */
  readonly stats = { lost: 0, corrupted: 0 };
  #state: number;

  /** @throws EtherloomError ERR_FAULT_OPTIONS for what is no probability */
  constructor(
    inner: Nic,
    readonly options: FaultOptions,
  ) {
    super(inner);
    for (const p of [options.rx?.loss, options.rx?.corrupt, options.tx?.loss, options.tx?.corrupt])
      if (p !== undefined && !(p >= 0 && p <= 1))
        throw new EtherloomError('ERR_FAULT_OPTIONS', `probability ${p}`, { expected: '0 … 1' });
    this.#state = (options.seed ?? 1) >>> 0;
  }

  protected override handle(direction: Direction, data: Uint8Array): boolean {
    const { loss = 0, corrupt = 0 } = this.options[direction] ?? {};
    if (loss > 0 && this.#random() < loss) {
      this.stats.lost++;
      return false;
    }
    if (corrupt > 0 && data.length > 0 && this.#random() < corrupt) {
      const bit = Math.floor(this.#random() * data.length * 8);
      data[bit >> 3] ^= 1 << (bit & 7);
      this.stats.corrupted++;
    }
    return true;
  }

  /** splitmix32, 0 ≤ x < 1. */
  #random(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 0x1_0000_0000;
  }
}

/** Wraps a NIC so that some of its packets come to harm. */
export const faults = (nic: Nic, options: FaultOptions): FaultNic => new FaultNic(nic, options);
