/**
 * Our TCP in an engine: the object of bpf-progs/obj, its maps and programs, and one application. Inline and in virtual time
 * with the far end of a wire in hand for scripts; on any engine for transfers.
 */
import { readFileSync } from 'node:fs';
import { Collection } from '../../host/bpf/collection.js';
import type { KeyedMap } from '../../host/bpf/maps/keyed.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { Entrance } from '../../host/transports/entrance.js';
import { fetchFlowsAhead } from '../../host/transports/tcp/ahead.js';
import { parseIp } from '../../host/wire/address.js';
import { loadObject } from '../support/program_rig.js';
import type { TcpOptions } from './options.js';

const ADDRESS_RESET = 1;
const PROTOCOL = 6;
/** Maps that have an entry for each stream. */
const PER_STREAM = ['tcp_flows', 'tcp_boards', 'tcp_control', 'tcp_clocks'];

/** Packets that may wait on the way from lane to lane. */
const HANDOVER = 2048;
/** Of what a connection table holds: the flow's number. */
const ENTRY_ID = 0xffffff;

const swap16 = (n: number): number => ((n & 255) << 8) | (n >> 8);

/** An address as four words in network order, IPv4 in the first. */
export function words(address: string): number[] {
  const bytes = parseIp(address);
  const dv = new DataView(new ArrayBuffer(16));
  for (const [i, b] of bytes.entries()) dv.setUint8(i, b);
  return [0, 4, 8, 12].map(at => dv.getUint32(at, true));
}

export const familyOf = (address: string): number => (address.includes(':') ? 10 : 2);

