/**
 * A chain of hops in one engine: each its own instance of the program, with its own maps, between its own two ports.
 * Hops are joined without a link, so a packet stays in its lane from the first NIC to the last.
 *
 *   clients ══ NIC in ▶ hop 0 ▶ joint ▶ hop 1 ▶ … ▶ hop n-1 ▶ NIC out ══ backends
 */
import { Collection } from '../bpf/collection.js';
import { configureMaps } from '../bpf/config.js';
import type { DevMap, KeyedMap } from '../bpf/maps/index.js';
import type { PortCounters } from '../engine/counters.js';
import { Engine, type EngineOptions } from '../engine/engine.js';
import type { LoadedProgram } from '../engine/program.js';
import type { EngineReport } from '../engine/report.js';
import { EtherloomError } from '../errors.js';
import { PortLayout } from '../layout/layout.gen.js';
import { AF_XDP_MAX_MTU } from '../nic/af_xdp/index.js';
import { joint } from '../nic/joint.js';
import type { Nic } from '../nic/nic.js';
import type { Port } from '../nic/port.js';
import { formatMac } from '../wire/address.js';
import type { Backend, ForwardConfig } from './config.js';
import {
  addCounts,
  type Count,
  type Flow,
  type HopCounters,
  isAlive,
  REASONS,
  readFlow,
} from './counters.js';
import {
  FORWARD_PROGRAM,
  type Hop,
  hopConfig,
  hopObject,
  innerMac,
  PORT_IN,
  PORT_OUT,
  PORTS_MAP,
  planHops,
} from './hop.js';
import { Neighbourhood, type OwnMacs, type Resolve, resolveAll } from './neighbourhood.js';

export interface ForwarderOptions {
  config: ForwardConfig;
  /** Towards clients. */
  in: Nic;
  /** Towards backends. Default: `in`, for a single hop. */
  out?: Nic;
  /**
   * Ethernet address of a backend, or of the router before it; `mac` of the configuration goes first. Asked again every
   * 250 ms while the chain runs, so that a backend that comes back with another card is reached again.
   */
  resolve?: Resolve;
  /** Ports that answer ARP, neighbour discovery and echo for their addresses: where no kernel does. Default: neither. */
  respond?: { in?: boolean; out?: boolean };
  /** Where each hop begins to look for source ports, of `flows`, if the preferred one is taken. Default: anywhere. */
  firstSlot?: number;
  /** Lanes, frames (default 16384), rings (2048), clock … of the engine. */
  engine?: Omit<Partial<EngineOptions>, 'nics'>;
}

export interface ForwarderCounters {
  hops: HopCounters[];
  ports: PortCounters[];
}

export interface ForwarderReport extends ForwarderCounters {
  engine: EngineReport;
}

/**
 * A window of TCP arrives faster than a lane of two shared CPUs is awake: 512 slots lost 3,661 of 141,825 packets of a
 * download over AF_XDP, 2048 none. Twice as many are twice the memory that every packet goes through.
 */
const RING_SLOTS = 2048;
/** Frames, by default: what two NICs with such rings share half of, and again as many. */
const FRAMES = 16384;

/** Map memory of a hop, bytes: 80 a flow and its place in two hash tables, and what does not depend on flows. */
const mapBytes = (config: ForwardConfig): number =>
  config.services[0].ports.length * (config.flows * 400 + (4 << 20)) + (8 << 20);

interface LoadedHop {
  hop: Hop;
  collection: Collection<LoadedProgram>;
}

export class Forwarder {
  readonly #hops: readonly LoadedHop[];
  readonly #neighbourhood: Neighbourhood;

