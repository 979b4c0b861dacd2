/**
 * Many connections at a time between the two hosts of a pair, on whatever lanes: each side sends what it has, reads what
 * comes, and closes. In an inline engine `step` is called until all are through, in one with workers `pump`.
 */

import type { Engine } from '../../host/engine/engine.js';
import { Lanes } from '../../host/transports/tcp/lanes.js';
import type { TcpEngine } from './engine.js';
import type { TcpOptions } from './options.js';
import { ADDRESSES, pattern, Side, sha } from './pair.js';

export interface CrowdOptions {
  connections: number;
  /** Bytes of each, from the one that connects and back. */
  forth: number;
  back: number;
  /** Lane of connection i; default: where RSS brings its packets. */
  lane?: (i: number) => number;
  options?: Partial<TcpOptions>;
  firstPort?: number;
}

interface Member {
  port: number;
  client: Side;
  server: Side | undefined;
  forth: Uint8Array;
  back: Uint8Array;
}

const PORT = 80;
const swap16 = (n: number): number => ((n & 255) << 8) | (n >> 8);

export class Crowd {
  readonly members: Member[];
  readonly #slot: number;

  constructor(
    readonly engine: Engine,
    readonly a: TcpEngine,
    readonly b: TcpEngine,
    readonly o: CrowdOptions,
  ) {
    const [local, remote] = ADDRESSES;
    const lanes = new Lanes(engine);
    this.#slot = b.listen(4, PORT, o.connections, o.options);
    this.members = Array.from({ length: o.connections }, (_, i) => {
      const port = (o.firstPort ?? 3000) + i;
      const lane = o.lane?.(i) ?? lanes.of(1, { address: local, port }, { address: remote, port: PORT });
      const forth = pattern(o.forth, port);
      const end = a.connect(local, port, remote, PORT, o.options, 1, lane);
      return {
        ...{ port, forth, back: pattern(o.back, port + 1), server: undefined },
        client: new Side(a, end, forth, false),
      };
    });
    a.app.flush();
  }

  /** Lanes that own connections of the listening side. */
  get lanes(): Set<number> {
    return new Set(this.members.flatMap(m => (m.server ? [m.server.end.lane] : [])));
  }

  get bytes(): number {
    return this.members.reduce((n, m) => n + m.client.bytes + (m.server?.bytes ?? 0), 0);
  }

  /** What the applications do with the news that they have. */
  work(): void {
    for (let id = this.b.accepted.shift(); id !== undefined; id = this.b.accepted.shift()) {
      const rport = swap16(this.b.flow(id).rport as number);
      const m = this.members.find(x => x.port === rport)!;
      m.server = new Side(this.b, this.b.ends.get(id)!, m.back, false);
      this.b.took(this.#slot);
    }
    for (const { client, server } of this.members) {
      client.work();
      server?.work();
    }
    this.a.app.flush();
    this.b.app.flush();
  }

  get done(): boolean {
    return this.members.every(
      ({ client, server }) => client.closed && server?.closed && client.end.finished && server.end.finished,
    );
  }

  /** What did not arrive as it was sent. */
  get wrong(): string[] {
    return this.members.flatMap(({ port, client, server, forth, back }) => [
      ...(server?.sha === sha(forth) ? [] : [`${port}: ${server?.bytes} of ${forth.length} bytes forth`]),
      ...(client.sha === sha(back) ? [] : [`${port}: ${client.bytes} of ${back.length} bytes back`]),
    ]);
  }

  /** In an engine with workers: until all are through. @throws Error after `limitMs` */
  async pump(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (!this.done) {
      this.work();
      this.a.take();
      this.b.take();
      if (performance.now() > until) throw new Error(`${this.report()} after ${limitMs} ms`);
      if (!this.a.app.pending && !this.b.app.pending) await this.b.app.wait(2);
      else await new Promise(next => setImmediate(next));
    }
  }

  /** Who is where, for a failure. */
  report(): string {
    const left = this.members.filter(m => !(m.client.closed && m.server?.closed));
    const states = left.slice(0, 5).map(m => {
      const side = (h: TcpEngine, s: Side | undefined): string =>
        s ? `lane ${s.end.lane} state ${h.flow(s.end.id).state} ${s.bytes} read ${s.sent} written` : 'none';
      return `${m.port}: ${side(this.a, m.client)} / ${side(this.b, m.server)}`;
    });
    return `${left.length} of ${this.members.length} not through: ${states.join('; ')}`;
  }
}
