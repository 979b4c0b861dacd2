/**
 * A responder: what a port answers by itself. The answers are assembly/responder/, in the lanes; here is what it has to
 * answer for, published as one immutable structure, and the little that happens without a packet.
 */
import { EventEmitter } from 'node:events';
import { EtherloomError } from '../errors.js';
import {
  AddressState,
  OwnAddressLayout,
  OwnAddressView,
  PortLayout,
  ResponderCount,
  ResponderFlag,
  ResponderLaneLayout,
  ResponderLaneView,
  ResponderLayout,
  ResponderView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import type { Retired } from '../mem/retired.js';
import type { Port } from '../nic/port.js';
import { formatIp } from '../wire/address.js';
import { type AddressOptions, PortAddress } from './address.js';
import type { NeighbourOptions } from './neighbours.js';

export interface ResponderOptions extends NeighbourOptions {
  /** Addresses of the port: `10.0.0.1/24`, `fd00::1/64`, or with VLAN and duplicate detection. */
  addresses: readonly (string | AddressOptions)[];
  /** Answer ARP, and learn from it. Default true. */
  arp?: boolean;
  /** Answer neighbour solicitations, and learn. Default true. */
  nd?: boolean;
  /** Answer echo requests. Default true. */
  echo?: boolean;
  /** Say "unreachable" to packets that nobody takes: for ports without an application. Default false. */
  unreachable?: boolean;
  /** ICMP errors per second and lane, and how many at once. Default 100 and 10. */
  errorRate?: { perSecond?: number; burst?: number };
  /** Advertise the port as a router. Default false. */
  router?: boolean;
  /** Tell everybody of an address once it is ours. Default true. */
  announce?: boolean;
  /** Give a port with an IPv6 address a link-local one, made of its hardware address. Default true. */
  linkLocal?: boolean;
  /** Add routes to the networks of its addresses, and to the addresses themselves. Default true. */
  routes?: boolean;
}

export interface AddressStatus {
  address: string;
  bits: number;
  vlan: number;
  state: 'tentative' | 'preferred' | 'duplicate';
}

export type ResponderCounters = Record<
  | 'arpAnswered'
  | 'ndAnswered'
  | 'echoAnswered'
  | 'unreachableSent'
  | 'rateLimited'
  | 'learned'
  | 'solicited'
  | 'conflicts'
  | 'refused',
  number
>;

export interface Conflict {
  port: string;
  address: string;
  /** The address is not used: it was still tentative. */
  duplicate: boolean;
}

/** `conflict`: another station uses an address. `ready`: every address is ours or given up. */
export interface ResponderEvents {
  conflict: [Conflict];
  ready: [];
}

/** The part of the engine's routes that is needed here. */
export interface RouteTable {
  add(route: { prefix: string; port: number; type?: 'local'; table?: number; metric?: number }): void;
  delete(route: { prefix: string; table?: number; metric?: number }): boolean;
  batch(change: () => void): void;
}

/** What a responder is made with. */
export interface ResponderEnv {
  core: Core;
  routes: RouteTable;
  retired: Retired;
  now(): bigint;
  closed(): void;
}

const AF_INET = 2;
const AF_INET6 = 10;
const TABLE_LOCAL = 255;
/** Of routes to networks of the port: the kernel's for IPv6. A route that somebody gave without metric wins. */
const CONNECTED_METRIC = 256;
const STATES = ['tentative', 'preferred', 'duplicate'] as const;
const camel = (name: string): string => name.toLowerCase().replace(/_(\w)/g, (_, c) => c.toUpperCase());

/** fe80:: and the modified EUI-64 of a hardware address (RFC 4291 appendix A). */
export function linkLocalOf(mac: Uint8Array): string {
  const [a, b, c, d, e, f] = mac;
  const bytes = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
  return `${formatIp(bytes)}/64`;
}

export class Responder extends EventEmitter<ResponderEvents> {
  readonly #arena: Arena;
  readonly #env: ResponderEnv;
  readonly #lanesAt: number;
  #addresses: PortAddress[] = [];
  /** Those of them that were made of the hardware address, and that address. */
  readonly #derived = new Set<PortAddress>();
  #mac: Uint8Array;
  /** Blocks of what is published now, and in it the address of each OwnAddress. */
  #blocks: number[] = [];
  #places: number[] = [];
  /** Conflicts of each place that were dealt with. */
  #seen: number[] = [];
  #closed = false;

  /** @throws EtherloomError ERR_ADDRESS, ERR_RESPONDER, ERR_ARENA_FULL */
  constructor(
    readonly port: Port,
    readonly options: ResponderOptions,
    env: ResponderEnv,
  ) {
    super();
    this.#arena = port.arena;
    this.#env = env;
    const { perSecond = 100, burst = 10 } = options.errorRate ?? {};
    if (!(perSecond > 0 && perSecond <= 1e9) || !Number.isInteger(burst) || burst < 1 || burst > 1e6)
      throw new EtherloomError('ERR_RESPONDER', `errors: ${perSecond} per second, ${burst} at once`, {
        expected: 'above 0 per second, a whole number of at least 1 at once',
      });
    this.#mac = port.mac;
    const wanted = options.addresses.map(a => (typeof a === 'string' ? { address: a } : a));
    const made = wanted.map(a => new PortAddress(a, port.mac));
    if ((options.linkLocal ?? true) && made.some(a => !a.v4))
      for (const vlan of new Set(made.filter(a => !a.v4).map(a => a.vlan)))
        if (!made.some(a => a.vlan === vlan && a.bytes[0] === 0xfe && (a.bytes[1] & 0xc0) === 0x80)) {
          // As its port's others: who does not wait for those need not wait for this one.
          const dad = made.some(a => !a.v4 && a.vlan === vlan && a.state === AddressState.TENTATIVE);
          made.push(this.#derive(vlan, dad));
        }
    const { laneCount } = this.#arena.header;
    this.#lanesAt = this.#arena.scratch.alloc(ResponderLaneLayout.size * (laneCount + 1), 64);
    this.#arena.u8.fill(0, this.#lanesAt, this.#lanesAt + ResponderLaneLayout.size * (laneCount + 1));
    for (const a of made) this.#insert(a);
    this.#publish();
    this.#connect([]);
  }

  /** The link-local address of the port as it is now. */
  #derive(vlan: number, dad: boolean): PortAddress {
    const address = new PortAddress({ address: linkLocalOf(this.#mac), vlan, dad }, this.#mac);
    this.#derived.add(address);
    return address;
  }

  /** The interface was made again, or given another hardware address: neighbours have to hear of it. */
  #move(mac: Uint8Array, now: bigint): void {
    this.#mac = mac;
    const announce = this.options.announce ?? true;
    const before = this.#addresses;
    this.#addresses = before.map(a => {
      if (!this.#derived.delete(a)) {
        if (announce) a.again(now);
        return a;
      }
      const next = this.#derive(a.vlan, a.options.dad ?? false);
      next.start(now, announce);
      return next;
    });
    this.#publish();
    this.#connect(before);
  }

  #insert(a: PortAddress): void {
    if (this.#addresses.some(b => b.text === a.text && b.vlan === a.vlan))
      throw new EtherloomError('ERR_RESPONDER', `${a.text} stands twice on ${this.port.name}`, {
        expected: 'each address once',
      });
    a.start(this.#env.now(), this.options.announce ?? true);
    this.#addresses.push(a);
  }

  /** Gives the port one more address. @throws EtherloomError ERR_ADDRESS, ERR_RESPONDER */
  add(address: string | AddressOptions): void {
    const before = this.#addresses.slice();
    this.#insert(new PortAddress(typeof address === 'string' ? { address } : address, this.port.mac));
    this.#publish();
    this.#connect(before);
  }

  /** Takes an address from the port; whether it was there. */
  remove(address: string, vlan = 0): boolean {
    const before = this.#addresses;
    const text = new PortAddress({ address, dad: false }, this.port.mac).text;
    this.#addresses = this.#addresses.filter(a => a.text !== text || a.vlan !== vlan);
    if (this.#addresses.length === before.length) return false;
    this.#publish();
    this.#connect(before);
    return true;
  }

  /** Routes as the kernel makes them: the network of an address is on the link, the address itself is here. */
  #connect(before: readonly PortAddress[]): void {
    if (!(this.options.routes ?? true)) return;
    const port = this.port.ifindex;
    const routed = (list: readonly PortAddress[]) =>
      list
        .filter(a => a.vlan === 0)
        .flatMap(a => [
          { prefix: `${a.text}/${a.bits}`, port, metric: CONNECTED_METRIC },
          { prefix: a.text, port, type: 'local' as const, table: TABLE_LOCAL, metric: 0 },
        ]);
    this.#env.routes.batch(() => {
      for (const route of routed(before)) this.#env.routes.delete(route);
      for (const route of this.#closed ? [] : routed(this.#addresses)) this.#env.routes.add(route);
    });
  }

  get addresses(): AddressStatus[] {
    return this.#addresses.map(a => ({
      address: a.text,
      bits: a.bits,
      vlan: a.vlan,
      state: STATES[a.state],
    }));
  }

  /** Whether no address is being asked for any more. */
  get ready(): boolean {
    return this.#addresses.every(a => a.state !== AddressState.TENTATIVE);
  }

  /** What all lanes and the host counted. */
  get counters(): ResponderCounters {
    const { laneCount } = this.#arena.header;
    const out: Record<string, number> = {};
    for (const [name, i] of Object.entries(ResponderCount)) {
      let n = 0;
      for (let lane = 0; lane <= laneCount; lane++)
        n += Number(
          new ResponderLaneView(this.#arena.dv, this.#lanesAt + lane * ResponderLaneLayout.size).count(i),
        );
      out[camel(name)] = n;
    }
    return out as ResponderCounters;
  }

  get #flags(): number {
    const { arp = true, nd = true, echo = true, unreachable = false, router = false } = this.options;
    const bit = (on: boolean, flag: number): number => (on ? flag : 0);
    return (
      bit(arp, ResponderFlag.ARP) |
      bit(nd, ResponderFlag.ND) |
      bit(echo, ResponderFlag.ECHO) |
      bit(unreachable, ResponderFlag.UNREACHABLE) |
      bit(router, ResponderFlag.ROUTER)
    );
  }

  #publish(): void {
    const arena = this.#arena;
    this.#env.retired.collect();
    const count = this.#addresses.length;
    const at = arena.scratch.alloc(ResponderLayout.size, 64);
    const addressesAt = arena.scratch.alloc(Math.max(1, count) * OwnAddressLayout.size, 64);
    arena.u8.fill(0, at, at + ResponderLayout.size);
    arena.u8.fill(0, addressesAt, addressesAt + Math.max(1, count) * OwnAddressLayout.size);
    const { perSecond = 100, burst = 10 } = this.options.errorRate ?? {};
    const errorNs = BigInt(Math.round(1e9 / perSecond));
    Object.assign(new ResponderView(arena.dv, at), {
      flags: this.#flags,
      count,
      addressesAt,
      lanesAt: this.#lanesAt,
      errorNs,
      burstNs: errorNs * BigInt(burst),
    });
    this.#places = this.#addresses.map((a, i) => {
      const place = addressesAt + i * OwnAddressLayout.size;
      Object.assign(new OwnAddressView(arena.dv, place), {
        family: a.v4 ? AF_INET : AF_INET6,
        vlan: a.vlan,
        bits: a.bits,
        broadcast: a.broadcast,
        state: a.state,
      });
      arena.u8.set(a.bytes, place + OwnAddressLayout.address);
      return place;
    });
    this.#seen = this.#places.map(() => 0);
    Atomics.store(arena.u32, (this.port.at + PortLayout.responderAt) >> 2, at);
    this.#env.retired.add(this.#blocks);
    this.#blocks = [at, addressesAt];
    this.#env.retired.collect();
  }

  /** Probes, announces and defends what is due. @internal Called by Responders. */
  poll(now: bigint): void {
    if (this.#closed) return;
    const arena = this.#arena;
    const x = this.#env.core.exports;
    const { mac } = this.port;
    if (mac.some((byte, i) => byte !== this.#mac[i])) this.#move(mac, now);
    const before = this.ready;
    for (const [i, a] of this.#addresses.entries()) {
      const place = this.#places[i];
      const conflicts = Atomics.load(arena.u32, (place + OwnAddressLayout.conflicts) >> 2);
      let changed = false;
      if (conflicts !== this.#seen[i]) {
        this.#seen[i] = conflicts;
        changed = a.conflict(now);
        const duplicate = a.state === AddressState.DUPLICATE;
        queueMicrotask(() => this.emit('conflict', { port: this.port.name, address: a.text, duplicate }));
      }
      const wire = {
        probe: () => Boolean(x.responder_probe(this.port.ifindex, place)),
        announce: () => Boolean(x.responder_announce(this.port.ifindex, place)),
      };
      if (a.poll(now, wire) || changed)
        Atomics.store(arena.u32, (place + OwnAddressLayout.state) >> 2, a.state);
    }
    if (!before && this.ready) queueMicrotask(() => this.emit('ready'));
  }

  /** When a probe or announcement falls due, ns. */
  nextDueNs(): bigint | undefined {
    let next: bigint | undefined;
    for (const { dueNs } of this.#closed ? [] : this.#addresses)
      if (dueNs !== undefined && (next === undefined || dueNs < next)) next = dueNs;
    return next;
  }

  /** From the next burst on every packet that passes goes to the host. What was learned on the port is forgotten. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connect(this.#addresses);
    Atomics.store(this.#arena.u32, (this.port.at + PortLayout.responderAt) >> 2, 0);
    this.#env.core.exports.neighbours_forget(this.port.ifindex);
    this.#env.retired.add([...this.#blocks, this.#lanesAt]);
    this.#env.retired.collect();
    this.#env.closed();
  }
}