  private constructor(
    readonly engine: Engine,
    { config, resolve, out }: ForwarderOptions,
    hops: readonly LoadedHop[],
    backends: ReadonlyMap<Backend, string>,
  ) {
    this.#hops = hops;
    const ends = endsOf(engine, hops.length, out !== undefined);
    this.#neighbourhood = new Neighbourhood({
      config,
      hops: hops.map(({ hop }) => hop),
      backends,
      resolve,
      look: () => ownMacs(ends),
      write: (hop, entries) => configureMaps(hops[hop].collection.maps, entries, hops[hop].collection.spec),
    });
  }

  /** As it is now. */
  get config(): ForwardConfig {
    return this.#neighbourhood.config;
  }

  /**
   * Changes the backends while packets flow: new flows go to those of `config`, flows that are open stay where they are.
   * @throws EtherloomError ERR_FORWARD_CONFIG when anything else is another, ERR_FORWARD_MAC; nothing is changed then
   */
  setBackends(config: ForwardConfig): Promise<void> {
    return this.#neighbourhood.setBackends(config);
  }

  /**
   * Makes the engine, loads and attaches every hop; nothing runs yet.
   * @throws EtherloomError ERR_FORWARD_CONFIG, ERR_FORWARD_MAC, ERR_ENGINE_OPTIONS, ERR_NIC_*, ERR_ARENA_*
   */
  static async create(options: ForwarderOptions): Promise<Forwarder> {
    const { config } = options;
    const count = config.services[0].ports.length;
    if (!options.out && count > 1)
      throw new EtherloomError('ERR_FORWARD_CONFIG', `${count} hops at one interface`, {
        expected: 'a second NIC towards the backends, or one port per service',
      });
    // A joint lets pass what fits a frame: the NICs have limits of their own.
    const joints = Array.from({ length: count - 1 }, (_, i) =>
      joint({
        name: `hop${i}-hop${i + 1}`,
        macs: [innerMac(i, 1), innerMac(i + 1, 0)],
        mtu: AF_XDP_MAX_MTU,
      }),
    );
    const resolved = await resolveAll(config, options.resolve);
    const engine = await Engine.create({
      pass: 'count',
      frames: FRAMES,
      ringSlots: RING_SLOTS,
      mapBytes: mapBytes(config),
      ...options.engine,
      nics: [options.in, ...joints.flatMap(j => [j.a, j.b]), ...(options.out ? [options.out] : [])],
    });
    try {
      return new Forwarder(engine, options, await loadHops(engine, options, resolved), resolved);
    } catch (error) {
      // NICs are open: what the kernel lent goes back.
      await engine.stop().catch(() => {});
      throw error;
    }
  }

  /** @throws EtherloomError ERR_ENGINE_STATE, ERR_LANE_START */
  async start(): Promise<void> {
    await this.engine.start();
    this.#neighbourhood.start();
  }

  /** Looks now whether interfaces and backends have other Ethernet addresses: what it does by itself every 250 ms. */
  refresh(): Promise<void> {
    return this.#neighbourhood.refresh();
  }

  /** Backends that cannot be reached now, in words. */
  get trouble(): string[] {
    return this.#neighbourhood.trouble;
  }

  get hopCount(): number {
    return this.#hops.length;
  }

  /** Counters of hops and ports. While lanes run, a burst may be half counted. */
  counters(): ForwarderCounters {
    return {
      hops: this.#hops.map((_, i) => this.#hopCounters(i)),
      ports: this.engine.counters(),
    };
  }

  #hopCounters(hop: number): HopCounters {
    const { collection } = this.#hops[hop];
    const map = collection.map<KeyedMap>('counters');
    const counts = Object.fromEntries(
      REASONS.map((reason, i) => [reason, sum(map.getBytes(key(i))!)]),
    ) as Record<(typeof REASONS)[number], Count>;
    let flows = 0;
    this.#each(hop, () => flows++);
    return { hop, flows, limit: this.config.flows, counts };
  }

  /** The flows of a hop that are alive now. */
  flows(hop: number): Flow[] {
    const found: Flow[] = [];
    const now = this.engine.now();
    this.#each(hop, (view, at, slot) => {
      found.push(readFlow(view, at, this.config.firstPort + slot, now));
    });
    return found;
  }

  #each(hop: number, take: (view: DataView, at: number, slot: number) => void): void {
    const map = this.#hops[hop].collection.map('flows');
    const { dv } = this.engine.arena;
    const now = this.engine.now();
    const [first, stride] = [map.dataAt!, map.stride!];
    for (let slot = 0, at = first; slot < this.config.flows; slot++, at += stride)
      if (isAlive(dv, at, now)) take(dv, at, slot);
  }

  /**
   * Stops the lanes and counts the frames. The counters of the report are the last.
   * @throws EtherloomError ERR_FRAMES_LOST
   */
  async stop(): Promise<ForwarderReport> {
    this.#neighbourhood.stop();
    const engine = await this.engine.stop();
    return { ...this.counters(), engine };
  }
}

