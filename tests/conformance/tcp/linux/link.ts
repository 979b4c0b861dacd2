/** The lines to and from the helper that is the host under test: calls with answers, packets with the kernel's time. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Arrival, Moment } from '../driver.js';

const HELPER = fileURLToPath(new URL('sut.py', import.meta.url));

/** A line of the helper. */
interface Line {
  /** Number of the call that it answers. */
  i?: number;
  /** ms. */
  t: number;
  v?: string | number;
  /** Name of an errno. */
  e?: string;
  /** Direction of a packet: 1 from the kernel. */
  d?: 0 | 1;
  /** The packet, hexadecimal. */
  p?: string;
}

export interface Reply {
  at: number;
  value?: string | number;
  error?: string;
}

export class Link {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #asked = new Map<number, { resolve(r: Reply): void; reject(e: Error): void }>();
  /** Packets given to the kernel that it has not been seen to take yet. */
  readonly #injected: Moment[] = [];
  #calls = 0;
  #errors = '';
  #ended: Error | undefined;
  /** Where packets from the kernel go. */
  onPacket: (arrival: Arrival) => void = () => {};

  private constructor(namespace: string, device: string, addresses: string[]) {
    this.#child = spawn('ip', ['netns', 'exec', namespace, 'python3', HELPER, device, ...addresses]);
    this.#child.stderr.setEncoding('utf8').on('data', text => (this.#errors += text));
    this.#child.on('error', e => this.#end(e));
    this.#child.on('close', code => this.#end(new Error(`the helper ended with ${code}: ${this.#errors}`)));
    this.#child.stdin.on('error', () => {});
    createInterface(this.#child.stdout).on('line', line => this.#take(JSON.parse(line) as Line));
  }

  /** Starts the helper in a namespace. @throws Error with what it said when it cannot */
  static async open(namespace: string, device: string, ...addresses: string[]): Promise<Link> {
    const link = new Link(namespace, device, addresses);
    await new Promise<Reply>((resolve, reject) => link.#asked.set(link.#calls++, { resolve, reject }));
    return link;
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#asked.values()) reject(this.#ended);
    this.#asked.clear();
  }

  #take(line: Line): void {
    if (line.p !== undefined) {
      if (line.d === 1) this.onPacket({ at: line.t, packet: Uint8Array.from(Buffer.from(line.p, 'hex')) });
      else {
        const moment = this.#injected.shift();
        if (moment) moment.at = line.t;
      }
      return;
    }
    const asked = this.#asked.get(line.i!);
    this.#asked.delete(line.i!);
    asked?.resolve({
      at: line.t,
      ...(line.v === undefined ? {} : { value: line.v }),
      ...(line.e ? { error: line.e } : {}),
    });
  }

  #write(...words: unknown[]): void {
    this.#child.stdin.write(`${JSON.stringify(words)}\n`);
  }

  inject(packet: Uint8Array): Moment {
    const moment: Moment = {};
    this.#injected.push(moment);
    this.#write(0, 'inject', Buffer.from(packet).toString('hex'));
    return moment;
  }

  /** @throws Error when the helper has ended */
  ask(verb: string, ...words: unknown[]): Promise<Reply> {
    if (this.#ended) return Promise.reject(this.#ended);
    const number = this.#calls++;
    this.#write(number, verb, ...words);
    return new Promise((resolve, reject) => this.#asked.set(number, { resolve, reject }));
  }

  async close(): Promise<void> {
    const ended = new Promise(done => this.#child.once('close', done));
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await ended;
  }
}
