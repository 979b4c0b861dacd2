/**
 * The client of cp_node: messages of a workload to peers in real time, at a rate or as many as may be under way, and how long
 * each took. Its thread calls `turn` over and over.
 */
import { Uniform } from '../workloads/arrivals.js';
import { percentile } from '../workloads/slowdown.js';
import type { Workload } from '../workloads/workload.js';
import type { MessageCarrier } from './carrier.js';

export interface ClientOptions {
  workload: Workload;
  /** Of messages, requests only, as cp_node counts; 0: as fast as `max` lets. */
  gbps: number;
  /** Requests under way at most. */
  max: number;
  /** Peers of the carrier. */
  peers: number;
  /** So many of each length, one at a time: what messages take alone. 0: a load. */
  unloaded: number;
  seed: number;
  /** Told of each request that failed, and why. */
  failed?: (error: string) => void;
}

/** What happened between two looks. */
export interface ClientSpan {
  /** Begun, and answered: the difference is under way, or failed. */
  requests: number;
  answers: number;
  bytesOut: number;
  bytesIn: number;
  /** Times that a request was due and `max` were under way. */
  backedUp: number;
  /** How often requests failed, by why. */
  errors: Map<string, number>;
  /** Ascending, µs. */
  times: Float64Array;
}

type Open = Omit<ClientSpan, 'times'> & { times: number[] };

const nothing = (): Open => ({
  ...{ requests: 0, answers: 0, bytesOut: 0, bytesIn: 0, backedUp: 0 },
  errors: new Map(),
  times: [],
});

/** Most pairs that are kept for dump_times. */
const KEPT = 4_000_000;

export class MessageClient {
  /** Length and round trip (µs) of what was answered, the latest of them. */
  readonly lengths: number[] = [];
  readonly tookUs: number[] = [];
  outstanding = 0;
  /** Nothing more is begun. */
  stopped = false;
  #held = false;
  #nextMs = 0;
  #lagMs = 0;
  readonly #uniform: Uniform;
  readonly #alone: number[] = [];
  #span = nothing();

  constructor(
    readonly carrier: MessageCarrier,
    readonly options: ClientOptions,
    readonly now: () => number = () => performance.now(),
  ) {
    const { workload, seed, unloaded } = options;
    this.#uniform = new Uniform(seed);
    this.#nextMs = now();
    for (const bytes of workload.lengths) for (let i = 0; i < unloaded; i++) this.#alone.push(bytes);
    this.#alone.reverse();
  }

  /** All that `unloaded` asks for is answered. */
  get done(): boolean {
    return this.options.unloaded > 0 && this.#alone.length === 0 && this.outstanding === 0;
  }

  /** Begins what is due. Returns how many. */
  turn(): number {
    const { gbps, max, unloaded, workload } = this.options;
    if (this.stopped || !this.carrier.ready) return 0;
    let begun = 0;
    if (unloaded > 0) {
      if (this.outstanding > 0 || this.#alone.length === 0) return 0;
      this.#begin(this.#alone.pop()!);
      return 1;
    }
    const now = this.now();
    while (gbps === 0 || this.#nextMs <= now) {
      if (this.outstanding >= max) {
        if (gbps > 0 && !this.#held) this.#span.backedUp++;
        this.#held = true;
        break;
      }
      this.#held = false;
      const bytes = workload.quantile(1 - this.#uniform.next());
      if (gbps > 0) {
        this.#nextMs -= (Math.log(1 - this.#uniform.next()) * workload.mean * 8) / (gbps * 1e6);
        this.#lagMs = Math.max(0, now - this.#nextMs);
      }
      this.#begin(bytes);
      begun++;
    }
    return begun;
  }

  #begin(bytes: number): void {
    const peer = Math.floor(this.#uniform.next() * this.options.peers);
    const from = this.now();
    this.outstanding++;
    this.#span.requests++;
    this.#span.bytesOut += bytes;
    this.carrier.begin(peer, bytes, error => {
      this.outstanding--;
      if (error !== undefined) {
        const { errors } = this.#span;
        errors.set(error, (errors.get(error) ?? 0) + 1);
        this.options.failed?.(error);
        return;
      }
      const us = (this.now() - from) * 1000;
      const span = this.#span;
      span.answers++;
      span.bytesIn += this.carrier.answerBytes(bytes);
      span.times.push(us);
      if (this.lengths.length >= KEPT) return;
      this.lengths.push(bytes);
      this.tookUs.push(us);
    });
  }

  /** How far requests are behind their times, ms. */
  get lagMs(): number {
    return this.#lagMs;
  }

  /** What happened since the last call. */
  span(): ClientSpan {
    const { times, ...rest } = this.#span;
    this.#span = nothing();
    return { ...rest, times: Float64Array.from(times).sort() };
  }
}

/** cp_node's line of a second, or so many. */
export function clientLine(span: ClientSpan, seconds: number, client: MessageClient): string {
  const { answers, bytesOut, bytesIn, times, errors } = span;
  const gbit = (n: number): string => ((n * 8) / seconds / 1e9).toFixed(3);
  const at = (share: number): string => (times.length ? percentile(times, share).toFixed(2) : '-');
  const average = span.requests === 0 ? 0 : bytesOut / span.requests;
  const failed = [...errors.values()].reduce((sum, n) => sum + n, 0);
  return (
    `Clients: ${(answers / seconds / 1000).toFixed(2)} Kops/sec, ${gbit(bytesOut)} Gbps out, ${gbit(bytesIn)} Gbps in, ` +
    `RTT (us) P50 ${at(0.5)} P99 ${at(0.99)} P99.9 ${at(0.999)}, avg. req. length ${average.toFixed(1)} bytes\n` +
    `Lag: ${((client.lagMs / 1000 / seconds) * 100).toFixed(1)}%, backed-up sends: ${span.backedUp}, ` +
    `outstanding client RPCs: ${client.outstanding}, errors: ${failed}`
  );
}