/** Loads and attaches every hop, and has ports answer that are to. */
async function loadHops(
  engine: Engine,
  options: ForwarderOptions,
  resolved: ReadonlyMap<Backend, string>,
): Promise<LoadedHop[]> {
  const { config } = options;
  const count = config.services[0].ports.length;
  const ends = endsOf(engine, count, options.out !== undefined);
  const first = ends[0][0];
  const last = ends[count - 1][1];
  const macs = {
    hops: ownMacs(ends),
    backend: (b: Backend) => resolved.get(b)!,
  };
  const loaded: LoadedHop[] = [];
  for (const [i, hop] of planHops(config, macs, options.firstSlot).entries()) {
    const contents = hopConfig(hop);
    const programs = [FORWARD_PROGRAM];
    const collection = await Collection.load(hopObject(hop, contents), engine, { programs });
    configureMaps(collection.maps, contents, collection.spec);
    const ports = collection.map<DevMap>(PORTS_MAP);
    ports.set(PORT_IN, { ifindex: ends[i][0].ifindex });
    ports.set(PORT_OUT, { ifindex: ends[i][1].ifindex });
    const { placed } = collection.program(FORWARD_PROGRAM);
    for (const port of new Set(ends[i])) engine.attach(placed, port);
    loaded.push({ hop, collection });
  }
  respond(engine, options, first, last);
  return loaded;
}

type Ends = readonly (readonly [Port, Port])[];

/** The ports of every hop: those that the joints before and after it end in. */
function endsOf(engine: Engine, count: number, two: boolean): Ends {
  const first = engine.ports[0];
  const last = two ? engine.ports[engine.ports.length - 1] : first;
  return Array.from({ length: count }, (_, i) => [
    i === 0 ? first : engine.ports[2 * i],
    i === count - 1 ? last : engine.ports[2 * i + 1],
  ]);
}

/** Their Ethernet addresses, as the interfaces have them now. */
const ownMacs = (ends: Ends): OwnMacs => ends.map(([a, b]) => [macOf(a), macOf(b)] as const);
const macOf = ({ arena, at }: Port): string =>
  formatMac(arena.u8.slice(at + PortLayout.mac, at + PortLayout.mac + 6));

/** Each address by itself: routes are none of a forwarder's business. */
function respond(engine: Engine, { config, respond }: ForwarderOptions, first: Port, last: Port): void {
  const own = new Map<Port, string[]>();
  if (respond?.in) own.set(first, config.address);
  if (respond?.out) own.set(last, [...new Set([...(own.get(last) ?? []), ...config.source])]);
  for (const [port, addresses] of own)
    engine.respond(port, {
      addresses: addresses.map(a => `${a}/${a.includes(':') ? 128 : 32}`),
      routes: false,
    });
}

const key = (i: number): Uint8Array => new Uint8Array(Uint32Array.of(i).buffer);

/** All copies of one value of per-CPU counters. */
function sum(bytes: Uint8Array): Count {
  return addCounts(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length / 16, 16);
}
