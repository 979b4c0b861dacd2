/** Two hosts of one inline engine in virtual time, with Homa, and the wire of the model NIC between them. */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack } from '../../host/net/stack.js';
import { capture, type HostNic, type LinkSettings, type ModelEnd, modelLink } from '../../host/nic/index.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { type HomaOptions, homa } from '../../host/transports/homa/index.js';
import type { ClientPlace, LoadedMessages, MessageView } from '../../host/transports/messages.js';
import { assert } from '../support/suite.js';
import type { Rounds } from '../tcp/pair.js';
import { ClientSlot, type Message, Server, workClient } from './slots.js';

export const ADDRESS = { 4: ['10.0.0.1', '10.0.0.2'], 6: ['fd00::1', 'fd00::2'] } as const;
export const PORT = 99;
const MS = 1_000_000n;

export interface Host {
  stack: Stack;
  messages: LoadedMessages;
  view: MessageView;
  app: StreamApp;
  ifindex: number;
}

export interface WorldOptions extends LinkSettings {
  seed?: number;
  streams?: number;
  streamBytes?: number;
  homa?: HomaOptions;
  /** How the second host answers. Default: with what it was sent, backwards. */
  answer?: (request: Message) => Uint8Array | undefined;
  engine?: Partial<EngineOptions>;
  /** The second host serves PORT. Default true. */
  serves?: boolean;
  /** One more port of each host, behind which somebody else may stand. */
  outside?: readonly [HostNic, HostNic];
  /** File that all packets of the first host are written to. */
  captured?: string;
  /** Makes the rounds instead of the engine, which is not started then. */
  rounds?: (engine: Engine, hosts: readonly Host[]) => Rounds;
}

export const backwards = ({ bytes }: { bytes: Uint8Array }): Uint8Array => Uint8Array.from(bytes).reverse();

export class World {
  readonly slots: ClientSlot[] = [];
  readonly server: Server;
  readonly client: ClientPlace;

  private constructor(
    readonly engine: Engine,
    readonly ends: readonly ModelEnd[],
    /** Calls, and answers. */
    readonly a: Host,
    readonly b: Host,
    readonly rounds: Rounds,
    options: WorldOptions,
  ) {
    this.client = a.messages.client({ app: a.app.number });
    this.server = new Server(b.app, options.answer ?? backwards);
    if (options.serves !== false) b.messages.serve({ app: b.app.number, port: PORT });
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    const {
      seed = 1,
      streams = 64,
      streamBytes = 32 << 20,
      homa: h,
      engine: more,
      outside = [],
      answer: _answer,
      serves: _serves,
      rounds: _rounds,
      captured,
      ...link
    } = options;
    const { a, b } = modelLink({ name: 'wire', packets: 65536, seed, ...link });
    const engine = await Engine.create({
      ...{
        nics: [captured ? capture(a, { file: captured }) : a, b, ...outside],
        inline: true,
        clock: 'virtual',
        warmMs: 0,
        frames: 8192,
        mapBytes: 64 << 20,
        seed,
      },
      streams: { count: streams, bytes: streamBytes, apps: 8 },
      ...more,
    });
    const apps = StreamApps.of(engine);
    const host = async (i: 0 | 1): Promise<Host> => {
      const name = `wire.${'ab'[i]}`;
      const stack = await Stack.create({
        engine,
        messages: homa({ seed, ...h }),
        ports: {
          [name]: {
            addresses: [`${ADDRESS[4][i]}/24`, `${ADDRESS[6][i]}/64`].map(address => ({
              address,
              dad: false,
            })),
            announce: false,
          },
          ...(outside[i] && { [outside[i].name]: { addresses: [`10.66.${i}.1/24`], announce: false } }),
        },
        neighbours: [4, 6].map(f => ({
          ...{ port: name, address: ADDRESS[f as 4 | 6][1 - i] },
          mac: [...engine.port(`wire.${'ba'[i]}`).mac].map(x => x.toString(16).padStart(2, '0')).join(':'),
        })),
      });
      const messages = stack.messages!;
      const view = messages.transport.view(engine.arena, messages.shared);
      return { stack, messages, view, app: apps.open(), ifindex: engine.port(name).ifindex };
    };
    const hosts = [await host(0), await host(1)];
    if (!options.rounds) await engine.start();
    const rounds = options.rounds?.(engine, hosts) ?? engine;
    return new World(engine, [a, b], hosts[0], hosts[1], rounds, options);
  }

  open(n = 1): ClientSlot[] {
    const { a } = this;
    const ids = a.messages.openSlots(this.client, n, { ifindex: a.ifindex });
    assert.is(ids.length, n);
    const made = ids.map(id => new ClientSlot(a.app.end(id)));
    this.slots.push(...made);
    return made;
  }

  /** A slot of that lane. */
  openIn(lane: number): ClientSlot {
    const { a } = this;
    const [id] = a.messages.openSlots(this.client, 1, { ifindex: a.ifindex, lane });
    const slot = new ClientSlot(a.app.end(id));
    this.slots.push(slot);
    return slot;
  }

  work(): void {
    workClient(this.a.app, this.slots);
    this.server.work();
  }

  /** Lets time pass until `done`, at most `limitMs`. Whether it was. `each`: what else is to be done at every step. */
  run(done: () => boolean, limitMs = 10_000, each: () => void = () => {}): boolean {
    const { engine, rounds } = this;
    const until = engine.now() + BigInt(Math.round(limitMs * 1000)) * (MS / 1000n);
    for (;;) {
      this.work();
      each();
      while (rounds.step() !== 0);
      if (done()) return true;
      if (this.a.app.pending || this.b.app.pending) continue;
      const next = rounds.nextDueNs();
      if (next === undefined || next > until) {
        if (until > engine.now()) engine.advance(until - engine.now());
        return done();
      }
      if (next > engine.now()) engine.advance(next - engine.now());
    }
  }

  /** One call on a slot of its own, and its answer. */
  call(
    bytes: Uint8Array,
    { family = 4, limitMs = 10_000 }: { family?: 4 | 6; limitMs?: number } = {},
  ): Uint8Array {
    const [slot] = this.open();
    slot.call({ address: ADDRESS[family][1], port: PORT }, bytes);
    assert.ok(
      this.run(() => slot.open === 0 || slot.failed, limitMs),
      `${JSON.stringify([this.counters, this.a.view.info(slot.end.id)])}`,
    );
    assert.not(slot.failed, this.a.view.error(slot.end.id));
    return slot.answers[0].bytes;
  }

  get counters(): Record<string, number>[] {
    return [this.a.messages.counters(), this.b.messages.counters()];
  }

  async close(): Promise<void> {
    const apps = StreamApps.of(this.engine);
    for (const { app } of [this.a, this.b]) apps.close(app.number);
    this.run(() => false, 5);
    await this.a.stack.close();
    await this.b.stack.close();
    const s = takeStreamLedger(this.engine.arena);
    assert.is(s.open + s.closed + s.lost + s.lostIds + s.used, 0, JSON.stringify(s));
    const { ledger } = await this.engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  }
}

/** A world for one claim. */
export async function inWorld(
  options: WorldOptions,
  claim: (w: World) => void | Promise<void>,
): Promise<void> {
  const w = await World.create(options);
  await claim(w);
  await w.close();
}
