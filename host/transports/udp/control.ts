/**
 * The control plane of UDP: it loads the programs and fills their maps. Sockets are made, connected and taken away here;
 * what happens to a datagram is the programs' affair (bpf-progs/transports/udp/), which only read the tables.
 *
 *   bind ─▶ a stream, udp_sockets[its number], udp4 and udp6        associate ─▶ the same tables        own ─▶ udp_addresses
 */
import { fileURLToPath } from 'node:url';
import type { CpuMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import type { LoadedProgram } from '../../engine/program.js';
import { EtherloomError } from '../../errors.js';
import { parseIp } from '../../wire/address.js';
import type { Endpoint, Family, TransportEnv } from '../contract.js';
import type { BindPlace, BindWish, DatagramTransport, LoadedDatagrams } from '../datagrams.js';
import type { TransportPrograms } from '../entrance.js';
import { ERRNO, SocketError } from '../errno.js';
import { LocalPorts, type PortRange } from '../local_ports.js';
import { AF_INET, AF_INET6, laneOf, RecordTable, recordsOf } from '../records.js';
import { Lanes } from '../tcp/lanes.js';
import { LiveObject } from '../upgrade/live_object.js';
import type { UdpShared } from './view.js';

export const UDP_OBJECT = fileURLToPath(new URL('../../../bpf-progs/obj/udp.bpf.o', import.meta.url));
export const UDP_PROTOCOL = 17;

/** Maps with an entry for each stream. */
const PER_STREAM = ['udp_sockets', 'udp_clocks'];
/** Counters that tell that something is wrong with the programs, or with the network: udp_count. */
const ERRORS = ['InErrors', 'InCsumErrors', 'SndbufErrors', 'NoPorts', 'OutTooLong', 'OutNoRoutes'];
/** enum udp_state. */
const UDP_FREE = 0;
const UDP_OPEN = 1;
const FAMILIES: readonly Family[] = [4, 6];
const BYTES = { 4: 4, 6: 16 } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;

export interface UdpSettings {
  sockets: number;
  addresses: number;
  ephemeral: PortRange;
  seed: number | undefined;
}

interface Socket {
  place: BindPlace;
  lane: number;
  families: readonly Family[];
  /** What of the tables is its own. */
  keys: { family: Family; key: Uint8Array }[];
}

const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

/** `struct udp_key4` and `struct udp_key6`. */
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

export class UdpControl implements LoadedDatagrams {
  readonly shared: UdpShared;
  readonly #records: RecordTable;
  readonly #sockets = new Map<number, Socket>();
  readonly #ports: LocalPorts;
  readonly #lanes: Lanes;
  readonly #most: number;
  #nextLane = 0;

  private constructor(
    readonly transport: DatagramTransport,
    readonly env: TransportEnv,
    readonly settings: UdpSettings,
    readonly live: LiveObject,
  ) {
    this.shared = { sockets: recordsOf(live.maps.udp_sockets) };
    this.#records = new RecordTable(env.engine.arena, this.shared.sockets);
    this.#most = live.maps.udp4.maxEntries - 1;
    this.#ports = new LocalPorts(settings.ephemeral, settings.seed);
    this.#lanes = new Lanes(env.engine);
    this.#lanes.fill(live.map<CpuMap>('udp_lanes'), live.program('udp_handover').placed);
  }

  /** @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do; VerifierError */
  static async load(
    transport: DatagramTransport,
    env: TransportEnv,
    settings: UdpSettings,
  ): Promise<UdpControl> {
    const { engine } = env;
    const streams = engine.arena.header.streamCount;
    const sockets = Math.min(settings.sockets, streams);
    // One more: a socket that gets connected has two entries for a moment.
    const sizes: Record<string, number> = {
      ...{ udp_addresses: settings.addresses, udp4: sockets + 1, udp6: sockets + 1 },
    };
    for (const name of PER_STREAM) sizes[name] = streams;
    const live = await LiveObject.load(env, {
      ...{ name: transport.name, object: UDP_OBJECT, sizes },
      globals: { '.rodata': { udp_table: env.table } },
      ...{ counters: 'udp_counters', errors: ERRORS },
    });
    return new UdpControl(transport, env, settings, live);
  }

  get programs(): TransportPrograms {
    const placed = (name: string): LoadedProgram => this.live.program(name).placed;
    return { ingress: placed('udp_ingress'), errors: placed('udp_icmp'), gen: placed('udp_gen') };
  }

  #map<K, V>(name: string): KeyedMap<K, V> {
    return this.live.map(name) as unknown as KeyedMap<K, V>;
  }

  #table(family: Family): KeyedMap<Uint8Array, number> {
    return this.#map(`udp${family}`);
  }

  own(address: string, on: boolean): void {
    const key = new Uint8Array(16);
    key.set(parseIp(address));
    const map = this.#map<Uint8Array, number>('udp_addresses');
    if (on) map.set(key, 1);
    else map.delete(key);
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────────────────────

  bind(wish: BindWish): BindPlace {
    const { address, app, ifindex, send, receive } = wish;
    if (this.#sockets.size >= this.#most)
      throw new EtherloomError('ERR_UDP_SOCKETS', `all ${this.#most} sockets are taken`, {
        expected: 'udp({ sockets }) for more, and streams.count of the engine',
      });
    const families =
      address !== undefined ? [familyOf(address)] : wish.family === undefined ? FAMILIES : [wish.family];
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
      id = this.env.apps.openId(app, { send, receive, lane, ifindex, transport: UDP_PROTOCOL });
    } catch (cause) {
      throw new SocketError('ENOBUFS', `no stream for port ${port}: ${(cause as Error).message}`, { cause });
    }
    const place = { id, address, port };
    const socket: Socket = { place, lane, families, keys: [] };
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
    for (const { place, families: theirs } of this.#sockets.values()) {
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
    dv.setUint16(r.at(id, 'port'), port);
    if (address !== undefined) u8.set(parseIp(address), r.at(id, 'local'));
    if (families.length === 1) r.set(id, 'family', families[0] === 4 ? AF_INET : AF_INET6);
    r.set(id, 'state', UDP_OPEN);
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
    if (!socket) throw new EtherloomError('ERR_UDP_SOCKET', `stream ${id} is no socket`);
    return socket;
  }

  associate(id: number, local: string, remote: Endpoint): void {
    const socket = this.#socket(id);
    const family = familyOf(remote.address);
    this.#enter(socket, [{ family, key: keyOf(family, local, socket.place.port, remote) }]);
  }

  dissociate(id: number): void {
    const socket = this.#socket(id);
    this.#enter(socket, this.#boundKeys(socket));
  }

  unbind(id: number): void {
    const socket = this.#sockets.get(id);
    if (!socket) return;
    for (const { family, key } of socket.keys) this.#table(family).delete(key);
    this.#sockets.delete(id);
  }

  laneLost(lane: number): void {
    for (const [id, socket] of [...this.#sockets]) {
      if (socket.lane !== lane || laneOf(this.env.engine.arena, id) !== lane) continue;
      this.unbind(id);
      // The lane is no more: its words are ours.
      this.#records.set(id, 'state', UDP_FREE);
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
