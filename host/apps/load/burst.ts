/** A load on connections of the burst API: in the main thread, in a thread of its own, or inside a lane. */
import { performance } from 'node:perf_hooks';
import type { Connection } from '../../net/burst/connection.js';
import type { StackEvent } from '../../net/burst/sockets.js';
import { Answers } from '../service.js';
import { type Caller, Flow } from './caller.js';
import type { Tally } from './tally.js';

const TAKE_BYTES = 64 << 10;

interface Called {
  flow: Flow;
  /** It is connected, and was asked. */
  started: boolean;
  unsent: Uint8Array | undefined;
}

export class BurstLoad<O extends object = object> {
  readonly #out = new Answers();
  readonly #into = new Uint8Array(TAKE_BYTES);
  readonly #connections = new Set<Connection<O>>();
  /** What ended a connection before its time, and whatever an answer was wrong about. */
  readonly errors: string[] = [];

  /** @param most requests of one write. Default: all that are to be made */
  constructor(
    readonly tally: Tally,
    readonly most?: number,
  ) {}

  /** Calls on a connection that is being made, or is made. */
  begin(connection: Connection<O>, caller: Caller, outstanding: number): void {
    connection.data = {
      flow: new Flow(caller, outstanding, this.tally),
      started: false,
      unsent: undefined,
    } satisfies Called;
    this.#connections.add(connection);
    if (connection.connected) this.#start(connection);
  }

  #start(connection: Connection<O>): void {
    const called = connection.data as Called;
    if (called.started) return;
    called.started = true;
    this.tally.connected();
    this.#ask(connection, called, performance.now());
  }

  readonly news = (events: readonly StackEvent<O>[], n: number): void => {
    this.tally.turn(n);
    let now = performance.now();
    for (let i = 0; i < n; i++) {
      const { connection, connected, closed, error } = events[i];
      const called = connection.data as Called | undefined;
      if (called === undefined) continue;
      if (connected) this.#start(connection);
      now = this.#take(connection, called, now);
      if (closed || connection.ended) this.#end(connection, error ?? 'the peer ended it');
    }
  };

  #take(connection: Connection<O>, called: Called, now: number): number {
    let asked = false;
    for (let n = connection.read(this.#into); n > 0; n = connection.read(this.#into)) {
      if (!asked) now = performance.now();
      asked = true;
      try {
        called.flow.take(this.#into, n, now);
      } catch (error) {
        this.#end(connection, (error as Error).message);
        return now;
      }
    }
    if (asked || called.unsent !== undefined) this.#ask(connection, called, now);
    return now;
  }

  #ask(connection: Connection<O>, called: Called, now: number): void {
    if (called.unsent !== undefined) {
      const sent = connection.write(called.unsent);
      this.tally.sent(sent);
      called.unsent = sent < called.unsent.length ? called.unsent.subarray(sent) : undefined;
      if (called.unsent !== undefined) return;
    }
    const out = this.#out;
    for (;;) {
      out.clear();
      called.flow.ask(now, out, this.most);
      if (out.length === 0) return;
      const view = out.view();
      const sent = connection.write(view);
      this.tally.sent(sent);
      if (sent === view.length) continue;
      // A Buffer's slice would be no copy.
      called.unsent = Uint8Array.prototype.slice.call(view, sent);
      return;
    }
  }

  /** One that was never made. */
  failed(connection: Connection<O>, why: string): void {
    this.errors.push(why);
    this.tally.ended();
    connection.close();
  }

  #end(connection: Connection<O>, why: string): void {
    if (!this.#connections.delete(connection)) return;
    this.errors.push(why);
    this.tally.ended();
    connection.data = undefined;
    connection.close();
  }

  /** Asks nothing more: answers to what is under way still come. */
  stop(): void {
    for (const { data } of this.#connections) (data as Called).flow.stopped = true;
  }

  /** Requests under way. */
  get underWay(): number {
    let n = 0;
    for (const { data } of this.#connections) n += (data as Called).flow.underWay;
    return n;
  }

  /** Goes on asking where there was nothing to ask for a while. */
  goOn(): void {
    const now = performance.now();
    for (const c of this.#connections) if (c.connected) this.#ask(c, c.data as Called, now);
  }

  close(): void {
    for (const connection of this.#connections) {
      connection.data = undefined;
      connection.close();
    }
    this.#connections.clear();
  }
}
