/** 100 MB from one host of an engine to the other, again and again, while somebody upgrades TCP's programs. */
import { createHash, type Hash } from 'node:crypto';
import type { ConnectionOptions, Engine, Stack } from '../../../host/index.js';
import type { Connection } from '../../../host/net/burst/connection.js';
import type { StackEvent } from '../../../host/net/burst/sockets.js';

type C = Connection<ConnectionOptions>;

/** What is sent over and over: sha256 of 100 MB of it is made once. */
const BLOCK = 1 << 20;
const PORT = 5000;
/** More than a receive ring holds. */
const MOST_READ = 16 << 20;

export interface Moved {
  transfers: number;
  bytes: number;
  /** Those whose sha256 was another. */
  wrong: number;
  ms: number;
  /** What both stacks counted meanwhile. */
  counted: Record<string, number>;
}

/** A pattern without a short period. */
function block(): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  let x = 0x9e3779b9;
  for (let i = 0; i < BLOCK; i += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
    bytes[i + 1] = x >>> 8;
    bytes[i + 2] = x >>> 16;
    bytes[i + 3] = x >>> 24;
  }
  return bytes;
}

export class Transfers {
  readonly #block = block();
  readonly #sha: string;
  #from: C | undefined;
  #written = 0;
  #read = 0;
  #hash: Hash = createHash('sha256');
  readonly #plain = new Uint8Array(MOST_READ);
  #done = 0;
  #wrong = 0;

  constructor(
    readonly engine: Engine,
    readonly client: Stack,
    readonly server: Stack,
    readonly bytes: number,
  ) {
    const hash = createHash('sha256');
    for (let n = 0; n < bytes; n += BLOCK) hash.update(this.#block.subarray(0, Math.min(BLOCK, bytes - n)));
    this.#sha = hash.digest('hex');
    server.burst.listen({ port: PORT });
  }

  #counters(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const stack of [this.client, this.server])
      for (const [name, n] of Object.entries(stack.counters())) out[name] = (out[name] ?? 0) + n;
    return out;
  }

  /** Transfers one after another, until `enough` says so between two of them. */
  async run(enough: () => boolean): Promise<Moved> {
    const before = this.#counters();
    const from = performance.now();
    this.#done = 0;
    this.#wrong = 0;
    while (!enough()) await this.#one();
    const after = this.#counters();
    const counted = Object.fromEntries(
      Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)]),
    );
    return {
      ...{ transfers: this.#done, bytes: this.#done * this.bytes, wrong: this.#wrong },
      ...{ ms: performance.now() - from, counted },
    };
  }

  async #one(): Promise<void> {
    const goal = this.#done + 1;
    this.#written = 0;
    this.#read = 0;
    this.#hash = createHash('sha256');
    this.#from = this.client.burst.connect({ host: '10.0.0.2', port: PORT });
    const events: StackEvent<ConnectionOptions>[] = [];
    let turns = 0;
    while (this.#done < goal || !this.#from.ended) {
      let news = this.client.burst.poll(events);
      if (news) this.#write();
      const n = this.server.burst.poll(events);
      for (const { connection } of events.slice(0, n)) this.#take(connection);
      news += n;
      this.client.burst.flush();
      this.server.burst.flush();
      if (!news) await this.client.burst.wait(1);
      // Upgrades are made in this thread's event loop.
      else if ((++turns & 15) === 0) await new Promise(next => setImmediate(next));
    }
    this.#from.close();
  }

  #write(): void {
    const c = this.#from!;
    while (c.connected && this.#written < this.bytes) {
      const at = this.#written % BLOCK;
      const n = c.write(this.#block.subarray(at, Math.min(BLOCK, at + this.bytes - this.#written)));
      if (n === 0) return;
      this.#written += n;
      if (this.#written === this.bytes) c.shutdown();
    }
  }

  #take(c: C): void {
    for (const view of c.readViews()) {
      // Hashes are made of plain memory only. The same each time: garbage of 1 GB/s has the collector's threads take CPUs.
      this.#plain.set(view);
      this.#hash.update(this.#plain.subarray(0, view.length));
      this.#read += view.length;
      c.consume(view.length);
    }
    if (!c.ended || c.readable !== 0) return;
    if (this.#read !== this.bytes || this.#hash.digest('hex') !== this.#sha) this.#wrong++;
    this.#done++;
    c.close();
  }
}
