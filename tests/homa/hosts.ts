/** Hosts with Homa under switches of eight priorities, in virtual time: who calls whom, and what the switches saw. */
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { Network, type NetworkHost, type NetworkOptions } from '../../host/sim/index.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { type HomaOptions, homa } from '../../host/transports/homa/index.js';
import type { ClientPlace, LoadedMessages, MessageView } from '../../host/transports/messages.js';
import { assert } from '../support/suite.js';
import { ClientSlot, type Message, Server, workClient } from './slots.js';
import { PORT } from './world.js';

export interface Station {
  host: NetworkHost;
  stack: Stack;
  messages: LoadedMessages;
  view: MessageView;
  /** Calls, */
  app: StreamApp;
  client: ClientPlace;
  slots: ClientSlot[];
  /** and answers. */
  server: Server;
}

/** A call that was made, and when it was answered. */
export interface Timed {
  slot: ClientSlot;
  bytes: number;
  beganNs: bigint;
  endedNs: bigint | undefined;
}

export interface HostsOptions extends NetworkOptions {
  homa?: HomaOptions;
  /** Default: 8 bytes. */
  answer?: (request: Message) => Uint8Array | undefined;
  streams?: number;
  streamBytes?: number;
}

export class Hosts {
  readonly calls: Timed[] = [];

  private constructor(
    readonly engine: Engine,
    readonly net: Network,
    readonly stations: readonly Station[],
  ) {}

  static async create(options: HostsOptions): Promise<Hosts> {
    const {
      homa: h,
      answer = () => new Uint8Array(8),
      streams = 256,
      streamBytes = 128 << 20,
      ...network
    } = options;
    const net = new Network(network);
    const engine = await Engine.create({
      ...{ nics: [...net.nics], inline: true, clock: 'virtual', startNs: 0n, warmMs: 0, seed: 1 },
      ...{ frames: 32768, mapBytes: 192 << 20, ringSlots: 1024 },
      streams: { count: streams, bytes: streamBytes, apps: Math.min(64, 3 * net.hosts.length) },
    });
    const apps = StreamApps.of(engine);
    const stations: Station[] = [];
    await net.install(engine);
    for (const host of net.hosts) {
      const stack = await Stack.create({
        engine,
        datagrams: false,
        messages: homa({ seed: 1, linkMbps: net.up.rate / 1e6, ...h }),
        ports: {
          [host.name]: { addresses: [{ address: `${host.address}/16`, dad: false }], announce: false },
        },
        neighbours: net
          .neighbours(engine)
          .filter(n => !n.address.includes(':') && n.address !== host.address)
          .map(n => ({ port: host.name, ...n })),
      });
      const messages = stack.messages!;
      const app = apps.open();
      const server = new Server(apps.open(), answer);
      messages.serve({ app: server.app.number, port: PORT });
      const client = messages.client({ app: app.number });
      const view = messages.transport.view(engine.arena, messages.shared);
      stations.push({ host, stack, messages, view, app, client, slots: [], server });
    }
    await engine.start();
    return new Hosts(engine, net, stations);
  }

  /** A call from one host to another, on a slot of its own. */
  call(from: number, to: number, bytes: Uint8Array): Timed {
    const s = this.stations[from];
    const [id] = s.messages.openSlots(s.client, 1, { ifindex: this.engine.port(s.host.name).ifindex });
    const slot = new ClientSlot(s.app.end(id));
    s.slots.push(slot);
    slot.call({ address: this.stations[to].host.address, port: PORT }, bytes);
    const call: Timed = { slot, bytes: bytes.length, beganNs: this.engine.now(), endedNs: undefined };
    this.calls.push(call);
    return call;
  }

  run(done: () => boolean, limitMs: number, each: () => void = () => {}): boolean {
    const { engine, stations } = this;
    const until = engine.now() + BigInt(Math.round(limitMs * 1e6));
    for (;;) {
      for (const { app, slots, server } of stations) {
        workClient(app, slots);
        server.work();
      }
      for (const c of this.calls)
        if (c.endedNs === undefined && (c.slot.open === 0 || c.slot.failed)) c.endedNs = engine.now();
      each();
      while (engine.step() !== 0);
      if (done()) return true;
      if (stations.some(s => s.app.pending || s.server.app.pending)) continue;
      const next = engine.nextDueNs();
      if (next === undefined || next > until) {
        if (until > engine.now()) engine.advance(until - engine.now());
        return done();
      }
      if (next > engine.now()) engine.advance(next - engine.now());
    }
  }

  /** Runs until every call is answered, or failed. ms that it took. */
  finish(limitMs: number): number {
    const begun = this.engine.now();
    const over = this.run(() => this.calls.every(c => c.endedNs !== undefined), limitMs);
    const open = this.calls.filter(c => c.endedNs === undefined);
    assert.ok(over, `${open.length} calls are open: ${JSON.stringify(this.counters)}`);
    return Number(this.engine.now() - begun) / 1e6;
  }

  ns(c: Timed): number {
    return Number(c.endedNs! - c.beganNs);
  }

  get counters(): Record<string, number>[] {
    return this.stations.map(s => s.messages.counters());
  }

  async close(): Promise<void> {
    await this.engine.stop();
  }
}

export async function underSwitch(
  options: HostsOptions,
  claim: (h: Hosts) => void | Promise<void>,
): Promise<void> {
  const h = await Hosts.create(options);
  await claim(h);
  await h.close();
}
