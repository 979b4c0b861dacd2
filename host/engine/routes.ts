/**
 * Routes and neighbours of the engine, which bpf_fib_lookup and bpf_redirect_neigh read (assembly/bpf/helpers/fib.ts).
 * Every change builds a new immutable Fib in the arena and publishes it by one store; the old one is freed when
 * each running lane has passed a burst boundary, so that lanes need no lock. Changes of many routes: `batch`.
 */
import { EtherloomError } from '../errors.js';
import {
  ARENA_HEADER_AT,
  ArenaHeaderLayout,
  FibLayout,
  FibRouteLayout,
  FibRouteView,
  FibTableLayout,
  FibTableView,
  FibView,
  MAX_PORTS,
  NeighbourLayout,
  NeighbourView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { Retired } from '../mem/retired.js';
import { formatIp, formatMac, parseIp, parseMac, parsePrefix } from '../wire/address.js';

/** RTN_* of the kernel. */
const TYPES = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8, throw: 9 } as const;
export type RouteType = keyof typeof TYPES;

export const TABLE_MAIN = 254;
const AF_INET = 2;
const AF_INET6 = 10;
/** Least and most that an MTU can be: RFC 791, and the length of an IP packet. */
const LEAST_MTU = 68;
const MOST_MTU = 65535;

export interface Route {
  /** `10.0.0.0/8`, `fd00::/64`; without length a host route. */
  prefix: string;
  /** Ifindex it leaves by. Not needed for blackhole, unreachable, prohibit and throw. */
  port?: number;
  /** Next hop, of either family; none: the destination is on the link. */
  via?: string;
  /** Default unicast. */
  type?: RouteType;
  /** Default TABLE_MAIN (254). Lookups without a table look in local (255), then in main. */
  table?: number;
  /** Lower wins among routes of one prefix. Default 0. */
  metric?: number;
  /** Largest IP packet, bytes. Default: the port's MTU. */
  mtu?: number;
  /** Preferred source address. */
  source?: string;
}

export interface NeighbourEntry {
  port: number;
  address: string;
  mac: string;
}

/** A route as it is kept: parsed, with its first and last address. */
interface Kept {
  route: Required<Pick<Route, 'prefix' | 'type' | 'table' | 'metric'>> & Route;
  family: number;
  bits: number;
  first: bigint;
  last: bigint;
}

const toBigInt = (bytes: Uint8Array): bigint => bytes.reduce((n, b) => (n << 8n) | BigInt(b), 0n);
const familyOf = (bytes: Uint8Array): number => (bytes.length === 4 ? AF_INET : AF_INET6);

