/**
 * The control plane of TCP: what eTran leaves to its micro kernel. It loads the programs and fills their maps: own
 * addresses, listeners, connections to be. Everything that happens to a segment is the programs' affair
 * (bpf-progs/transports/tcp/).
 *
 *   listen  ─▶ tcp_listeners, tcp_backlogs       connect ─▶ a stream, tcp_control[its number]       own ─▶ tcp_addresses
 */
import { fileURLToPath } from 'node:url';
import type { CpuMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import type { LoadedProgram } from '../../engine/program.js';
import { EtherloomError } from '../../errors.js';
import { parseIp } from '../../wire/address.js';
import type {
  ConnectWish,
  Endpoint,
  Family,
  ListenPlace,
  ListenWish,
  LoadedTransport,
  Made,
  Transport,
  TransportEnv,
} from '../contract.js';
import type { TransportPrograms } from '../entrance.js';
import { SocketError } from '../errno.js';
import { LocalPorts, type PortRange } from '../local_ports.js';
import { AF_INET, AF_INET6, laneOf, lifeOf, RecordTable } from '../records.js';
import { LiveObject } from '../upgrade/live_object.js';
import { fetchFlowsAhead } from './ahead.js';
import { Lanes } from './lanes.js';
import { applyOptions, type ConnectionOptions, checkCongestion, type OptionWords } from './options.js';
import { entryOf, Tuples } from './tuples.js';
import { type TcpShared, TcpView } from './view.js';

export const TCP_OBJECT = fileURLToPath(new URL('../../../bpf-progs/obj/tcp.bpf.o', import.meta.url));
export const TCP_PROTOCOL = 6;

/** Maps with an entry for each stream. */
const PER_STREAM = ['tcp_flows', 'tcp_boards', 'tcp_control', 'tcp_clocks', 'tcp4', 'tcp6'];
/** Counters that tell that something is wrong with the programs, or with the network: tcp_count. */
const ERRORS = [
  ...['InErrs', 'InCsumErrors', 'RetransSegs', 'TCPTimeouts', 'AttemptFails', 'EstabResets', 'OutRsts'],
  ...['TCPSACKDiscard', 'TCPAbortOnTimeout', 'TCPAbortOnData', 'NoRoute', 'TCPNoAlgorithm'],
];
/** Value of tcp_addresses: unknown ports are answered by a RST. */
const ADDRESS_RESET = 1;
/** Of a connection whose options do not say: TCP_DEFAULT in the programs. */
const RING_BYTES = 4 << 20;
/** What a ring begins with, as in the programs (size.h): of `asked` bytes, 0 = as by default. */
const firstRing = (asked: number): number => asked || 16_384;
const FAMILIES = [AF_INET, AF_INET6] as const;
/** Most connections that may wait at a listener. */
export const MAX_BACKLOG = 65535;
/** Names of `struct tcp_options` in that of a connection to be. */
const OPTION_FIELDS: Record<string, string> = {};

export interface TcpSettings {
  /** Listeners that there can be at a time. */
  listeners: number;
  /** Own addresses that there can be. */
  addresses: number;
  /** Connections in TIME_WAIT that are remembered; in a crowd the longest unused makes room. */
  timeWaits: number;
  /** What connections have whose options do not say. */
  defaults: OptionWords;
  ephemeral: PortRange;
  seed: number | undefined;
}

interface Slot {
  place: ListenPlace;
  words: OptionWords;
  app: number;
  laneApps: readonly number[];
}

export class TcpControl implements LoadedTransport<ConnectionOptions> {
  readonly shared: TcpShared;
  readonly #listeners = new Map<number, Slot>();
  /** Slots that nobody listens at, longest unused first. */
  readonly #idle: number[];
  /** Idle slots whose application died: connections that nobody took will not be taken. */
  readonly #abandoned = new Set<number>();
  readonly #backlogs: RecordTable;
  readonly #control: RecordTable;
  readonly #ports: LocalPorts;
  readonly #tuples: Tuples;
  readonly #lanes: Lanes;
  #endAhead: () => void;
  readonly #view: TcpView;

  private constructor(
    readonly transport: Transport<ConnectionOptions>,
    readonly env: TransportEnv,
    readonly settings: TcpSettings,
    readonly live: LiveObject,
  ) {
    const { arena } = env.engine;
    this.shared = {
      flows: live.records('tcp_flows'),
      control: live.records('tcp_control'),
      backlogs: live.records('tcp_backlogs'),
    };
    this.#backlogs = new RecordTable(arena, this.shared.backlogs);
    this.#control = new RecordTable(arena, this.shared.control);
    this.#idle = Array.from({ length: settings.listeners }, (_, i) => i);
    this.#ports = new LocalPorts(settings.ephemeral, settings.seed);
    this.#tuples = new Tuples(
      arena,
      // An upgrade may bring others.
      {
        open: family => this.#map(`tcp${family}`),
        late: () => this.#map('tcp_timewaits'),
      },
      () => env.engine.now(),
    );
    this.#lanes = new Lanes(env.engine);
    const ahead = (): (() => void) => fetchFlowsAhead(env.engine, name => live.map(name));
    this.#endAhead = ahead();
    live.onMoved(() => {
      this.#endAhead();
      this.#endAhead = ahead();
    });
    this.#view = new TcpView(arena, this.shared);
  }

  /** @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do; VerifierError */
  static async load(
    transport: Transport<ConnectionOptions>,
    env: TransportEnv,
    settings: TcpSettings,
  ): Promise<TcpControl> {
    const { engine } = env;
    const sizes: Record<string, number> = {
      tcp_listeners: settings.listeners * FAMILIES.length,
      tcp_backlogs: settings.listeners,
      tcp_addresses: settings.addresses,
      tcp_timewaits: settings.timeWaits,
    };
    for (const name of PER_STREAM) sizes[name] = engine.arena.header.streamCount;
    const live = await LiveObject.load(env, {
      ...{ name: transport.name, object: TCP_OBJECT, sizes },
      globals: { '.rodata': { tcp_table: env.table } },
      ...{ counters: 'tcp_counters', errors: ERRORS },
    });
    const control = new TcpControl(transport, env, settings, live);
    control.#lanes.fill(live.map<CpuMap>('tcp_lanes'), live.program('tcp_handover').placed);
    return control;
  }

  #map<K, V>(name: string): KeyedMap<K, V> {
    return this.live.map(name) as unknown as KeyedMap<K, V>;
  }

  get programs(): TransportPrograms {
    const placed = (name: string): LoadedProgram => this.live.program(name).placed;
    return {
      ingress: placed('tcp_ingress'),
      errors: placed('tcp_icmp'),
      gen: placed('tcp_gen'),
      egress: placed('tcp_egress'),
    };
  }

  own(address: string, on: boolean): void {
    const key = { address: wordsOf(parseIp(address)) };
    if (on) this.#map('tcp_addresses').set(key, ADDRESS_RESET);
    else this.#map('tcp_addresses').delete(key);
  }

  // ── listeners ─────────────────────────────────────────────────────────────────────────────────────────────────

  listen(wish: ListenWish<ConnectionOptions>): ListenPlace {
    const { address, family, app, backlog, laneApps = [] } = wish;
    const words = this.#wordsOf(wish.options);
    if (!Number.isInteger(backlog) || backlog < 0 || backlog > MAX_BACKLOG)
      throw new EtherloomError('ERR_STACK_OPTIONS', `backlog: ${backlog}`, {
        expected: `a whole number from 0 to ${MAX_BACKLOG}`,
      });
    const port = wish.port || this.#freePort(address, family);
    if (this.#listens(address, port, family))
      throw new SocketError('EADDRINUSE', `${address ?? 'any address'} port ${port} is listened at`, {
        expected: 'a port of its own',
      });
    const slot = this.#takeSlot();
    const place = { slot, address, family, port, backlog };
    const listener = { place, words, app, laneApps };
    try {
      this.#writeListener(listener);
    } catch (cause) {
      for (const key of listenerKeys(place)) this.#map('tcp_listeners').delete(key);
      this.#idle.push(slot);
      throw cause;
    }
    this.#listeners.set(slot, listener);
    return place;
  }

  #writeListener({ place, words, app, laneApps }: Slot): void {
    const { slot, backlog } = place;
    const value = { app, slot, backlog, pad: 0, opt: words, lane_app: laneApps };
    for (const key of listenerKeys(place)) this.#map('tcp_listeners').set(key, value);
  }

  setLaneApps(slot: number, laneApps: readonly number[]): void {
    const listener = this.#listeners.get(slot);
    if (!listener) return;
    listener.laneApps = laneApps;
    this.#writeListener(listener);
  }

  #wordsOf(options: ConnectionOptions): OptionWords {
    const words = applyOptions(this.settings.defaults, options);
    checkCongestion(this.env.engine.arena, options);
    return words;
  }

  #listens(address: string | undefined, port: number, family?: Family): boolean {
    const families = familiesOf({ address, family });
    for (const { place } of this.#listeners.values()) {
      if (place.port !== port || !familiesOf(place).some(f => families.includes(f))) continue;
      if (!place.address || !address || place.address === address) return true;
    }
    return false;
  }

  #freePort(address: string | undefined, family: Family | undefined): number {
    const key = `listen ${address ?? family ?? ''}`;
    const port = this.#ports.choose(key, p => !this.#listens(address, p, family));
    if (port === undefined) throw new SocketError('EADDRINUSE', 'every ephemeral port is listened at');
    return port;
  }

  /** A slot that nobody uses: handshakes and connections of its last listener may be under way still. */
  #takeSlot(): number {
    const count = (slot: number, field: string): number => this.#backlogs.word(slot, field);
    const i = this.#idle.findIndex(
      slot =>
        count(slot, 'opening') === 0 &&
        (this.#abandoned.has(slot) || count(slot, 'established') === count(slot, 'accepted')),
    );
    if (i < 0)
      throw new EtherloomError('ERR_STACK_LISTENERS', `all ${this.settings.listeners} listeners are taken`, {
        expected: 'tcp({ listeners }) for more',
      });
    const [slot] = this.#idle.splice(i, 1);
    if (this.#abandoned.delete(slot)) this.#backlogs.set(slot, 'accepted', count(slot, 'established'));
    return slot;
  }

  unlisten(slot: number, abandoned = false): void {
    const known = this.#listeners.get(slot);
    if (!known) return;
    for (const key of listenerKeys(known.place)) this.#map('tcp_listeners').delete(key);
    this.#listeners.delete(slot);
    this.#idle.push(slot);
    if (abandoned) this.#abandoned.add(slot);
  }

  // ── connections ───────────────────────────────────────────────────────────────────────────────────────────────

  connect(wish: ConnectWish<ConnectionOptions>): Made {
    const { app, local, remote, ifindex } = wish;
    const words = this.#wordsOf(wish.options);
    const from = { address: local.address, port: this.#localPort(local, remote, ifindex, wish.lane) };
    const { apps, engine } = this.env;
    const lane = wish.lane ?? this.#lanes.of(ifindex, from, remote);
    if (!this.#lanes.lives(lane))
      throw new SocketError('ENETDOWN', `lane ${lane}, which is to have the connection, was given up`, {
        expected: 'a lane that lives: Engine.lostLanes names the others',
      });
    let id: number;
    try {
      id = apps.openId(app, {
        ...{ send: words.snd_bytes || RING_BYTES, receive: words.rcv_bytes || RING_BYTES },
        first: { send: firstRing(words.snd_bytes), receive: firstRing(words.rcv_bytes) },
        ...{ lane, ifindex, transport: TCP_PROTOCOL },
      });
    } catch (cause) {
      const why = (cause as Error).message;
      throw new SocketError('ENOBUFS', `no stream for ${remote.address} port ${remote.port}: ${why}`, {
        cause,
      });
    }
    this.#write(id, from, remote, words, { app, ifindex, life: lifeOf(engine.arena, id) });
    this.#tuples.take(from, remote, id);
    return { id, local: from, remote };
  }

  /** @param lane which is to own the connection: its segments should come in there; undefined: any that lives */
  #localPort(local: Endpoint, remote: Endpoint, ifindex: number, lane: number | undefined): number {
    const free = (port: number): boolean =>
      !this.#listens(local.address, port) && !this.#tuples.taken({ address: local.address, port }, remote);
    if (local.port !== 0) {
      if (free(local.port)) return local.port;
      throw new SocketError(
        'EADDRINUSE',
        `${local.address} port ${local.port} to ${remote.address} port ${remote.port}`,
        {
          expected:
            'a port that no listener and no connection to the same place has, nor had in the last minute',
        },
      );
    }
    const near = (port: number): boolean =>
      free(port) && this.#lanes.suits(lane, ifindex, { address: local.address, port }, remote);
    const key = `${local.address} ${remote.address} ${remote.port}`;
    const port = this.#ports.choose(key, near) ?? this.#ports.choose(key, free);
    if (port === undefined)
      throw new SocketError(
        'EADDRNOTAVAIL',
        `all ${this.#ports.count} ports from ${local.address} to ${remote.address} port ${remote.port} are taken`,
        { expected: 'more own addresses, or a wider tcp({ ephemeral })' },
      );
    return port;
  }

  #write(
    id: number,
    local: Endpoint,
    remote: Endpoint,
    words: OptionWords,
    more: Record<string, number>,
  ): void {
    const c = this.#control;
    const { u8, dv } = this.env.engine.arena;
    u8.fill(0, c.records.at + id * c.records.stride, c.records.at + (id + 1) * c.records.stride);
    u8.set(parseIp(local.address), c.at(id, 'local'));
    u8.set(parseIp(remote.address), c.at(id, 'remote'));
    dv.setUint16(c.at(id, 'lport'), local.port);
    dv.setUint16(c.at(id, 'rport'), remote.port);
    c.set(id, 'family', familyOf(local.address));
    for (const name in more) c.set(id, name, more[name]);
    for (const name in words) c.set(id, (OPTION_FIELDS[name] ??= `opt.${name}`), words[name]);
  }

  laneLost(lane: number): void {
    const { engine } = this.env;
    for (let id = 1; id < engine.arena.header.streamCount; id++) {
      if (laneOf(engine.arena, id) !== lane) continue;
      if (!this.#view.over(id)) {
        // Its segments find nobody any more: other lanes, where they may come in, answer them by a RST.
        this.#tuples.drop(this.#view.local(id), this.#view.remote(id), entryOf(lane, id));
        if (this.#view.opening(id)) this.#backlogs.add(this.#view.listener(id), 'opening', -1);
      }
      this.#view.abandon(id);
    }
  }

  // ── knowing and ending ────────────────────────────────────────────────────────────────────────────────────────

  counters(): Record<string, number> {
    return this.live.counters();
  }

  async close(): Promise<void> {
    for (const slot of [...this.#listeners.keys()]) this.unlisten(slot);
    this.#endAhead();
    await this.live.close();
  }
}

const familyOf = (address: string): number => (address.includes(':') ? AF_INET6 : AF_INET);

/** An address as four words of memory, IPv4 in the first. */
function wordsOf(bytes: Uint8Array): number[] {
  const dv = new DataView(new ArrayBuffer(16));
  for (const [i, b] of bytes.entries()) dv.setUint8(i, b);
  return [0, 4, 8, 12].map(at => dv.getUint32(at, true));
}

const swap16 = (n: number): number => ((n & 255) << 8) | (n >> 8);

/** Families of the connections that come to such a place. */
function familiesOf({ address, family }: Pick<ListenPlace, 'address' | 'family'>): readonly number[] {
  if (address !== undefined) return [familyOf(address)];
  return family === undefined ? FAMILIES : [family === 4 ? AF_INET : AF_INET6];
}

/** Keys of tcp_listeners: an address has one, "any" one for each family. */
function listenerKeys(place: ListenPlace): object[] {
  const words = place.address === undefined ? [0, 0, 0, 0] : wordsOf(parseIp(place.address));
  return familiesOf(place).map(family => ({ address: words, port: swap16(place.port), family }));
}
