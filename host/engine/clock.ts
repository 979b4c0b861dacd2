/** The engine's clock: CLOCK_MONOTONIC, or virtual time, which stands still until it is moved. */
import { EtherloomError } from '../errors.js';

export class EngineClock {
  #nowNs: bigint;

  constructor(
    readonly virtual: boolean,
    startNs: bigint,
  ) {
    this.#nowNs = startNs;
  }

  /** ns. */
  now(): bigint {
    return this.virtual ? this.#nowNs : process.hrtime.bigint();
  }

  /** What CLOCK_REALTIME is ahead, ns; 0 in virtual time, which is its own epoch. */
  get realtimeOffsetNs(): bigint {
    return this.virtual ? 0n : BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  }

  /** Moves virtual time forward by `ns`. @throws EtherloomError ERR_ENGINE_STATE */
  advance(ns: bigint | number): void {
    if (!this.virtual) throw new EtherloomError('ERR_ENGINE_STATE', 'advance() needs a virtual clock');
    this.#nowNs += BigInt(ns);
  }

  /** Moves virtual time forward to `ns`, if that lies ahead. Real time goes by itself. */
  advanceTo(ns: bigint): void {
    if (ns > this.#nowNs) this.#nowNs = ns;
  }
}
