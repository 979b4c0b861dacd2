/**
 * Ports of the stack's own side: which one a connection or a listener gets that did not say.
 *
 * RFC 6056 §3.3.4, "double-hash": where the search begins is a keyed hash of the other three parts of the connection, so
 * that nobody else can guess it, plus a counter that connections to the same peer share, so that ports are not used again
 * soon. The counter goes up by a random step (§3.3.5), as Linux has it.
 */
import { createHmac, randomBytes, randomInt } from 'node:crypto';

/** net.ipv4.ip_local_port_range of Linux. */
export const EPHEMERAL = { first: 32768, last: 60999 } as const;

const COUNTERS = 256;
/** Places whose hash is remembered. */
const KNOWN = 256;
const MOST_STEP = 8;

export interface PortRange {
  first: number;
  last: number;
}

/** Where the search for a place begins, without what was counted. */
interface Beginning {
  offset: number;
  counter: number;
}

export class LocalPorts {
  readonly #secret: Buffer;
  readonly #counters: Uint32Array;
  readonly #known = new Map<string, Beginning>();

  /** @param seed makes the same choices again */
  constructor(
    readonly range: PortRange,
    readonly seed?: number,
  ) {
    const counters = new Uint32Array(COUNTERS);
    if (seed === undefined) {
      this.#secret = randomBytes(16);
      const random = randomBytes(COUNTERS * 4);
      for (let i = 0; i < COUNTERS; i++) counters[i] = random.readUInt32LE(i * 4);
    } else this.#secret = Buffer.from(`${seed}`);
    this.#counters = counters;
  }

  #step(): number {
    return this.seed === undefined ? randomInt(1, MOST_STEP + 1) : 1;
  }

  get count(): number {
    return this.range.last - this.range.first + 1;
  }

  #beginning(key: string): Beginning {
    const known = this.#known.get(key);
    if (known) return known;
    const hash = createHmac('sha256', this.#secret).update(key).digest();
    const made = { offset: hash.readUInt32LE(0), counter: hash[4] };
    if (this.#known.size >= KNOWN) this.#known.clear();
    this.#known.set(key, made);
    return made;
  }

  /** The first port that `free` takes, for a connection named by `key`; undefined when none is. */
  choose(key: string, free: (port: number) => boolean): number | undefined {
    const { offset, counter } = this.#beginning(key);
    const from = (offset + this.#counters[counter]) >>> 0;
    for (let i = 0; i < this.count; i++) {
      const port = this.range.first + ((from + i) % this.count);
      if (!free(port)) continue;
      this.#counters[counter] += i + this.#step();
      return port;
    }
    return undefined;
  }
}
