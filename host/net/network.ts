/**
 * The network as a stack sees it: its addresses, the ports they are on, and where packets to an address go. A table of the
 * engine's routes is its own, so that several stacks of one engine are so many hosts. Ports answer ARP, neighbour
 * discovery and echo by themselves (host/responder/).
 */
import type { Engine } from '../engine/engine.js';
import type { Route } from '../engine/routes.js';
import { EtherloomError } from '../errors.js';
import type { Port } from '../nic/port.js';
import type { AddressOptions, Responder, ResponderOptions } from '../responder/index.js';
import { SocketError } from '../transports/errno.js';
import { canonicalIp, formatIp, parseIp, parsePrefix } from '../wire/address.js';

/** A port of a stack. The other options are those of its responder. */
export interface PortNetwork extends Omit<ResponderOptions, 'routes'> {
  /** Default routes: one router for each family. */
  gateway?: string | readonly string[];
  /** Largest IP packet that goes out, bytes. Default: the port's. */
  mtu?: number;
}

/** A route of a stack: by port, or by a router that one of its ports reaches. */
export interface StackRoute extends Omit<Route, 'port' | 'table'> {
  /** Name or number. Default: the port from which `via` is reached. */
  port?: string | number;
}

export interface NetworkOptions {
  ports: Readonly<Record<string, PortNetwork>>;
  routes?: readonly StackRoute[];
  /** Hardware addresses that are given and not asked for. */
  neighbours?: readonly { port: string | number; address: string; mac: string }[];
}

/** An address of the stack. */
interface Own {
  address: string;
  bytes: Uint8Array;
  bits: number;
  port: Port;
}

/** Where a connection to an address leaves, and as whom. */
export interface Way {
  port: Port;
  address: string;
}

/** First table of a stack: the kernel's numbers end at 255. */
const FIRST_TABLE = 1000;
/** Least MTU of a stack's ports: RFC 791 §3.2. */
const LEAST_MTU = 576;
/** Stacks that an engine ever had. */
const stacks = new WeakMap<Engine, number>();

/** Of routes to networks of a port: of two ports in one network the first goes before. */
const metricOf = (port: Port): number => 255 + port.ifindex;

const ANY = { 4: '0.0.0.0/0', 6: '::/0' } as const;
const isV6 = (address: string): boolean => address.includes(':');
const isLinkLocal = (bytes: Uint8Array): boolean => bytes[0] === 0xfe && (bytes[1] & 0xc0) === 0x80;

export class Network {
  readonly table: number;
  readonly #own: Own[] = [];
  readonly #responders = new Map<number, Responder>();
  readonly #routes: Route[] = [];
  readonly #neighbours: { port: number; address: string }[] = [];
  readonly #mtu = new Map<number, number | undefined>();

