/**
 * Loses, corrupts and doubles packets of a NIC, by a seed: `faults(nic, { rx: { loss: 0.01 } })`. For NICs without a model of
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
  /** Probability that a packet goes on twice, 0 … 1. The copy comes right after it, with the same bytes. */
  duplicate?: number;
}

export interface FaultOptions {
  rx?: FaultSettings;
  tx?: FaultSettings;
  /** Same packets, same seed: same faults. Default 1. */
  seed?: number;
}

export class FaultNic extends Wrapper {
  #state: number;
  #lost = 0;
  #corrupted = 0;

  /** @throws EtherloomError ERR_FAULT_OPTIONS for what is no probability */
  constructor(
    inner: Nic,
    readonly options: FaultOptions,
  ) {
    super(inner, options.rx?.duplicate || options.tx?.duplicate ? 2 : 1);
    for (const settings of [options.rx, options.tx])
      for (const p of [settings?.loss, settings?.corrupt, settings?.duplicate])
        if (p !== undefined && !(p >= 0 && p <= 1))
          throw new EtherloomError('ERR_FAULT_OPTIONS', `probability ${p}`, { expected: '0 … 1' });
    this.#state = (options.seed ?? 1) >>> 0;
  }

  /** Packets dropped, corrupted and doubled so far. None is doubled while no frame is free. */
  get stats(): { lost: number; corrupted: number; duplicated: number } {
    return { lost: this.#lost, corrupted: this.#corrupted, duplicated: this.copies };
  }

  protected override handle(direction: Direction, data: Uint8Array): 0 | 1 | 2 {
    const { loss = 0, corrupt = 0, duplicate = 0 } = this.options[direction] ?? {};
    if (loss > 0 && this.#random() < loss) {
      this.#lost++;
      return 0;
    }
    if (corrupt > 0 && data.length > 0 && this.#random() < corrupt) {
      const bit = Math.floor(this.#random() * data.length * 8);
      data[bit >> 3] ^= 1 << (bit & 7);
      this.#corrupted++;
    }
    return duplicate > 0 && this.#random() < duplicate ? 2 : 1;
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
