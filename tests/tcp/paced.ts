/** One connection that sends at a set rate, in virtual time: what left, and when, by the flow's own figures. */
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { random } from '../support/random.js';
import { drain, feed } from './bulk.js';
import type { TcpOptions } from './options.js';
import { PAIR_FRAMES, Pair } from './pair.js';
import { FlowWatch } from './watch.js';

/** Packets that left, and how far from the rate. */
export interface Pace {
  /** Bytes of frames per second, by the times at which the first and the last packet left. */
  rate: number;
  packets: number;
  /** Bytes that the receiver got of those that are counted, in any order of loss. */
  received: number;
}

export const FRAME = 1514;

/** What had left by a moment. */
export interface Moment {
  ns: number;
  bytes: number;
}

/** How a lane stands still at random: shortest and longest, ns. */
export interface Stalls {
  /** Between the end of one and the begin of the next. */
  apart: [number, number];
  long: [number, number];
  seed: number;
}

/** Most bytes that left in any `ns`, both ends counted, over what `rate` allows in `ns`. `moments` in order of time. */
export function mostOver(moments: readonly Moment[], rate: number, ns: number): number {
  let most = 0;
  let from = 0;
  for (const { ns: end, bytes } of moments) {
    while (moments[from + 1].ns < end - ns) from++;
    most = Math.max(most, bytes - moments[from].bytes);
  }
  return most - (rate * ns) / 1e9;
}

export class PacedPair {
  readonly #watch: FlowWatch;
  #got = 0;

  private constructor(
    readonly pair: Pair,
    readonly from: StreamEnd,
    readonly to: StreamEnd,
  ) {
    this.#watch = new FlowWatch(pair.a);
  }

  /** Connects; `rate` in bytes per second, 0 = what congestion control says. */
  static async create(
    options: Partial<TcpOptions>,
    link: Parameters<typeof Pair.create>[0] = {},
    server: Partial<TcpOptions> = {},
  ): Promise<PacedPair> {
    const pair = await Pair.create({ delayNs: 5_000, ...link });
    pair.b.listen(4, 2000, 8, server);
    const from = pair.a.connect('10.0.0.1', 2000, '10.0.0.2', 2000, { initialCwnd: 255, ...options });
    if (!pair.run(() => pair.b.accepted.length > 0, 1000)) throw new Error('no connection');
    return new PacedPair(pair, from, pair.b.ends.get(pair.b.accepted.shift()!)!);
  }

  get leftNs(): bigint {
    return this.#watch.u64(this.from.id, 'left_ns');
  }

  get leftBytes(): bigint {
    return this.#watch.u64(this.from.id, 'left_bytes');
  }

  /**
   * Lets time pass for `ms` and notes what left, moment by moment. `stalls`: meanwhile the lane stands still at random.
   * `give`, `take`: whether the application writes, and the other one reads, by ms since the begin.
   */
  watch(
    ms: number,
    {
      stalls,
      give = () => true,
      take = () => true,
    }: { stalls?: Stalls; give?: (ms: number) => boolean; take?: (ms: number) => boolean } = {},
  ): Moment[] {
    const { pair } = this;
    const { engine } = pair;
    const next = random(stalls?.seed ?? 0);
    const within = ([least, most]: [number, number]): bigint =>
      BigInt(Math.round(least + (next() / 2 ** 32) * (most - least)));
    const begun = engine.now();
    let stall = stalls ? begun + within(stalls.apart) : undefined;
    const moments: Moment[] = [{ ns: 0, bytes: 0 }];
    const bytes = this.leftBytes;
    const note = (): void => {
      const last = moments[moments.length - 1];
      const now = { ns: Number(engine.now() - begun), bytes: Number(this.leftBytes - bytes) };
      if (now.bytes !== last.bytes) moments.push(now);
    };
    const work = (): void => {
      note();
      if (stall !== undefined && engine.now() >= stall) {
        engine.advance(within(stalls!.long));
        stall = engine.now() + within(stalls!.apart);
      }
      const at = Number(engine.now() - begun) / 1e6;
      if (give(at)) feed(this.from);
      if (take(at)) this.#got += drain(this.to);
    };
    const noted = (): boolean => {
      note();
      return false;
    };
    // The applications look each ms, whether anything else is due then or not.
    while (Number(engine.now() - begun) / 1e6 < ms) {
      const end = engine.now() + 1_000_000n;
      pair.run(noted, 1, work);
      if (engine.now() < end) engine.advance(end - engine.now());
    }
    return moments;
  }

  /** Nothing more is given; what is under way arrives, then the engine stops. Returns frames that are not in the pool. */
  async end(): Promise<number> {
    this.pair.a.setOptions(this.from.id, { rate: 125_000_000 }, 0);
    this.pair.run(
      () => this.from.unacknowledged === 0,
      60_000,
      () => drain(this.to),
    );
    this.pair.run(
      () => false,
      500,
      () => drain(this.to),
    );
    const { ledger } = await this.pair.engine.stop();
    return PAIR_FRAMES - ledger.free;
  }

  /** Lets `packets` leave, or `limitMs` pass. */
  async pass(packets: number, limitMs: number): Promise<Pace> {
    const { pair } = this;
    const [fromNs, fromBytes, got] = [this.leftNs, this.leftBytes, this.#got];
    const enough = fromBytes + BigInt(packets * FRAME);
    pair.run(
      () => this.leftBytes >= enough,
      limitMs,
      () => {
        feed(this.from);
        this.#got += drain(this.to);
      },
    );
    const bytes = Number(this.leftBytes - fromBytes);
    return {
      rate: bytes / (Number(this.leftNs - fromNs) / 1e9),
      packets: bytes / FRAME,
      received: this.#got - got,
    };
  }
}
