/** What a receiver of frames reads from, without a stream. */
import type { ByteSource, Lie } from '../../host/rpc/tcp/receiver.js';

/** A ring as a stream has one, filled from `input` as far as it may be. */
export class Ring implements ByteSource {
  readonly u8: Uint8Array;
  #read = 0;
  end = 0;

  constructor(
    readonly input: Uint8Array,
    readonly size: number,
    readonly start: number,
  ) {
    this.u8 = new Uint8Array(size);
  }

  get readable(): number {
    return this.end - this.#read;
  }

  /** Lets `n` more bytes come; fewer where there is no room. Whether some did. */
  come(n: number): boolean {
    const more = Math.min(n, this.input.length - this.end, this.size - this.readable);
    for (let i = 0; i < more; i++)
      this.u8[(this.start + this.end + i) % this.size] = this.input[this.end + i];
    this.end += more;
    return more > 0;
  }

  look(from: number, n: number, into: Lie): boolean {
    if (from + n > this.readable) throw new Error(`looks at ${from + n} of ${this.readable} bytes`);
    into.at = (this.start + this.#read + from) % this.size;
    into.first = Math.min(n, this.size - into.at);
    into.again = 0;
    return true;
  }

  peek(from: number, n: number, into: Uint8Array, at: number): void {
    if (from + n > this.readable || at + n > into.length) throw new Error('peeks beyond');
    for (let i = 0; i < n; i++) into[at + i] = this.u8[(this.start + this.#read + from + i) % this.size];
  }

  consume(n: number): void {
    if (n > this.readable) throw new Error('consumes beyond');
    this.#read += n;
  }
}