  /** @throws EtherloomError ERR_PORT_UNKNOWN, ERR_RESPONDER, ERR_ADDRESS, ERR_ROUTE, ERR_STACK_OPTIONS */
  constructor(
    readonly engine: Engine,
    options: NetworkOptions,
  ) {
    const n = stacks.get(engine) ?? 0;
    stacks.set(engine, n + 1);
    this.table = FIRST_TABLE + n;
    if (
      typeof options.ports !== 'object' ||
      options.ports === null ||
      Object.keys(options.ports).length === 0
    )
      throw new EtherloomError('ERR_STACK_OPTIONS', 'a stack without ports', {
        expected: "ports: { 'name of a NIC': { addresses: ['10.0.0.1/24'] } }",
      });
    try {
      engine.routes.batch(() => this.#build(options));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #build(options: NetworkOptions): void {
    const { engine } = this;
    for (const [name, { gateway, mtu, ...more }] of Object.entries(options.ports)) {
      const port = engine.port(name);
      if (mtu !== undefined && (!Number.isInteger(mtu) || mtu < LEAST_MTU || mtu > 65535))
        throw new EtherloomError('ERR_STACK_OPTIONS', `ports.${name}.mtu: ${mtu}`, {
          expected: `a whole number from ${LEAST_MTU} to 65535`,
        });
      if (port.mtu < LEAST_MTU)
        throw new EtherloomError('ERR_STACK_OPTIONS', `ports.${name}: a NIC with an MTU of ${port.mtu}`, {
          expected: `at least ${LEAST_MTU}, which every host of the Internet takes`,
        });
      this.#mtu.set(port.ifindex, mtu);
      const addresses = more.addresses ?? [];
      this.#responders.set(
        port.ifindex,
        engine.respond(port, { unreachable: true, ...more, addresses, routes: false }),
      );
      for (const a of addresses) this.#add(port, a);
    }
    for (const { port, address, mac } of options.neighbours ?? []) {
      const { ifindex } = engine.port(port);
      engine.routes.addNeighbour({ port: ifindex, address, mac });
      this.#neighbours.push({ port: ifindex, address });
    }
    for (const [name, { gateway }] of Object.entries(options.ports))
      for (const via of gateway === undefined ? [] : [gateway].flat())
        this.addRoute({ prefix: ANY[isV6(via) ? 6 : 4], via, port: name });
    for (const route of options.routes ?? []) this.addRoute(route);
  }

  /** Ports of the stack. */
  get ports(): Port[] {
    return [...this.#responders.values()].map(r => r.port);
  }

  /** Its addresses, as text. */
  get addresses(): string[] {
    return this.#own.map(o => o.address);
  }

  has(address: string): boolean {
    return this.#own.some(o => o.address === address);
  }

  #add(port: Port, given: string | AddressOptions): string {
    const { bytes, bits } = parsePrefix(typeof given === 'string' ? given : given.address);
    const address = formatIp(bytes);
    const first = !this.#mate(port, bytes, bits);
    this.#own.push({ address, bytes, bits, port });
    if (first) this.#routeFrom({ address, bytes, bits, port });
    return address;
  }

  /** The first of the addresses of one network on one port: its route is theirs. */
  #mate(port: Port, bytes: Uint8Array, bits: number): Own | undefined {
    return this.#own.find(o => o.port === port && o.bits === bits && sharesBits(o.bytes, bytes, bits));
  }

