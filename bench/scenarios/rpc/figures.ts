/** What a run of calls came to. */
export interface CallFigures {
  callsPerS: number;
  p50Us: number;
  p99Us: number;
}

export interface Load {
  inFlight: number;
  bytes: number;
  /** Ports of the server that they go to in turn, over TCP a connection each. Default 1. */
  ports?: number;
  /** Responses are empty, rather than what was asked. */
  oneWay?: boolean;
}

/** Samples that are kept: of the last calls. */
export const SAMPLES = 1 << 16;

/** @param times of calls, µs */
export function figuresOf(calls: number, ms: number, times: Float64Array): CallFigures {
  const sorted = times.slice().sort();
  const at = (q: number): number => sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
  return { callsPerS: (calls * 1000) / ms, p50Us: at(0.5), p99Us: at(0.99) };
}

/** Times of calls, the last of them. */
export class Times {
  readonly #us = new Float64Array(SAMPLES);
  calls = 0;

  took(us: number): void {
    this.#us[this.calls++ & (SAMPLES - 1)] = us;
  }

  clear(): void {
    this.calls = 0;
  }

  figures(ms: number): CallFigures {
    return figuresOf(this.calls, ms, this.#us.subarray(0, Math.min(this.calls, SAMPLES)));
  }
}

/** Of rounds: the one whose rate is in the middle. */
export const middle = (rounds: CallFigures[]): CallFigures =>
  [...rounds].sort((a, b) => a.callsPerS - b.callsPerS)[rounds.length >> 1];