/** The C structure of options that are named as TypeScript names them. */
function optionsIn(o: Partial<TcpOptions>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(o).map(([k, v]) => [k.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`), v]),
  );
}

export interface Flow extends Record<string, unknown> {
  state: number;
  error: number;
  flags: number;
}

/** An active open. */
export interface Connect {
  local: string;
  localPort: number;
  remote: string;
  port: number;
  options?: Partial<TcpOptions>;
  ifindex?: number;
  lane?: number;
}

/** What a ring begins with, as in the programs. */
const first = (asked = 0): number => asked || 16_384;

/** One inline lane in virtual time, with room for so many streams. */
export const engineOptions = (streamCount: number): Omit<EngineOptions, 'nics'> => ({
  ...{ inline: true, clock: 'virtual', warmMs: 0, frames: 2048, mapBytes: 16 << 20 },
  ...{ streams: { count: streamCount, bytes: 16 << 20 } },
});

export class TcpEngine {
  readonly ends = new Map<number, StreamEnd>();
  /** Streams that the application was told of: events that nobody has looked at. */
  readonly events = new Map<number, number>();
  readonly accepted: number[] = [];
  /** Those that were accepted: a lane that died may say so twice. */
  readonly #known = new WeakSet<StreamEnd>();
  /** Lets inline lanes work until they wait. */
  run = (): void => {
    this.engine.run({ untilNs: this.engine.now() });
  };
  #slots = 0;

  private constructor(
    readonly engine: Engine,
    readonly app: StreamApp,
    readonly apps: StreamApps,
    readonly collection: Collection,
    readonly entrance: Entrance,
  ) {}

  /** An engine of its own. @param addresses its own, by port */
  static async create(
    options: EngineOptions & { addresses: Record<string, string[]>; streamCount?: number },
  ): Promise<TcpEngine> {
    const { addresses, streamCount = 64, ...more } = options;
    const engine = await Engine.create({ ...engineOptions(streamCount), ...more });
    const tcp = await TcpEngine.on(engine, addresses, streamCount);
    await engine.start();
    return tcp;
  }

  /** An instance of the object at ports of an engine that is not started yet: several are so many hosts. */
  static async on(engine: Engine, addresses: Record<string, string[]>, streamCount = 64): Promise<TcpEngine> {
    const spec = loadObject('tcp');
    for (const name of PER_STREAM) spec.maps[name].maxEntries = streamCount;
    for (const name of ['tcp4', 'tcp6'])
      spec.maps[name].maxEntries = Math.max(spec.maps[name].maxEntries, streamCount);
    const collection = await Collection.load(spec, engine);
    const map = (name: string) => collection.maps[name] as KeyedMap<unknown, unknown>;
    fetchFlowsAhead(engine, name => collection.map(name));
    const placed = (name: string) => collection.programs[name].placed;
    const entrance = await Entrance.load(engine);
    entrance.put(PROTOCOL, {
      ...{ ingress: placed('tcp_ingress'), errors: placed('tcp_icmp') },
      ...{ gen: placed('tcp_gen'), egress: placed('tcp_egress') },
    });
    for (let lane = 0; lane < engine.laneCount; lane++)
      map('tcp_lanes').set(lane, { qsize: HANDOVER, program: collection.programs.tcp_handover.placed });
    for (const [port, list] of Object.entries(addresses)) {
      entrance.attach(engine.port(port));
      for (const a of list) map('tcp_addresses').set({ address: words(a) }, ADDRESS_RESET);
    }
    const apps = new StreamApps(engine);
    return new TcpEngine(engine, apps.open(), apps, collection, entrance);
  }

  map(name: string): KeyedMap<unknown, Record<string, unknown>> {
    return this.collection.maps[name] as KeyedMap<unknown, Record<string, unknown>>;
  }

  /** Takes what the application is told. */
  take(): void {
    this.app.take((end, events) => {
      // A number may be another stream's by now.
      const before = this.ends.get(end.id) === end ? (this.events.get(end.id) ?? 0) : 0;
      this.ends.set(end.id, end);
      this.events.set(end.id, before | events);
      if ((events & StreamEvent.ACCEPT) === 0 || this.#known.has(end)) return;
      this.#known.add(end);
      this.accepted.push(end.id);
    });
  }

  /** Lets inline lanes work until they wait, and the application hear of it. */
  settle(): void {
    do {
      this.app.flush();
      this.run();
      this.take();
    } while (this.app.pending);
  }

  /** Number of the flow under a key of `tcp4` or `tcp6`; undefined when there is none. */
  flowAt(table: 'tcp4' | 'tcp6', key: unknown): number | undefined {
    const entry = this.map(table).get(key) as number | undefined;
    return entry === undefined ? undefined : Number(entry) & ENTRY_ID;
  }

  flow(id: number): Flow {
    return this.map('tcp_flows').get(id) as Flow;
  }

  listen(address: string | 4 | 6, port: number, backlog: number, options: Partial<TcpOptions> = {}): number {
    const slot = ++this.#slots;
    const any = typeof address === 'number';
    this.map('tcp_backlogs').set(slot, { opening: 0, established: 0, cookie_s: 0, accepted: 0 });
    this.map('tcp_listeners').set(
      {
        address: any ? [0, 0, 0, 0] : words(address),
        port: swap16(port),
        family: any ? (address === 6 ? 10 : 2) : familyOf(address),
      },
      { app: this.app.number, slot, backlog, pad: 0, opt: optionsIn(options) },
    );
    return slot;
  }

  unlisten(family: 4 | 6, port: number): void {
    this.map('tcp_listeners').delete({
      address: [0, 0, 0, 0],
      port: swap16(port),
      family: family === 6 ? 10 : 2,
    });
  }

  /** Closes all listeners and forgets what they had counted. */
  unlistenAll(): void {
    this.map('tcp_listeners').clear();
    this.#slots = 0;
  }

  /** Counts a connection as taken. */
  took(slot: number): void {
    const b = this.map('tcp_backlogs').get(slot) as Record<string, number>;
    this.map('tcp_backlogs').set(slot, { ...b, accepted: b.accepted + 1 });
  }

  #control(id: number, more: Record<string, unknown>, options: Partial<TcpOptions>): void {
    const known = this.map('tcp_control').get(id) as Record<string, unknown>;
    this.map('tcp_control').set(id, { ...known, ...more, opt: optionsIn(options) });
  }

  /** Opens the stream of a connection for application `app`, which is to ask for CONNECT. Returns its number. */
  prepare(app: number, c: Connect): number {
    const { options = {}, ifindex = 1, lane = 0 } = c;
    const id = this.apps.openId(app, {
      ...{ send: options.sndBytes || 4 << 20, receive: options.rcvBytes || 4 << 20 },
      first: { send: first(options.sndBytes), receive: first(options.rcvBytes) },
      ...{ ifindex, transport: 6, lane },
    });
    this.#control(
      id,
      {
        local: words(c.local),
        remote: words(c.remote),
        lport: swap16(c.localPort),
        rport: swap16(c.port),
        family: familyOf(c.local),
        ifindex,
        app,
        urgent: 0,
        urgents: 0,
      },
      options,
    );
    return id;
  }

  connect(
    local: string,
    localPort: number,
    remote: string,
    port: number,
    options: Partial<TcpOptions> = {},
    ifindex = 1,
    lane = 0,
  ): StreamEnd {
    const c = { local, localPort, remote, port, options, ifindex, lane };
    const end = this.app.end(this.prepare(this.app.number, c));
    this.ends.set(end.id, end);
    this.events.delete(end.id);
    end.request(StreamRequest.CONNECT);
    return end;
  }

  setOptions(id: number, options: Partial<TcpOptions>, urgents: number): void {
    const end = this.ends.get(id)!;
    this.#control(id, { urgent: end.position, urgents }, options);
    end.request(StreamRequest.OPTIONS);
  }

  /** What the lane takes in once the application, wherever that is by now, requests OPTIONS. */
  writeOptions(id: number, options: Partial<TcpOptions>): void {
    this.#control(id, {}, options);
  }

  counters(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [i, name] of countNames().entries()) {
      const per = this.map('tcp_counters').get(i) as unknown as bigint[];
      const n = per.reduce((sum, v) => sum + Number(v), 0);
      if (n) out[name] = n;
    }
    return out;
  }
}

/** Names of enum tcp_count, in order. */
export function countNames(): string[] {
  const text = readFileSync(new URL('../../bpf-progs/transports/tcp/count.h', import.meta.url), 'utf8');
  const body = /enum tcp_count \{([\s\S]*?)TCP_COUNTS/.exec(text)![1];
  return [...body.matchAll(/^\t(\w+),/gm)].map(m => m[1]);
}