  /** Who does not say as whom it speaks there does so as this address. */
  #routeFrom({ address, bits, port }: Own): void {
    const prefix = `${address}/${bits}`;
    this.#route({ prefix, port: port.ifindex, metric: metricOf(port), source: address });
  }

  #route(route: Omit<Route, 'table'>): void {
    const mtu = route.mtu ?? (route.port === undefined ? undefined : this.#mtu.get(route.port));
    const full = { ...route, table: this.table, ...(mtu === undefined ? {} : { mtu }) };
    this.engine.routes.add(full);
    this.#routes.push(full);
  }

  /** Gives a port of the stack one more address; its text without prefix is returned. @throws EtherloomError */
  addAddress(port: string | number, given: string | AddressOptions): string {
    const responder = this.#responderOf(port);
    responder.add(given);
    return this.#add(responder.port, given);
  }

  /** Takes an address away; whether it was there. */
  removeAddress(port: string | number, address: string): boolean {
    const responder = this.#responderOf(port);
    const text = formatIp(parsePrefix(address).bytes);
    const i = this.#own.findIndex(o => o.address === text && o.port === responder.port);
    if (i < 0) return false;
    responder.remove(text);
    const [{ bytes, bits }] = this.#own.splice(i, 1);
    // Addresses of one network on one port share its route.
    const mate = this.#mate(responder.port, bytes, bits);
    if (mate) this.#routeFrom(mate);
    else
      this.engine.routes.delete({
        prefix: `${text}/${bits}`,
        table: this.table,
        metric: metricOf(responder.port),
      });
    return true;
  }

  #responderOf(port: string | number): Responder {
    const { ifindex, name } = this.engine.port(port);
    const responder = this.#responders.get(ifindex);
    if (responder) return responder;
    throw new EtherloomError('ERR_STACK_PORT', `${name} is no port of this stack`, {
      expected: this.ports.map(p => p.name).join(', '),
    });
  }

  /** @throws EtherloomError ERR_ROUTE, ERR_ADDRESS, ERR_PORT_UNKNOWN, ERR_STACK_PORT */
  addRoute(route: StackRoute): void {
    const { port, ...rest } = route;
    const given = port === undefined ? undefined : this.#responderOf(port).port;
    const v6 = isV6(route.prefix);
    if (route.via === undefined) {
      if (!given) return this.#route(rest);
      const source = this.#own.find(o => o.port === given && isV6(o.address) === v6)?.address;
      return this.#route({ ...(source === undefined ? {} : { source }), ...rest, port: given.ifindex });
    }
    // A router is a neighbour: as Linux without `onlink`.
    const reached = this.engine.routes.find(route.via, this.table);
    if (reached?.port === undefined || reached.via !== undefined || (given && reached.port !== given.ifindex))
      throw new EtherloomError(
        'ERR_ROUTE',
        `${given?.name ?? 'no port'} ${given ? 'does not reach' : 'reaches'} ${route.via}, the router to ${route.prefix}`,
        { expected: 'a router in the network of an address of that port' },
      );
    const { source } = reached;
    const same = source !== undefined && isV6(source) === v6;
    this.#route({ ...(same ? { source } : {}), ...rest, port: reached.port });
  }

  /** Whether no address of the stack is being asked for any more. */
  get ready(): boolean {
    return [...this.#responders.values()].every(r => r.ready);
  }

  /**
   * Where packets to `address` leave, and which of the stack's addresses they have: the one that is asked for, the
   * route's, one in the network of the next hop, or else the first of its family, that of the port first.
   * @throws SocketError ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL; EtherloomError ERR_ADDRESS
   */
  wayTo(address: string, from?: string): Way {
    const to = canonicalIp(address);
    const route = this.engine.routes.find(to, this.table);
    if (!route || route.port === undefined)
      throw new SocketError(
        route?.type === 'unreachable' ? 'EHOSTUNREACH' : 'ENETUNREACH',
        `there is no route to ${to}`,
        { expected: 'an address in the network of a port, a gateway, or a route' },
      );
    if (this.has(to))
      throw new SocketError('ENETUNREACH', `${to} is an address of this stack`, {
        expected: 'the address of another: a stack has no loopback',
      });
    const port = this.engine.port(route.port);
    if (from !== undefined) {
      const own = canonicalIp(from);
      if (!this.has(own) || isV6(own) !== isV6(to))
        throw new SocketError('EADDRNOTAVAIL', `${own} is no address of this stack for ${to}`, {
          expected:
            this.addresses.filter(a => isV6(a) === isV6(to)).join(', ') || 'an address of that family',
        });
      return { port, address: own };
    }
    const { source } = route;
    const known = source !== undefined && this.has(source);
    return { port, address: known ? source : this.#sourceFor(to, route.via ?? to, port) };
  }

  #sourceFor(to: string, hop: string, port: Port): string {
    const usable = this.#own.filter(
      o => isV6(o.address) === isV6(to) && isLinkLocal(o.bytes) === (isV6(to) && isLinkLocal(parseIp(to))),
    );
    const near = parseIp(hop);
    const here = usable.filter(o => o.port === port);
    const found =
      here.find(o => near.length === o.bytes.length && sharesBits(o.bytes, near, o.bits)) ??
      here[0] ??
      usable[0];
    if (!found)
      throw new SocketError('EADDRNOTAVAIL', `no address of this stack can speak to ${to}`, {
        expected: `an IPv${isV6(to) ? 6 : 4} address of a port`,
      });
    return found.address;
  }

  /** Gives back routes, neighbours and responders. */
  close(): void {
    const { routes } = this.engine;
    routes.batch(() => {
      for (const { prefix, metric } of this.#routes.splice(0))
        routes.delete({ prefix, table: this.table, metric: metric ?? 0 });
      for (const { port, address } of this.#neighbours.splice(0)) routes.deleteNeighbour(port, address);
    });
    for (const r of this.#responders.values()) r.close();
    this.#responders.clear();
  }
}

function sharesBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let i = 0; i < bits; i++) if (((a[i >> 3] ^ b[i >> 3]) >> (7 - (i & 7))) & 1) return false;
  return true;
}
