/**
 * Two hosts of one engine, each with an instance of the object, and the wire of the model NIC between them; and what their
 * applications do: send, receive and compare, close.
 */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import { type HostNic, type LinkSettings, modelLink } from '../../host/nic/index.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { pattern, sha } from '../support/pattern.js';
import { engineOptions, TcpEngine } from './engine.js';
import type { TcpOptions } from './options.js';

export { pattern, sha } from '../support/pattern.js';

export const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
export const ADDRESSES6 = ['fd00::1', 'fd00::2'] as const;
const MS = 1_000_000n;
export const PAIR_FRAMES = 8192;

/** An application's side of a connection. */
export class Side {
  readonly got: Uint8Array[] = [];
  bytes = 0;
  sent = 0;
  ended = false;
  shut = false;
  closed = false;

  constructor(
    readonly host: TcpEngine,
    readonly end: StreamEnd,
    readonly data: Uint8Array,
    /** Closes only after the other has. */
    readonly waits: boolean,
  ) {}

  /** Writes, reads, and closes when all is done. */
  work(): void {
    if (this.closed) return;
    const events = this.host.events.get(this.end.id) ?? 0;
    if (this.sent < this.data.length) this.sent += this.end.write(this.data.subarray(this.sent));
    const n = this.end.readable;
    if (n) {
      const into = new Uint8Array(n);
      this.end.read(into);
      this.got.push(into);
      this.bytes += n;
    }
    if (events & StreamEvent.HUP && !this.end.readable) this.ended = true;
    if (this.sent === this.data.length && !this.shut && (!this.waits || this.ended)) {
      this.shut = true;
      this.end.request(StreamRequest.SHUTDOWN);
    }
    if (this.shut && this.ended && !this.end.unacknowledged) {
      this.closed = true;
      this.end.request(StreamRequest.CLOSE);
      this.end.release();
    }
  }

  get sha(): string {
    return sha(Buffer.concat(this.got));
  }
}

export interface Transfer {
  /** Bytes from the one that connects, and back. */
  forth: number;
  back?: number;
  family?: 4 | 6;
  /** Who shuts down first; default both, when they have sent all. */
  first?: 'client' | 'server' | 'both';
  /** Both connect, nobody listens. */
  simultaneous?: boolean;
  client?: Partial<TcpOptions>;
  server?: Partial<TcpOptions>;
  /** Virtual time that it may take, ms. */
  limitMs?: number;
  /** What is enough, without waiting for both to close. */
  enough?: (client: Side, server: Side | undefined) => boolean;
  /** Called at every step. */
  each?: (client: Side, server: Side | undefined) => void;
}

/** Who makes the rounds of an inline engine. */
export interface Rounds {
  step(): number;
  nextDueNs(): bigint | undefined;
}

export interface PairOptions extends LinkSettings {
  seed?: number;
  /** Receive queues of both ends. Default: one per lane. */
  queues?: number;
  streams?: number;
  /** Another port of the second host, behind which somebody else may stand. */
  outside?: HostNic;
  engine?: Partial<EngineOptions>;
  /** Makes the rounds instead of the engine, which is not started then. */
  rounds?: (engine: Engine, hosts: readonly TcpEngine[]) => Rounds;
}

export class Pair {
  #port = 2000;

  private constructor(
    readonly engine: Engine,
    readonly a: TcpEngine,
    readonly b: TcpEngine,
    readonly rounds: Rounds,
  ) {}

  static async create(options: PairOptions = {}): Promise<Pair> {
    const { seed, streams = 32, engine: more, rounds: made, outside, ...link } = options;
    const wire = { name: 'wire', packets: 65536, ...(seed === undefined ? {} : { seed }), ...link };
    const { a, b } = modelLink(wire);
    const engine = await Engine.create({
      nics: outside ? [a, b, outside] : [a, b],
      seed: 7,
      ...engineOptions(streams),
      frames: PAIR_FRAMES,
      ...more,
    });
    for (const [i, address] of [...ADDRESSES, ...ADDRESSES6].entries()) {
      const port = 2 - (i & 1);
      engine.routes.add({ prefix: address, port });
      engine.routes.addNeighbour({ port, address, mac: `02:00:00:00:00:0${(i & 1) + 1}` });
    }
    const hosts = [
      await TcpEngine.on(engine, { 'wire.a': [ADDRESSES[0], ADDRESSES6[0]] }, streams),
      await TcpEngine.on(
        engine,
        { 'wire.b': [ADDRESSES[1], ADDRESSES6[1]], ...(outside && { [outside.name]: [] }) },
        streams,
      ),
    ];
    if (!made) await engine.start();
    const rounds = made?.(engine, hosts) ?? engine;
    if (made)
      for (const host of hosts)
        host.run = () => {
          while (rounds.step() !== 0);
        };
    return new Pair(engine, hosts[0], hosts[1], rounds);
  }

  /** Lets time pass until `done`, at most `limitMs`. Returns whether it was. */
  run(done: () => boolean, limitMs: number, work: () => void = () => {}): boolean {
    const { engine, rounds } = this;
    const until = engine.now() + BigInt(Math.round(limitMs)) * MS;
    for (;;) {
      this.a.settle();
      this.b.settle();
      work();
      this.a.app.flush();
      this.b.app.flush();
      rounds.step();
      if (done()) return true;
      // Who was told something acts on it now.
      if (this.a.app.pending || this.b.app.pending) continue;
      const next = rounds.nextDueNs();
      if (next === undefined || next > until) return done();
      if (next > engine.now()) engine.advance(next - engine.now());
    }
  }

  /** Makes a connection, moves bytes both ways, closes. Throws when time runs out. */
  transfer(t: Transfer): { ms: number; client: Side; server: Side; shas: [string, string, string, string] } {
    const { a, b } = this;
    const [local, remote] = t.family === 6 ? ADDRESSES6 : ADDRESSES;
    const port = this.#port++;
    const forth = pattern(t.forth, port);
    const back = pattern(t.back ?? 0, port + 1);
    const begun = this.engine.now();
    let server: Side | undefined;
    if (!t.simultaneous) b.listen(t.family ?? 4, port, 8, t.server);
    const client = new Side(a, a.connect(local, port, remote, port, t.client), forth, t.first === 'server');
    if (t.simultaneous) {
      const end = b.connect(remote, port, local, port, t.server, 2);
      server = new Side(b, end, back, t.first === 'client');
    }
    const over = this.run(
      () =>
        t.enough?.(client, server) ||
        (client.closed && server?.closed === true && client.end.finished && server.end.finished),
      t.limitMs ?? 600_000,
      () => {
        const id = b.accepted.shift();
        if (id !== undefined) server = new Side(b, b.ends.get(id)!, back, t.first === 'client');
        client.work();
        server?.work();
        t.each?.(client, server);
      },
    );
    if (!over || !server)
      throw new Error(
        `after ${t.limitMs ?? 600_000} ms: ${server?.bytes} of ${t.forth}, ${client.bytes} of ${t.back ?? 0}; states ${a.flow(client.end.id).state} ${server && b.flow(server.end.id).state}; ${JSON.stringify([a.counters(), b.counters()])}`,
      );
    const ms = Number(this.engine.now() - begun) / 1e6;
    b.unlistenAll();
    return { ms, client, server, shas: [sha(forth), server.sha, sha(back), client.sha] };
  }
}
