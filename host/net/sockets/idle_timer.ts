/** The time that nothing happened on a socket: `Socket.setTimeout`. Does not keep the process alive. */
import { rangeError, typeError } from './errors.js';

/** Longest time of a timer of Node's, ms. */
const MOST_MS = 2 ** 31 - 1;

export class IdleTimer {
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly onIdle: () => void) {}

  /** From now on `onIdle` is called when `ms` pass without `refresh`; 0: never. */
  set(ms: number): void {
    this.clear();
    if (ms > 0) this.#timer = setTimeout(this.onIdle, ms).unref();
  }

  /** Something happened. Also begins anew after the time had passed. */
  refresh(): void {
    this.#timer?.refresh();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** A duration, cut to what timers can. @throws TypeError ERR_INVALID_ARG_TYPE; RangeError ERR_OUT_OF_RANGE */
export function duration(name: string, ms: unknown): number {
  if (typeof ms !== 'number') throw typeError(name, 'of type number', ms);
  if (!(ms >= 0) || !Number.isFinite(ms)) throw rangeError(name, 'a non-negative finite number', ms);
  if (ms <= MOST_MS) return ms;
  process.emitWarning(
    `${ms} does not fit into a 32-bit signed integer. Timer duration was truncated to ${MOST_MS}.`,
    'TimeoutOverflowWarning',
  );
  return MOST_MS;
}
