/**
 * A network to simulate: hosts under switches, in one engine. Links are the model NIC's, with a queue set for each output
 * of a switch; switches are instances of bpf-progs/filters/switch/. In virtual time every run of it is the same.
 *
 *   h0 ══ up ══▶ ┐                         ┌ ◀══ up ══ h20
 *    …           ├─ switch 0 ══ core ══ switch 1        …         more than two racks: over one switch in the middle
 *   h19 ◀═ down ═┘   (8 priorities per output)  └ ═ down ▶ h39
 */
import { fileURLToPath } from 'node:url';
import { Collection } from '../bpf/collection.js';
import type { DevHashMap, KeyedMap } from '../bpf/maps/index.js';
import { openObject } from '../bpf/open.js';
import type { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import { MAX_PORTS } from '../layout/layout.gen.js';
import { type LinkSettings, type LinkStats, type ModelEnd, modelLink } from '../nic/index.js';
import { formatMac } from '../wire/address.js';
import { type Hop, unloadedNs } from './path.js';

export const SWITCH_OBJECT = fileURLToPath(new URL('../../bpf-progs/obj/switch.bpf.o', import.meta.url));
const PROGRAM = 'l2_switch';
/** A probability as links have it: × 2^32. */
const CERTAIN = 0xffffffff;

/** A link that has a rate. */
export type WireSettings = LinkSettings & { rate: number };

export interface NetworkOptions {
  /** Default 1. */
  racks?: number;
  /** Default 8. */
  hostsPerRack?: number;
  /** From a host to its switch. Default 10 Gbit/s, 500 ns. */
  up?: Partial<LinkSettings>;
  /** From a switch to its host. Default: rate and delay of `up`, 8 priorities. */
  down?: Partial<LinkSettings>;
  /** Between switches, both ways. Default: what the hosts of a rack can send together, 8 priorities, delay of `up`. */
  core?: Partial<LinkSettings>;
  /** Same seed, same traffic: same outcome. Default 1. */
  seed?: number;
  /** Default 1500. */
  mtu?: number;
  /** Entries of each ring. Default: the engine's. */
  ringSlots?: number;
}

export interface NetworkHost {
  /** 0 … */
  readonly index: number;
  readonly rack: number;
  /** Of its NIC, which is its port's: `h0` … */
  readonly name: string;
  /** 10.0.RACK.NUMBER, all in 10.0.0.0/16. */
  readonly address: string;
  /** fd00::RACK:NUMBER in fd00::/64. */
  readonly address6: string;
  readonly nic: ModelEnd;
  /** Its switch's end of the line. */
  readonly behind: ModelEnd;
}

interface Switch {
  readonly name: string;
  readonly ends: ModelEnd[];
  /** Ends, by the hosts that are reached there; the others are reached by the last end, if there is one. */
  readonly hosts: Map<ModelEnd, NetworkHost[]>;
}

export interface NetworkStats {
  /** Outputs of switches towards hosts, by host. */
  down: LinkStats[];
  /** Outputs of hosts, by host. */
  up: LinkStats[];
  /** Between switches, both ways of each line one after the other. */
  core: LinkStats[];
}

const UP: WireSettings = { rate: 10e9, delayNs: 500 };

function count(n: number, what: string, most: number): number {
  if (Number.isInteger(n) && n >= 1 && n <= most) return n;
  throw new EtherloomError('ERR_NETWORK_OPTIONS', `${what} ${n}`, {
    expected: `a whole number from 1 to ${most}`,
  });
}

/** Hosts, lines and switches; `nics` go to `Engine.create`, then `install`. */
export class Network {
  readonly hosts: readonly NetworkHost[];
  /** Everything that the engine has to open, hosts first. */
  readonly nics: readonly ModelEnd[];
  readonly up: WireSettings;
  readonly down: WireSettings;
  readonly core: WireSettings;
  readonly #switches: readonly Switch[];
  readonly #cores: readonly { a: ModelEnd; b: ModelEnd }[];

  /** @throws EtherloomError ERR_NETWORK_OPTIONS */
  constructor(options: NetworkOptions = {}) {
    const racks = count(options.racks ?? 1, 'racks', 100);
    const perRack = count(options.hostsPerRack ?? 8, 'hostsPerRack', 250);
    const lines = racks * perRack + (racks > 2 ? racks : racks - 1);
    // Each line has two ends, and port 0 is none.
    if (2 * lines >= MAX_PORTS)
      throw new EtherloomError('ERR_NETWORK_OPTIONS', `${lines} lines`, {
        expected: `at most ${(MAX_PORTS - 1) >> 1}: an engine has ${MAX_PORTS - 1} ports`,
      });
    this.up = { ...UP, ...options.up };
    const { rate, delayNs } = this.up;
    this.down = { rate, delayNs, priorities: 8, ...options.down };
    this.core = { rate: rate * perRack, delayNs, priorities: 8, ...options.core };
    const { mtu, ringSlots, seed = 1 } = options;
    const shape = { ...(mtu && { mtu }), ...(ringSlots && { ringSlots }), queues: 1 };
    const switches: Switch[] = Array.from({ length: racks }, (_, rack) => ({
      name: `switch ${rack}`,
      ends: [],
      hosts: new Map(),
    }));
    const hosts: NetworkHost[] = [];
    for (let index = 0; index < racks * perRack; index++) {
      const rack = Math.floor(index / perRack);
      const number = (index % perRack) + 1;
      const name = `h${index}`;
      const { a, b } = modelLink({
        ...shape,
        names: [name, `${name} at switch ${rack}`],
        seed: seed * 1009 + index,
        aToB: this.up,
        bToA: this.down,
      });
      hosts.push({
        index,
        rack,
        name,
        address: `10.0.${rack}.${number}`,
        address6: `fd00::${rack.toString(16)}:${number.toString(16)}`,
        nic: a,
        behind: b,
      });
      switches[rack].ends.push(b);
      switches[rack].hosts.set(b, [hosts[index]]);
    }
    const cores: { a: ModelEnd; b: ModelEnd }[] = [];
    const join = (x: Switch, y: Switch, beyondX: NetworkHost[], beyondY: NetworkHost[]): void => {
      const { a, b } = modelLink({
        ...shape,
        names: [`${x.name} to ${y.name}`, `${y.name} to ${x.name}`],
        seed: seed * 1009 + hosts.length + cores.length,
        aToB: this.core,
        bToA: this.core,
      });
      x.ends.push(a);
      y.ends.push(b);
      x.hosts.set(a, beyondX);
      y.hosts.set(b, beyondY);
      cores.push({ a, b });
    };
    const inRack = (rack: number): NetworkHost[] => hosts.filter(h => h.rack === rack);
    const elsewhere = (rack: number): NetworkHost[] => hosts.filter(h => h.rack !== rack);
    if (racks === 2) join(switches[0], switches[1], inRack(1), inRack(0));
    if (racks > 2) {
      const middle: Switch = { name: 'core', ends: [], hosts: new Map() };
      for (let rack = 0; rack < racks; rack++) join(switches[rack], middle, elsewhere(rack), inRack(rack));
      switches.push(middle);
    }
    this.hosts = hosts;
    this.#switches = switches;
    this.#cores = cores;
    this.nics = [...hosts.map(h => h.nic), ...switches.flatMap(s => s.ends)];
  }

  /**
   * Loads a program for every switch, tells it where the hosts are, and attaches it. Before or after the engine's start.
   * @throws EtherloomError of loading and attaching; ERR_PORT_UNKNOWN when the engine has not these NICs
   */
  async install(engine: Engine): Promise<void> {
    const spec = openObject(SWITCH_OBJECT);
    for (const { ends, hosts } of this.#switches) {
      const collection = await Collection.load(spec, engine, { programs: [PROGRAM] });
      const ports = collection.map<DevHashMap>('ports');
      const stations = collection.map<KeyedMap>('stations');
      for (const end of ends) {
        const { ifindex } = engine.port(end.name);
        ports.set(ifindex, { ifindex });
        for (const host of hosts.get(end)!) {
          const key = new Uint8Array(8);
          key.set(engine.port(host.name).mac);
          stations.set(key, new Uint8Array(Uint32Array.of(ifindex).buffer));
        }
        engine.attach(collection.program(PROGRAM).placed, end.name);
      }
    }
  }

  /** Ethernet addresses of the hosts, for who does not want to ask: `{ address, mac }` of both families. */
  neighbours(engine: Engine): { address: string; mac: string }[] {
    return this.hosts.flatMap(({ name, address, address6 }) => {
      const mac = formatMac(engine.port(name).mac);
      return [
        { address, mac },
        { address: address6, mac },
      ];
    });
  }

  /** The links from one host to another. */
  path(from: NetworkHost, to: NetworkHost): Hop[] {
    const hop = ({ rate, delayNs = 0 }: WireSettings): Hop => ({ rate, delayNs });
    const cores = from.rack === to.rack ? 0 : this.#switches.length > 2 ? 2 : 1;
    return [hop(this.up), ...Array.from({ length: cores }, () => hop(this.core)), hop(this.down)];
  }

  /** Time of frames of these lengths from one host to another when nobody else sends, ns: see unloadedNs. */
  unloadedNs(from: NetworkHost, to: NetworkHost, frames: Iterable<number>): number {
    return unloadedNs(this.path(from, to), frames);
  }

  /**
   * From now on nothing comes or goes on a host's line: its switch and the host are told nothing of it. What is under way
   * arrives still. For good; an engine with worker lanes may take some packets more.
   */
  cut(host: NetworkHost): void {
    for (const link of [...host.nic.links, ...host.behind.links]) link.loss = CERTAIN;
  }

  /** What all links did so far. */
  stats(): NetworkStats {
    return {
      down: this.hosts.map(h => h.nic.stats),
      up: this.hosts.map(h => h.behind.stats),
      core: this.#cores.flatMap(({ a, b }) => [b.stats, a.stats]),
    };
  }
}
