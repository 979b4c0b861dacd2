/** The same load on sockets like Node's: of a stack, or of `node:net`. */
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { Answers } from '../service.js';
import { type Caller, Flow } from './caller.js';
import type { Tally } from './tally.js';

export class DuplexLoad {
  readonly #out = new Answers();
  readonly #flows = new Map<Duplex, Flow>();
  readonly errors: string[] = [];

  /** @param most requests of one write. Default: all that are to be made */
  constructor(
    readonly tally: Tally,
    readonly most?: number,
  ) {}

  /** Calls on a socket that is connecting. */
  begin(socket: Duplex, caller: Caller, outstanding: number): void {
    const { tally } = this;
    const flow = new Flow(caller, outstanding, tally);
    this.#flows.set(socket, flow);
    socket.on('connect', () => {
      tally.connected();
      this.#ask(socket, flow);
    });
    socket.on('data', (chunk: Uint8Array) => {
      tally.turn(1);
      try {
        flow.take(chunk, chunk.length, performance.now());
      } catch (error) {
        this.#end(socket, (error as Error).message);
        return;
      }
      this.#ask(socket, flow);
    });
    socket.on('error', error => this.#end(socket, (error as NodeJS.ErrnoException).code ?? error.message));
    socket.on('end', () => this.#end(socket, 'the peer ended it'));
  }

  #ask(socket: Duplex, flow: Flow): void {
    const out = this.#out;
    const now = performance.now();
    for (;;) {
      out.clear();
      flow.ask(now, out, this.most);
      if (out.length === 0) return;
      this.tally.sent(out.length);
      // A socket may keep what it is given. Requests under way bound how much that is.
      socket.write(Buffer.from(out.view()));
    }
  }

  #end(socket: Duplex, why: string): void {
    if (!this.#flows.delete(socket)) return;
    this.errors.push(why);
    this.tally.ended();
    socket.destroy();
  }

  stop(): void {
    for (const flow of this.#flows.values()) flow.stopped = true;
  }

  get underWay(): number {
    let n = 0;
    for (const flow of this.#flows.values()) n += flow.underWay;
    return n;
  }

  goOn(): void {
    for (const [socket, flow] of this.#flows) this.#ask(socket, flow);
  }

  close(): void {
    const sockets = [...this.#flows.keys()];
    this.#flows.clear();
    for (const socket of sockets) socket.destroy();
  }
}
