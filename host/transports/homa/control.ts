/**
 * The control plane of Homa: it loads the programs and fills their maps. Ports are served and slots opened here; what
 * happens to a packet is the programs' affair (bpf-progs/transports/homa/).
 *
 *   serve ─▶ homa_listeners        client, openSlots ─▶ streams, homa_rpcs[their numbers]        own ─▶ homa_addresses
 */
import { fileURLToPath } from 'node:url';
import type { Collection } from '../../bpf/collection.js';
import type { CpuMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import type { LoadedProgram } from '../../engine/program.js';
import { EtherloomError } from '../../errors.js';
import { MAX_LANES } from '../../layout/layout.gen.js';
import { parseIp } from '../../wire/address.js';
import { HOMA_CLIENT_PORTS, HOMA_MAX_MESSAGE, HOMA_PROTOCOL } from '../../wire/homa.js';
import type { TransportEnv } from '../contract.js';
import type { TransportPrograms } from '../entrance.js';
import { ERRNO, SocketError } from '../errno.js';
import { LocalPorts } from '../local_ports.js';
import type {
  ClientPlace,
  LoadedMessages,
  MessageTransport,
  ServePlace,
  ServeWish,
  SlotsWish,
} from '../messages.js';
import { laneOf, RecordTable, recordsOf } from '../records.js';
import { Lanes } from '../tcp/lanes.js';
import { LiveObject } from '../upgrade/live_object.js';
import { type Cutoffs, cutoffsOf, LENGTH_CLASSES } from './cutoffs.js';
import { firstNumber, idBefore, laterOf, numberOf } from './numbers.js';
import type { HomaShared } from './view.js';

export const HOMA_OBJECT = fileURLToPath(new URL('../../../bpf-progs/obj/homa.bpf.o', import.meta.url));

/** Maps with an entry for each stream. */
const PER_STREAM = ['homa_rpcs', 'homa_clocks', 'homa_channels', 'homa_places'];
/** Counters that tell that something is wrong with the programs, or with the network: homa_count. */
const ERRORS = [
  ...[
    'Retransmits',
    'BadPackets',
    'CsumErrors',
    'NoPorts',
    'NoStreams',
    'NoMemory',
    'NoRoutes',
    'BadRecords',
  ],
  ...['Timeouts', 'Refused'],
];
/** enum homa_state. */
const SLOT_FREE = 0;
const SLOT_CLIENT = 1;
/** The longest message and its record fit, bytes: a power of two, as rings are. */
const RING_BYTES = 1 << 20;
/** Rings begin so: FIRST_RING of channel.h. */
const FIRST_BYTES = 4096;
/** Ports for who wants any: clients', and above what people know servers'. */
const CLIENT_PORTS = { first: HOMA_CLIENT_PORTS, last: 65535 };
const SERVER_PORTS = { first: 1024, last: HOMA_CLIENT_PORTS - 1 };
/** Packets live less long: LIFE_NS of clock.h. */
const LIFE_NS = 2_000_000_000n;

/** Places for past calls of a lane: homa_past_places of share.h. */
const LEAST_PLACES = 4096;

/**
 * A power of two: as many as there are streams and no fewer than LEAST_PLACES; of many lanes each twice what would be its part, for
 * their clients are not dealt evenly.
 */
function pastPlaces(streams: number, lanes: number): number {
  const part = (2 * Math.max(LEAST_PLACES, streams)) / Math.max(2, lanes);
  return 2 ** Math.ceil(Math.log2(Math.max(LEAST_PLACES / 4, part)));
}

/** As the programs' maps know an address: IPv4 as its mapped form (RFC 4291 §2.5.5.2), which is nobody's address of IPv6. */
function mapped(address: string): Uint8Array {
  const bytes = parseIp(address);
  return bytes.length === 16 ? bytes : Uint8Array.of(...new Uint8Array(10), 0xff, 0xff, ...bytes);
}

interface ChannelKey {
  address: number[];
  port: number;
  served: number;
  slot: number;
}
type PastKey = Omit<ChannelKey, 'slot'> & { lane: number; what: bigint };

export interface HomaSettings {
  /** Ports that can be served at a time. */
  listeners: number;
  addresses: number;
  seed: number | undefined;
  /** Channels that a peer, and a port, may have; 0: a half and seven eighths of the engine's streams. */
  peerSlots: number;
  portSlots: number;
  /** Variables of the programs. */
  globals: Record<string, number>;
  /** Cutoffs are made anew so often, ms; 0: never by themselves. */
  adaptMs: number;
}

interface Served {
  place: ServePlace;
  app: number;
  laneApps: readonly number[];
  /** #serving when it began. */
  since: number;
}

export class HomaControl implements LoadedMessages {
  readonly shared: HomaShared;
  readonly longest = HOMA_MAX_MESSAGE;
  readonly #records: RecordTable;
  readonly #served = new Map<number, Served>();
  readonly #clients = new Map<number, ClientPlace>();
  /** First calls of slots: a record forgets its last one when the stream is a server's in between. */
  readonly #bases = new Map<number, bigint>();
  readonly #ports: LocalPorts;
  readonly #serverPorts: LocalPorts;
  readonly #lanes: Lanes;
  #nextLane = 0;
  #version = 0;
  /** Ports that were served, or are not any more, so far. */
  #serving = 0;
  readonly #adapting: NodeJS.Timeout | undefined;

  private constructor(
    readonly transport: MessageTransport,
    readonly env: TransportEnv,
    readonly settings: HomaSettings,
    readonly live: LiveObject,
  ) {
    this.shared = { rpcs: live.records('homa_rpcs') };
    this.#records = new RecordTable(env.engine.arena, this.shared.rpcs);
    this.#ports = new LocalPorts(CLIENT_PORTS, settings.seed);
    this.#serverPorts = new LocalPorts(SERVER_PORTS, settings.seed);
    this.#lanes = new Lanes(env.engine);
    this.#lanes.fill(live.map<CpuMap>('homa_lanes'), live.program('homa_handover').placed);
    // In virtual time nobody knows when: whoever has the clock calls `adapt`.
    if (settings.adaptMs > 0 && !env.engine.virtual)
      this.#adapting = setInterval(() => this.adapt(), settings.adaptMs).unref();
  }

  /** @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do; VerifierError */
  static async load(
    transport: MessageTransport,
    env: TransportEnv,
    settings: HomaSettings,
  ): Promise<HomaControl> {
    const { streamCount } = env.engine.arena.header;
    const sizes: Record<string, number> = {
      ...{ homa_addresses: settings.addresses, homa_listeners: settings.listeners },
    };
    for (const name of PER_STREAM) sizes[name] = streamCount;
    const { laneCount } = env.engine;
    const places = pastPlaces(streamCount, laneCount);
    sizes.homa_past = sizes.homa_queue = places * laneCount;
    sizes.homa_shares = sizes.homa_past + streamCount + MAX_LANES;
    const most = Math.max(1, streamCount - (streamCount >> 3));
    const shares = {
      homa_peer_slots: settings.peerSlots || Math.max(1, streamCount >> 1),
      homa_port_slots: settings.portSlots || most,
      // The rest is for the host's own clients.
      homa_all_slots: Math.max(settings.portSlots, most),
      homa_past_places: places,
    };
    const live = await LiveObject.load(env, {
      ...{ name: transport.name, object: HOMA_OBJECT, sizes },
      globals: {
        '.rodata': {
          ...{ homa_table: env.table, homa_lane_count: env.engine.laneCount },
          ...shares,
          ...settings.globals,
        },
      },
      ...{ counters: 'homa_counters', errors: ERRORS },
    });
    return new HomaControl(transport, env, settings, live);
  }

  /** The programs at work: others after an upgrade. */
  get collection(): Collection<LoadedProgram> {
    return this.live.collection;
  }

  get programs(): TransportPrograms {
    const placed = (name: string): LoadedProgram => this.live.program(name).placed;
    return {
      ...{ ingress: placed('homa_ingress'), errors: placed('homa_icmp'), gen: placed('homa_gen') },
    };
  }

  #map<K, V>(name: string): KeyedMap<K, V> {
    return this.live.map(name) as unknown as KeyedMap<K, V>;
  }

  own(address: string, on: boolean): void {
    const key = mapped(address);
    const map = this.#map<Uint8Array, number>('homa_addresses');
    if (on) map.set(key, 1);
    else map.delete(key);
  }

  // ── servers ───────────────────────────────────────────────────────────────────────────────────────────────────

  serve(wish: ServeWish): ServePlace {
    const { app, address, laneApps = [] } = wish;
    const port = wish.port || this.#serverPorts.choose('serve', p => !this.#served.has(p));
    if (port === undefined) throw new SocketError('EADDRINUSE', 'every port is served');
    if (!Number.isInteger(port) || port < 0 || port >= HOMA_CLIENT_PORTS)
      throw new EtherloomError('ERR_HOMA_PORT', `serve: port ${String(wish.port)}`, {
        expected: `a whole number below ${HOMA_CLIENT_PORTS}: those from there on are clients’`,
      });
    if (this.#served.has(port))
      throw new SocketError('EADDRINUSE', `port ${port} is served`, { expected: 'a port of its own' });
    if (this.#served.size >= this.settings.listeners)
      throw new EtherloomError('ERR_HOMA_PORT', `${this.#served.size} ports are served`, {
        expected: 'homa({ listeners }) for more',
      });
    const served = { place: { port, address }, app, laneApps, since: ++this.#serving };
    this.#served.set(port, served);
    this.#write(served);
    this.#tellServing();
    return served.place;
  }

  /** `struct homa_listener`. */
  #write({ place, app, laneApps, since }: Served): void {
    const value = new Uint8Array(36 + MAX_LANES);
    if (place.address !== undefined) value.set(mapped(place.address));
    const dv = new DataView(value.buffer);
    dv.setUint32(16, place.address === undefined ? 1 : 0, true);
    dv.setUint32(20, app, true);
    dv.setUint32(24, RING_BYTES, true);
    dv.setUint32(28, RING_BYTES, true);
    dv.setUint32(32, since, true);
    value.set(laneApps, 36);
    this.#map<number, Uint8Array>('homa_listeners').set(place.port, value);
  }

  setLaneApps(port: number, laneApps: readonly number[]): void {
    const served = this.#served.get(port);
    if (!served) return;
    served.laneApps = laneApps;
    this.#write(served);
  }

  unserve(port: number): void {
    if (!this.#served.delete(port)) return;
    this.#map<number, Uint8Array>('homa_listeners').delete(port);
    this.#serving++;
    this.#tellServing();
  }

  /** After the listeners: channels look at theirs again, each at its next call. */
  #tellServing(): void {
    this.#map<number, number>('homa_serving').set(0, this.#serving >>> 0);
  }

  // ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────

  client({ app }: { app: number }): ClientPlace {
    const port = this.#ports.choose('client', p => !this.#clients.has(p));
    if (port === undefined) throw new SocketError('EADDRINUSE', 'every port is a client’s');
    const place = { port, app };
    this.#clients.set(port, place);
    return place;
  }

  closeClient({ port }: ClientPlace): void {
    this.#clients.delete(port);
  }

  openSlots(client: ClientPlace, n: number, wish: SlotsWish): number[] {
    const { ifindex, send = RING_BYTES, receive = RING_BYTES } = wish;
    const first = { send: Math.min(send, FIRST_BYTES), receive: Math.min(receive, FIRST_BYTES) };
    const ids: number[] = [];
    for (let i = 0; i < n; i++) {
      const lane = wish.lane ?? this.#anyLane();
      if (!this.#lanes.lives(lane))
        throw new SocketError('ENETDOWN', `lane ${lane}, which is to have the slot, was given up`, {
          expected: 'a lane that lives: Engine.lostLanes names the others',
        });
      try {
        const how = { send, receive, first, lane, ifindex, transport: HOMA_PROTOCOL };
        ids.push(this.#slot(client, this.env.apps.openId(client.app, how), lane));
      } catch (cause) {
        if (ids.length > 0) break;
        const what = `no stream for a slot of client ${client.port}: ${(cause as Error).message}`;
        throw new SocketError('ENOBUFS', what, { cause });
      }
    }
    return ids;
  }

  /** Nobody knows of the slot yet: all of its record is ours to write. */
  #slot({ port }: ClientPlace, id: number, lane: number): number {
    const r = this.#records;
    const { u8, dv } = this.env.engine.arena;
    const left = numberOf(dv.getBigUint64(r.at(id, 'id'), true), id);
    u8.fill(0, r.records.at + id * r.records.stride, r.records.at + (id + 1) * r.records.stride);
    const { engine } = this.env;
    const us = engine.virtual ? engine.now() / 1000n : BigInt(Date.now()) * 1000n;
    const base = firstNumber(us, laterOf(left, this.#bases.get(id)));
    this.#bases.set(id, base);
    dv.setUint16(r.at(id, 'port'), port);
    r.set(id, 'lane', lane);
    dv.setBigUint64(r.at(id, 'base'), base, true);
    // As if it had made the call before the first.
    dv.setBigUint64(r.at(id, 'id'), idBefore(base), true);
    r.set(id, 'state', SLOT_CLIENT);
    return id;
  }

  /** The lanes in turn: responses come in where the port deals them, and are handed to the slot's. */
  #anyLane(): number {
    const { laneCount } = this.env.engine;
    for (let i = 0; i < laneCount; i++) {
      const lane = this.#nextLane++ % laneCount;
      if (this.#lanes.lives(lane)) return lane;
    }
    return 0;
  }

  laneLost(lane: number): void {
    const { arena } = this.env.engine;
    for (let id = 1; id < arena.header.streamCount; id++) {
      if (laneOf(arena, id) !== lane || this.#records.get(id, 'state') === SLOT_FREE) continue;
      // The lane is no more: its words are ours.
      this.#records.set(id, 'state', SLOT_FREE);
      this.#records.set(id, 'error', ERRNO.ENETDOWN);
      this.#records.set(id, 'counted', 0);
    }
    // Nothing is under way to it, and its part of what may be is the others'.
    arena.dv.setUint8(recordsOf(this.live.map('homa_granters')).at + lane, 0);
    const shares = this.#map<{ lane: number }, number>('homa_shares');
    for (const [key] of [...shares]) if (key.lane === lane) shares.delete(key);
    // Clients of its channels are told that it is over, and make no call of theirs a second time.
    const channels = this.#map<ChannelKey, number>('homa_channels');
    const past = this.#map<PastKey, { calls: bigint; until_ns: bigint }>('homa_past');
    const untilNs = this.env.engine.now() + LIFE_NS;
    for (const [key, entry] of [...channels]) {
      if (entry >>> 24 !== lane) continue;
      const stream = entry & 0xffffff;
      const id = arena.dv.getBigUint64(this.#records.at(stream, 'id'), true) ^ 1n;
      const { slot, ...rest } = key;
      // As past_key of past.h has it.
      const foreign = this.#records.get(stream, 'foreign') !== 0;
      const at = { ...rest, lane, what: foreign ? (id >> 7n) | (1n << 63n) : BigInt(slot) };
      const calls = foreign ? (past.get(at)?.calls ?? 0n) | (1n << ((id >> 1n) & 63n)) : id;
      past.set(at, { calls, until_ns: untilNs });
      channels.delete(key);
    }
  }

  // ── priorities ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes cutoffs of the messages that came since the last time, and tells those who send by others. Undefined: nothing
   * came, or they are those that there were.
   */
  adapt(): Cutoffs | undefined {
    const map = this.#map<number, { unscheduled: bigint; scheduled: bigint }[]>('homa_lengths');
    const lengths = Array.from({ length: LENGTH_CLASSES }, (_, key) => {
      const lanes = map.get(key)!;
      const sum = { unscheduled: 0, scheduled: 0 };
      for (const lane of lanes) {
        sum.unscheduled += Number(lane.unscheduled);
        sum.scheduled += Number(lane.scheduled);
      }
      // What is counted between the two is lost: it is a sample.
      if (sum.unscheduled || sum.scheduled)
        map.set(
          key,
          lanes.map(() => ({ unscheduled: 0n, scheduled: 0n })),
        );
      return sum;
    });
    const made = cutoffsOf(lengths);
    if (!made || made.cutoffs.join() === this.#cutoffs?.cutoffs.join()) return undefined;
    this.setCutoffs(made);
    return made;
  }
  #cutoffs: Cutoffs | undefined;

  /** Senders are told these from now on, each when it next sends. */
  setCutoffs(made: Cutoffs): void {
    const value = new Uint8Array(40);
    const dv = new DataView(value.buffer);
    for (const [i, n] of made.cutoffs.entries()) dv.setUint32(4 * i, n, true);
    // 0 is who was told nothing yet.
    this.#version = (this.#version % 0xffff) + 1;
    dv.setUint32(32, this.#version, true);
    dv.setUint32(36, made.maxSched, true);
    this.#map<number, Uint8Array>('homa_cutoffs').set(0, value);
    this.#cutoffs = made;
  }

  // ── knowing and ending ────────────────────────────────────────────────────────────────────────────────────────

  counters(): Record<string, number> {
    return this.live.counters();
  }

  async close(): Promise<void> {
    for (const port of [...this.#served.keys()]) this.unserve(port);
    this.#clients.clear();
    clearInterval(this.#adapting);
    await this.live.close();
  }
}
