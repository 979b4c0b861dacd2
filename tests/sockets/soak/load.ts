/** What the loads of the soak have in common: where they call, what they count, and that every error is somebody's fault. */
import { createHash } from 'node:crypto';
import type net from 'node:net';
import { pattern } from '../../support/pattern.js';
import { random } from '../../support/random.js';
import { pulse } from './outages.js';

/** Where a load calls from: a stack's `net` or Node's own, and to whom. */
export interface CallFrom {
  net: Pick<typeof net, 'connect'>;
  host: string;
  seed: number;
}

/** Ports of the services. */
export const PORTS = {
  ...{ http: 80, ws: 8080, kv: 11211, kvBurst: 11212, echo: 7 },
  ...{ laneHttp: 81, laneKv: 11213 },
} as const;

export interface Counted {
  /** Answers that were whole and right. */
  answers: number;
  bytes: number;
  /** Connections that were made. */
  connections: number;
  /** Those that the client ended in the middle: what the server then hears is its doing. */
  cut: number;
  /** Those at rest that the client gave up: nobody answered its questions (keepalive). */
  givenUp: number;
  /** Attempts that ended as nobody answered the router's question for the address (ARP). */
  unreached: number;
  /** Those that the death of a lane ended, whose application lived in it. */
  aborted: number;
  /** Those of such an application that were there when its lane died. */
  exposed: number;
  /** Datagrams that did not come back. */
  lost: number;
  /** Datagrams sent while everybody could answer, and those of them that did not come back. */
  calm: number;
  calmLost: number;
  errors: string[];
}

export const counted = (): Counted => ({
  ...{ answers: 0, bytes: 0, connections: 0, cut: 0, givenUp: 0, unreached: 0, aborted: 0, exposed: 0 },
  ...{ lost: 0, calm: 0, calmLost: 0, errors: [] },
});

/**
 * Longest time of an answer, ms: lanes die, packets are lost, but not for so long. While a process stands still its peers
 * wait twice as long with every try.
 */
const ANSWER_MS = 60_000;
const STOOD_FACTOR = 3;

/** What it resolves to, in time. @throws Error that says what did not come */
export async function inTime<T>(what: string, work: Promise<T>): Promise<T> {
  const from = performance.now();
  const stood = pulse.stoodMs;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const look = (): void => {
      const left = from + ANSWER_MS + STOOD_FACTOR * (pulse.stoodMs - stood) - performance.now();
      if (left > 0) timer = setTimeout(look, left);
      else reject(new Error(`${what}: nothing for ${ANSWER_MS} ms`));
    };
    look();
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes of a seed are a part of one long pattern: made once. */
const ALL = Buffer.from(pattern(1 << 20, 7).buffer);
export const MOST = 1 << 19;
/** Bytes that both ends know by two numbers. */
export const bytesOf = (length: number, seed: number): Buffer =>
  ALL.subarray(seed % MOST, (seed % MOST) + length);

export const sum = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');

/** Workers that go on until they are stopped; what one throws is counted, and it begins again. */
export class Workers {
  readonly total = counted();
  readonly #running: Promise<void>[];
  #stopped = false;

  constructor(
    readonly name: string,
    count: number,
    seed: number,
    turn: (next: () => number, total: Counted) => Promise<void>,
  ) {
    this.#running = Array.from({ length: count }, async (_, i) => {
      const next = random(seed + 1000 * i);
      // Who made them has yet to hear of it.
      await Promise.resolve();
      while (!this.#stopped && this.total.errors.length < 20)
        await turn(next, this.total).catch(error => this.wrong(error));
    });
  }

  wrong(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException;
    this.total.errors.push(`${this.name}: ${code ? `${code}: ` : ''}${message}`);
  }

  /** Begins nothing more; resolves when all that was begun is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}
