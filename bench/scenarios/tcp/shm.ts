/**
 * Two hosts of our TCP in one engine, a lane each, and the wire of the model NIC between them:
 *
 *   lane 0: resident ─ streams ─ TCP ─ wire.a ═══ descriptors only ═══ wire.b ─ TCP ─ streams ─ resident :lane 1
 *
 * The host makes the connections and hands them over to what lives in the lanes (resident.mjs); then it sleeps.
 */
import { allowedCpus } from '../../../host/engine/cpus.js';
import { Engine } from '../../../host/engine/engine.js';
import { StreamEvent } from '../../../host/layout/layout.gen.js';
import { native } from '../../../host/native/load.js';
import { modelLink } from '../../../host/nic/index.js';
import { TcpEngine } from '../../../tests/tcp/engine.js';
import type { TcpOptions } from '../../../tests/tcp/options.js';
import { SPIN } from '../nic/peers.js';
import { HOUR_MS, ringOf, until, wish } from './hosts.js';
import { Seats } from './seats.js';

const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;

/** A CPU for each lane, as the kernel's peers have; none where there is no addon or one CPU only. */
function ownCpus(): { cpus?: number[] } {
  const loaded = native();
  const cpus = allowedCpus().slice(0, ADDRESSES.length);
  return loaded.ok && loaded.native.pin && cpus.length === ADDRESSES.length ? { cpus } : {};
}

export interface PairSetting {
  connections: number;
  /** Of each ring, bytes. */
  ring: number;
  /** Of connections, at the first host. */
  options?: Partial<TcpOptions>;
  /** Packets that the wire holds each way: a power of two. Default 1024. */
  slots?: number;
  /** Default 8192. */
  frames?: number;
}

export class ShmPair {
  private constructor(
    readonly engine: Engine,
    readonly hosts: readonly TcpEngine[],
    readonly seats: Seats,
    /** Numbers of the streams, host by host, connection by connection. */
    readonly ids: readonly number[][],
  ) {}

  static async create(setting: PairSetting): Promise<ShmPair> {
    const { connections, ring, slots = 1024, frames = 8192 } = setting;
    const { a, b } = modelLink({ name: 'wire', queues: 1, firstLanes: [0, 1], ringSlots: slots });
    const seats = new Seats(2);
    const count = 2 * connections + 64;
    const engine = await Engine.create({
      ...{ nics: [a, b], lanes: 2, rounds: 1, spinUs: SPIN, hangMs: HOUR_MS, resident: seats.resident },
      ...{ ...ownCpus(), frames, mapBytes: (16 << 20) + count * 8192 },
      streams: { count, bytes: 4 * connections * ring + 8192 * count + (16 << 20), slots: 1024 },
    });
    for (const [i, address] of ADDRESSES.entries()) {
      const port = 2 - i; // each is at the other's end of the wire
      engine.routes.add({ prefix: address, port });
      engine.routes.addNeighbour({ port, address, mac: `02:00:00:00:00:0${i + 1}` });
    }
    const hosts = [
      await TcpEngine.on(engine, { 'wire.a': [ADDRESSES[0]] }, count),
      await TcpEngine.on(engine, { 'wire.b': [ADDRESSES[1]] }, count),
    ];
    await engine.start();
    const pair = new ShmPair(engine, hosts, seats, [[], []]);
    await pair.#connect(setting);
    return pair;
  }

  async #connect({ connections, ring, options: own }: PairSetting): Promise<void> {
    const [a, b] = this.hosts;
    const options = wish(ring);
    b.listen(4, 7, connections, options);
    for (let i = 0; i < connections; i++) {
      const end = a.connect(ADDRESSES[0], 20_000 + i, ADDRESSES[1], 7, { ...options, ...own });
      this.ids[0].push(end.id);
      const accepted = await until(
        this.hosts,
        () => b.accepted.shift(),
        () => `connection ${i} is not accepted`,
      );
      b.took(1);
      this.ids[1].push(accepted);
      const connected = (): boolean | undefined =>
        ((a.events.get(end.id) ?? 0) & StreamEvent.CONNECTED) !== 0 || undefined;
      await until(this.hosts, connected, () => `connection ${i} is not made`);
    }
    for (const [h, host] of this.hosts.entries())
      for (const id of this.ids[h]) await ringOf(host, host.ends.get(id)!);
  }

  app(host: number): number {
    return this.hosts[host].app.number;
  }

  /** Bytes per second of one connection, from the first host to the second. */
  async bulk(ms: number, views = false): Promise<number> {
    const from = this.seats.order(0, {
      ...{ do: 'source', app: this.app(0), id: this.ids[0][0], ms: ms + 600 },
    });
    const to = await this.seats.order(1, { do: 'sink', app: this.app(1), id: this.ids[1][0], ms, views });
    await from;
    return to.rate;
  }

  /** Every connection has always something to send to the second host, which takes all: for `ms`. */
  async flood(ms: number): Promise<void> {
    await Promise.all([
      this.seats.order(0, { do: 'feed', app: this.app(0), ids: this.ids[0], ms }),
      this.seats.order(1, { do: 'drain', app: this.app(1), ms }),
    ]);
  }

  /** Other options of the first host's connections, on live ones. Between two orders: who lives in the lane requests them. */
  async setOptions(options: Partial<TcpOptions>): Promise<void> {
    for (const id of this.ids[0]) this.hosts[0].writeOptions(id, options);
    await this.seats.order(0, { do: 'options', app: this.app(0), ids: this.ids[0] });
  }

  /** A closed loop on the first `connections`: messages per second, and how long one takes, µs. */
  async ask(connections: number, bytes: number, ms: number) {
    await this.seats.order(1, { do: 'echo', app: this.app(1) });
    const ids = this.ids[0].slice(0, connections);
    const result = await this.seats.order(0, { do: 'ask', app: this.app(0), ids, bytes, ms });
    await this.seats.order(1, { do: 'rest' });
    return result;
  }

  /** What both hosts counted, by names of Linux's MIB. */
  counters(): Record<string, number>[] {
    return this.hosts.map(host => host.counters());
  }

  async close(): Promise<void> {
    await this.engine.stop();
  }
}
