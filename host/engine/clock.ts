/** The engine's clock: CLOCK_MONOTONIC, or virtual time, which stands still until it is moved. */
import { performance } from 'node:perf_hooks';
import { EtherloomError } from '../errors.js';

/** Readings of both clocks of which the closest pair counts. */
const PAIRS = 16;
const NS_PER_MS = 1e6;

/**
 * CLOCK_MONOTONIC of this thread as a number of ns, for a lane, which reads it in every step: half of what a bigint costs.
 * Behind or ahead of `process.hrtime` by what a reading takes, always the same.
 */
export function numberClock(): () => number {
  let ahead = Number.POSITIVE_INFINITY;
  for (let i = 0; i < PAIRS; i++) {
    const own = performance.now() * NS_PER_MS;
    ahead = Math.min(ahead, Number(process.hrtime.bigint()) - own);
  }
  return () => performance.now() * NS_PER_MS + ahead;
}

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
