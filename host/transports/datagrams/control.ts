/**
 * The control plane of a transport of datagrams: it loads the programs and fills their maps, which bear the transport's name
 * (object.ts). Sockets are made, connected and taken away here; what happens to a datagram is the programs' affair
 * (bpf-progs/transports/udp/, and whatever a user writes), which only read the tables.
 *
 *   bind ─▶ a stream, NAME_sockets[its number], NAME4 and NAME6      associate ─▶ the same tables      own ─▶ NAME_addresses
 */
import type { BpfMap, CpuMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import type { LoadedProgram } from '../../engine/program.js';
import { EtherloomError } from '../../errors.js';
import { parseIp } from '../../wire/address.js';
import type { Endpoint, Family, TransportEnv } from '../contract.js';
import type { BindPlace, BindWish, DatagramTransport, LoadedDatagrams } from '../datagrams.js';
import type { TransportPrograms } from '../entrance.js';
import { ERRNO, SocketError } from '../errno.js';
import { LocalPorts, type PortRange } from '../local_ports.js';
import { AF_INET, AF_INET6, laneOf, lifeOf, RecordTable } from '../records.js';
import { Lanes } from '../tcp/lanes.js';
import { LiveObject } from '../upgrade/live_object.js';
import { checkSockets, datagramPlan } from './object.js';
import type { DatagramShared } from './view.js';

/** enum socket_state. */
const FREE = 0;
const OPEN = 1;
const FAMILIES: readonly Family[] = [4, 6];
const BYTES = { 4: 4, 6: 16 } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;

export interface DatagramSettings {
  /** File of clang. */
  object: string;
  sockets: number;
  addresses: number;
  ephemeral: PortRange;
  seed: number | undefined;
  /** Counters that tell that something is wrong with the programs, or with the network. */
  errors: readonly string[];
  /** Sockets hear of what they sent until their streams end, after they were closed. */
  lingers: boolean;
  /** Entries of maps of the transport's own, by their names. */
  entries: Readonly<Record<string, number>>;
}

interface Socket {
  place: BindPlace;
  /** Of the stream: its number may be another's by now. */
  life: number;
  lane: number;
  families: readonly Family[];
  /** What of the tables is its own. */
  keys: { family: Family; key: Uint8Array }[];
}

const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

/** `struct datagram_key4` and `struct datagram_key6`. */
function keyOf(family: Family, local: string, port: number, remote: Endpoint): Uint8Array {
  const bytes = BYTES[family];
  const key = new Uint8Array(bytes * 2 + 4);
  key.set(parseIp(remote.address));
  key.set(parseIp(local), bytes);
  const dv = new DataView(key.buffer);
  dv.setUint16(bytes * 2, remote.port);
  dv.setUint16(bytes * 2 + 2, port);
  return key;
}

export class DatagramControl implements LoadedDatagrams {
  readonly shared: DatagramShared;
  readonly #records: RecordTable;
  readonly #sockets = new Map<number, Socket>();
  /** Closed, and in the tables until their streams end. */
  readonly #leaving = new Set<Socket>();
  #lives = 0;
  readonly #ports: LocalPorts;
  readonly #lanes: Lanes;
  readonly #most: number;
  readonly #families: readonly Family[];
  #nextLane = 0;

  private constructor(
    readonly transport: DatagramTransport,
    readonly env: TransportEnv,
    readonly settings: DatagramSettings,
    readonly live: LiveObject,
  ) {
    this.shared = { sockets: live.records(`${transport.name}_sockets`) };
    checkSockets(transport.name, this.shared.sockets);
    this.#records = new RecordTable(env.engine.arena, this.shared.sockets);
    this.#families = FAMILIES.filter(family => this.#has(`${family}`));
    this.#most = this.#table(this.#families[0]).maxEntries - 1;
    this.#ports = new LocalPorts(settings.ephemeral, settings.seed);
    this.#lanes = new Lanes(env.engine);
    this.#lanes.fill(this.#map<CpuMap>('_lanes'), this.#program('_handover'));
  }

  /**
   * @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do, ERR_TRANSPORT_OBJECT for an object that lacks
   * what a transport of datagrams has; VerifierError
   */
  static async load(
    transport: DatagramTransport,
    env: TransportEnv,
    settings: DatagramSettings,
  ): Promise<DatagramControl> {
    const { name } = transport;
    const streams = env.engine.arena.header.streamCount;
    const plan = datagramPlan({ name, table: env.table, streams, ...settings });
    const live = await LiveObject.load(env, plan);
    try {
      return new DatagramControl(transport, env, settings, live);
    } catch (error) {
      // Types of its maps that are not as they must be.
      await live.close();
      throw error;
    }
  }

  get programs(): TransportPrograms {
    const maybe = (suffix: string): LoadedProgram | undefined =>
      this.live.collection.programs[this.transport.name + suffix]?.placed;
    return {
      ingress: this.#program('_ingress'),
      errors: maybe('_icmp'),
      gen: this.#program('_gen'),
      egress: maybe('_egress'),
    };
  }

  /** What the programs keep of each stream for themselves. An upgrade may bring another. */
  get #flows(): BpfMap | undefined {
    return this.#has('_flows') ? this.#map('_flows') : undefined;
  }

  #program(suffix: string): LoadedProgram {
    return this.live.program(this.transport.name + suffix).placed;
  }

  /** A map of the object by what follows the transport's name. */
  #map<M extends BpfMap>(suffix: string): M {
    return this.live.map<M>(this.transport.name + suffix);
  }

  #has(suffix: string): boolean {
    return Object.hasOwn(this.live.maps, this.transport.name + suffix);
  }

  #table(family: Family): KeyedMap<Uint8Array, number> {
    return this.#map(`${family}`);
  }

  own(address: string, on: boolean): void {
    const key = new Uint8Array(16);
    key.set(parseIp(address));
    const map = this.#map<KeyedMap<Uint8Array, number>>('_addresses');
    if (on) map.set(key, 1);
    else map.delete(key);
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────────────────────

  bind(wish: BindWish): BindPlace {
    const { address, app, ifindex, send, receive } = wish;
    this.#sweep();
    if (this.#sockets.size + this.#leaving.size >= this.#most)
      throw new EtherloomError('ERR_STACK_SOCKETS', `all ${this.#most} sockets are taken`, {
        expected: `${this.transport.name}({ sockets }) for more, and streams.count of the engine`,
      });
    const family = address !== undefined ? familyOf(address) : wish.family;
    const families = this.#families.filter(f => family === undefined || f === family);
    if (families.length === 0)
      throw new SocketError('EAFNOSUPPORT', `"${this.transport.name}" has no IPv${family}`, {
        expected: `IPv${this.#families[0]}`,
      });
    const port = wish.port || this.#freePort(address, families);
    if (this.#taken(address, port, families))
      throw new SocketError('EADDRINUSE', `${address ?? 'any address'} port ${port} is a socket's`, {
        expected: 'a port of its own',
      });
    const lane = wish.lane ?? this.#anyLane();
    if (!this.#lanes.lives(lane))
      throw new SocketError('ENETDOWN', `lane ${lane}, which is to have the socket, was given up`, {
        expected: 'a lane that lives: Engine.lostLanes names the others',
      });
    let id: number;
    try {
      id = this.env.apps.openId(app, { send, receive, lane, ifindex, transport: this.transport.protocol });
    } catch (cause) {
      throw new SocketError('ENOBUFS', `no stream for port ${port}: ${(cause as Error).message}`, { cause });
    }
    const place = { id, address, port };
    const life = lifeOf(this.env.engine.arena, id);
    const socket: Socket = { place, life, lane, families, keys: [] };
    this.#write(socket);
    this.#enter(socket, this.#boundKeys(socket));
    this.#sockets.set(id, socket);
    return place;
  }

  /** The lanes in turn: datagrams for a socket come in anywhere, and are handed to its lane. */
  #anyLane(): number {
    const { laneCount } = this.env.engine;
    for (let i = 0; i < laneCount; i++) {
      const lane = this.#nextLane++ % laneCount;
      if (this.#lanes.lives(lane)) return lane;
    }
    return 0;
  }

  #taken(address: string | undefined, port: number, families: readonly Family[]): boolean {
    for (const { place, families: theirs } of [...this.#sockets.values(), ...this.#leaving]) {
      if (place.port !== port || !theirs.some(f => families.includes(f))) continue;
      if (!place.address || !address || place.address === address) return true;
    }
    return false;
  }

  #freePort(address: string | undefined, families: readonly Family[]): number {
    const key = `bind ${address ?? ''}`;
    const port = this.#ports.choose(key, p => !this.#taken(address, p, families));
    if (port === undefined) throw new SocketError('EADDRINUSE', 'every ephemeral port is a socket’s');
    return port;
  }

  /** Nobody knows of the socket yet: all of its record is ours to write. */
  #write({ place, families }: Socket): void {
    const r = this.#records;
    const { id, address, port } = place;
    const { u8, dv } = this.env.engine.arena;
    u8.fill(0, r.records.at + id * r.records.stride, r.records.at + (id + 1) * r.records.stride);
    if (this.#flows) {
      const { dataAt, stride } = this.#flows;
      u8.fill(0, dataAt! + id * stride!, dataAt! + (id + 1) * stride!);
    }
    dv.setUint16(r.at(id, 'port'), port);
    if (address !== undefined) u8.set(parseIp(address), r.at(id, 'local'));
    if (families.length === 1) r.set(id, 'family', families[0] === 4 ? AF_INET : AF_INET6);
    if ('life' in r.records.fields) r.set(id, 'life', ++this.#lives);
    r.set(id, 'state', OPEN);
  }

  #boundKeys({ place, families }: Socket): Socket['keys'] {
    return families.map(family => ({
      family,
      key: keyOf(family, place.address ?? ANY[family], place.port, { address: ANY[family], port: 0 }),
    }));
  }

  /** Puts the socket into the tables by these keys, then takes it out by those that it had. */
  #enter(socket: Socket, keys: Socket['keys']): void {
    const entry = ((socket.lane << 24) | socket.place.id) >>> 0;
    for (const { family, key } of keys) this.#table(family).set(key, entry);
    const gone = socket.keys;
    socket.keys = keys;
    for (const k of gone) this.#table(k.family).delete(k.key);
  }

  #socket(id: number): Socket {
    const socket = this.#sockets.get(id);
    if (!socket) throw new EtherloomError('ERR_STACK_SOCKET', `stream ${id} is no socket`);
    return socket;
  }

  associate(id: number, local: string, remote: Endpoint): void {
    const socket = this.#socket(id);
    const family = familyOf(remote.address);
    if (!this.#families.includes(family))
      throw new SocketError('EAFNOSUPPORT', `"${this.transport.name}" has no IPv${family}`);
    this.#enter(socket, [{ family, key: keyOf(family, local, socket.place.port, remote) }]);
  }

  dissociate(id: number): void {
    const socket = this.#socket(id);
    this.#enter(socket, this.#boundKeys(socket));
  }

  unbind(id: number): void {
    const socket = this.#sockets.get(id);
    if (!socket) return;
    this.#sockets.delete(id);
    if (this.settings.lingers) this.#leaving.add(socket);
    else this.#enter(socket, []);
  }

  /** Sockets whose streams have ended leave the tables: their ports are free. */
  #sweep(): void {
    const { arena } = this.env.engine;
    for (const socket of this.#leaving) {
      const { id } = socket.place;
      if (laneOf(arena, id) === socket.lane && lifeOf(arena, id) === socket.life) continue;
      this.#leaving.delete(socket);
      this.#enter(socket, []);
    }
  }

  laneLost(lane: number): void {
    for (const [id, socket] of [...this.#sockets]) {
      if (socket.lane !== lane || laneOf(this.env.engine.arena, id) !== lane) continue;
      this.unbind(id);
      // The lane is no more: its words are ours.
      this.#records.set(id, 'state', FREE);
      this.#records.set(id, 'error', ERRNO.ENETDOWN);
      this.#records.add(id, 'errors', 1);
    }
  }

  // ── knowing and ending ────────────────────────────────────────────────────────────────────────────────────────

  counters(): Record<string, number> {
    return this.live.counters();
  }

  async close(): Promise<void> {
    for (const id of [...this.#sockets.keys()]) this.unbind(id);
    await this.live.close();
  }
}