/** As in assembly/responder/neighbours.ts. Words are the address as it lies in memory. */
function neighbourHash(ifindex: number, words: readonly number[]): number {
  const rotl = (x: number): number => (x << 13) | (x >>> 19);
  let h = Math.imul(ifindex ^ words[0], 0x9e3779b1);
  h = Math.imul(rotl(h) ^ words[1], 0x85ebca77);
  h = Math.imul(rotl(h) ^ words[2], 0xc2b2ae3d);
  h = Math.imul(rotl(h) ^ words[3], 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

export class Routes {
  readonly #kept = new Map<string, Kept>();
  readonly #neighbours = new Map<string, NeighbourEntry>();
  readonly #noForward = { 4: new Set<number>(), 6: new Set<number>() };
  #blocks: number[] = [];
  readonly #retired: Retired;
  #batching = 0;

  constructor(readonly arena: Arena) {
    this.#retired = new Retired(arena);
  }

  /** Adds a route, or replaces the one with the same prefix, table and metric. @throws EtherloomError ERR_ADDRESS, ERR_ROUTE */
  add(route: Route): void {
    const { bytes, bits } = parsePrefix(route.prefix);
    const type = route.type ?? 'unicast';
    const needsPort = type === 'unicast' || type === 'local';
    if (!(type in TYPES))
      throw new EtherloomError('ERR_ROUTE', `route type "${type}"`, {
        expected: Object.keys(TYPES).join(', '),
      });
    if (needsPort && !this.#isPort(route.port))
      throw new EtherloomError('ERR_ROUTE', `route to ${route.prefix} by port ${route.port}`, {
        expected: `an ifindex from 1 to ${MAX_PORTS - 1}`,
      });
    if (route.via !== undefined) parseIp(route.via);
    if (route.source !== undefined && parseIp(route.source).length !== bytes.length)
      throw new EtherloomError('ERR_ROUTE', `source ${route.source} of a route to ${route.prefix}`, {
        expected: 'an address of the same family',
      });
    const { mtu } = route;
    if (mtu !== undefined && (!Number.isInteger(mtu) || mtu < LEAST_MTU || mtu > MOST_MTU))
      throw new EtherloomError('ERR_ROUTE', `mtu ${mtu} of a route to ${route.prefix}`, {
        expected: `a whole number from ${LEAST_MTU} to ${MOST_MTU}`,
      });
    const width = BigInt(bytes.length * 8);
    const host = width - BigInt(bits);
    const first = (toBigInt(bytes) >> host) << host;
    const full = { ...route, type, table: route.table ?? TABLE_MAIN, metric: route.metric ?? 0 };
    const family = familyOf(bytes);
    const kept: Kept = { route: full, family, bits, first, last: first + (1n << host) - 1n };
    this.#kept.set(this.#key(kept), kept);
    this.#changed();
  }

  /** Removes a route; whether it was there. Without metric: every metric of that prefix. */
  delete(route: Pick<Route, 'prefix' | 'table' | 'metric'>): boolean {
    const { bytes, bits } = parsePrefix(route.prefix);
    const host = BigInt(bytes.length * 8 - bits);
    const first = (toBigInt(bytes) >> host) << host;
    const table = route.table ?? TABLE_MAIN;
    let found = false;
    for (const [key, k] of this.#kept) {
      if (k.family !== familyOf(bytes) || k.first !== first || k.bits !== bits || k.route.table !== table)
        continue;
      if (route.metric !== undefined && k.route.metric !== route.metric) continue;
      found = this.#kept.delete(key);
    }
    if (found) this.#changed();
    return found;
  }

  /** Routes of a table, or of all. */
  list(table?: number): Route[] {
    return [...this.#kept.values()]
      .filter(k => table === undefined || k.route.table === table)
      .map(k => ({ ...k.route }));
  }

  /** The route of a table to an address, as bpf_fib_lookup finds it: longest prefix, then lowest metric. @throws EtherloomError ERR_ADDRESS */
  find(address: string, table = TABLE_MAIN): Route | undefined {
    const bytes = parseIp(address);
    const to = toBigInt(bytes);
    let best: Kept | undefined;
    for (const k of this.#kept.values()) {
      if (k.route.table !== table || k.family !== familyOf(bytes) || to < k.first || to > k.last) continue;
      const better =
        !best || k.bits > best.bits || (k.bits === best.bits && k.route.metric < best.route.metric);
      if (better) best = k;
    }
    return best && { ...best.route };
  }

  /** Says which hardware address an IP address has on a port. @throws EtherloomError ERR_ADDRESS, ERR_ROUTE */
  addNeighbour(entry: NeighbourEntry): void {
    if (!this.#isPort(entry.port))
      throw new EtherloomError('ERR_ROUTE', `neighbour on port ${entry.port}`, {
        expected: `an ifindex from 1 to ${MAX_PORTS - 1}`,
      });
    const address = formatIp(parseIp(entry.address));
    this.#neighbours.set(`${entry.port} ${address}`, {
      port: entry.port,
      address,
      mac: formatMac(parseMac(entry.mac)),
    });
    this.#changed();
  }

  /** Forgets a neighbour; whether it was there. */
  deleteNeighbour(port: number, address: string): boolean {
    const found = this.#neighbours.delete(`${port} ${formatIp(parseIp(address))}`);
    if (found) this.#changed();
    return found;
  }

  listNeighbours(): NeighbourEntry[] {
    return [...this.#neighbours.values()].map(n => ({ ...n }));
  }

  /** Turns forwarding of packets that came in by a port on (as it is at first) or off. */
  setForwarding(port: number, version: 4 | 6, on: boolean): void {
    if (on) this.#noForward[version].delete(port);
    else this.#noForward[version].add(port);
    this.#changed();
  }

  /** Makes many changes and publishes once. */
  batch(change: () => void): void {
    this.#batching++;
    try {
      change();
    } finally {
      if (--this.#batching === 0) this.#publish();
    }
  }

  #isPort(port: number | undefined): boolean {
    return port !== undefined && Number.isInteger(port) && port >= 1 && port < MAX_PORTS;
  }

  #key(k: Kept): string {
    return `${k.route.table} ${k.family} ${k.first.toString(16)}/${k.bits} ${k.route.metric}`;
  }

  #changed(): void {
    if (this.#batching === 0) this.#publish();
  }

  #publish(): void {
    this.#retired.collect();
    const old = this.#blocks;
    this.#blocks = [];
    let fib: number;
    try {
      fib = this.#build();
    } catch (error) {
      for (const at of this.#blocks) this.arena.scratch.free(at);
      this.#blocks = old;
      throw error;
    }
    const word = (ARENA_HEADER_AT + ArenaHeaderLayout.fibAt) >> 2;
    Atomics.store(this.arena.u32, word, fib);
    this.#retired.add(old);
    this.#retired.collect();
  }

  #alloc(bytes: number): number {
    const at = this.arena.scratch.alloc(bytes, 64);
    this.#blocks.push(at);
    this.arena.u8.fill(0, at, at + bytes);
    return at;
  }

  #build(): number {
    const { dv } = this.arena;
    const groups = new Map<string, Kept[]>();
    for (const k of this.#kept.values()) {
      const key = `${k.route.table} ${k.family}`;
      groups.set(key, [...(groups.get(key) ?? []), k]);
    }
    const at = this.#alloc(FibLayout.size);
    const fib = new FibView(dv, at);
    fib.tables = groups.size;
    fib.tablesAt = this.#alloc(Math.max(1, groups.size) * FibTableLayout.size);
    [...groups.values()].forEach((routes, i) => {
      this.#buildTable(new FibTableView(dv, fib.tablesAt + i * FibTableLayout.size), routes);
    });
    this.#buildNeighbours(fib);
    for (const port of this.#noForward[4]) this.#setBit(at + FibLayout.noForward4, port);
    for (const port of this.#noForward[6]) this.#setBit(at + FibLayout.noForward6, port);
    return at;
  }

  #setBit(words: number, n: number): void {
    const at = words + (n >> 5) * 4;
    this.arena.dv.setUint32(at, (this.arena.dv.getUint32(at, true) | (1 << (n & 31))) >>> 0, true);
  }

  /** Cuts the address space where the best route changes. Prefixes nest, so a stack holds the enclosing ones. */
  #buildTable(table: FibTableView, routes: Kept[]): void {
    routes.sort((x, y) =>
      x.first !== y.first ? (x.first < y.first ? -1 : 1) : x.bits - y.bits || y.route.metric - x.route.metric,
    );
    const size = FibRouteLayout.size;
    const routesAt = this.#alloc(routes.length * size);
    const pieces: { start: bigint; route: number }[] = [{ start: 0n, route: 0 }];
    const cut = (start: bigint, route: number): void => {
      const last = pieces[pieces.length - 1];
      if (last.start === start) last.route = route;
      else pieces.push({ start, route });
    };
    const open: { last: bigint; at: number }[] = [];
    const close = (before: bigint | undefined): void => {
      while (open.length && (before === undefined || open[open.length - 1].last < before)) {
        const done = open.pop()!;
        const outer = open[open.length - 1];
        if (!outer || outer.last !== done.last) cut(done.last + 1n, outer?.at ?? 0);
      }
    };
    routes.forEach((k, i) => {
      close(k.first);
      const at = routesAt + i * size;
      // Of equal prefixes the one with the lowest metric comes last and is found first.
      this.#writeRoute(at, k, open[open.length - 1]?.at ?? 0);
      open.push({ last: k.last, at });
      cut(k.first, at);
    });
    close(undefined);
    const v6 = routes[0].family === AF_INET6;
    const end = 1n << (v6 ? 128n : 32n);
    const kept = pieces.filter(p => p.start < end);
    table.id = routes[0].route.table;
    table.family = routes[0].family;
    table.count = kept.length;
    table.startsAt = this.#alloc(kept.length * (v6 ? 16 : 4));
    table.routesAt = this.#alloc(kept.length * 4);
    kept.forEach((p, i) => {
      this.arena.dv.setUint32(table.routesAt + i * 4, p.route, true);
      if (v6) {
        this.arena.dv.setBigUint64(table.startsAt + i * 16, p.start >> 64n, true);
        this.arena.dv.setBigUint64(table.startsAt + i * 16 + 8, BigInt.asUintN(64, p.start), true);
      } else this.arena.dv.setUint32(table.startsAt + i * 4, Number(p.start), true);
    });
  }

  #writeRoute(at: number, k: Kept, next: number): void {
    const view = new FibRouteView(this.arena.dv, at);
    view.type = TYPES[k.route.type];
    view.ifindex = k.route.port ?? 0;
    view.metric = k.route.metric;
    view.mtu = k.route.mtu ?? 0;
    view.nextAt = next;
    if (k.route.via !== undefined) {
      const via = parseIp(k.route.via);
      view.gatewayFamily = familyOf(via);
      this.arena.u8.set(via, at + FibRouteLayout.gateway);
    }
    if (k.route.source !== undefined) this.arena.u8.set(parseIp(k.route.source), at + FibRouteLayout.source);
  }

  #buildNeighbours(fib: FibView): void {
    let slots = 2;
    while (slots < this.#neighbours.size * 2) slots *= 2;
    const size = NeighbourLayout.size;
    fib.neighboursAt = this.#alloc(slots * size);
    fib.neighbourMask = slots - 1;
    for (const n of this.#neighbours.values()) {
      const bytes = parseIp(n.address);
      const padded = new Uint8Array(16);
      padded.set(bytes);
      const words = Array.from(new Uint32Array(padded.buffer));
      let i = neighbourHash(n.port, words) & (slots - 1);
      while (new NeighbourView(this.arena.dv, fib.neighboursAt + i * size).ifindex !== 0)
        i = (i + 1) & (slots - 1);
      const at = fib.neighboursAt + i * size;
      const view = new NeighbourView(this.arena.dv, at);
      view.ifindex = n.port;
      view.family = familyOf(bytes);
      this.arena.u8.set(padded, at + NeighbourLayout.address);
      this.arena.u8.set(parseMac(n.mac), at + NeighbourLayout.mac);
    }
  }
}
