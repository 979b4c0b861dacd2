/**
 * One hop, as the program bpf-progs/filters/forward has it: its constants and the contents of its maps, the same for the
 * engine and for the kernel. `planHops` makes the hops of a chain from its configuration.
 */
import { randomInt } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { fileURLToPath } from 'node:url';
import { configureGlobals, type MapConfig } from '../bpf/config.js';
import { openObject } from '../bpf/open.js';
import type { CollectionSpec } from '../bpf/spec.js';
import { parseMac } from '../wire/address.js';
import { type Ages, type Backend, type ForwardConfig, type Protocol, sameFamily } from './config.js';

export const FORWARD_OBJECT = fileURLToPath(new URL('../../bpf-progs/obj/forward.bpf.o', import.meta.url));
/** Name of the program in the object, and of the devmap with its two interfaces. */
export const FORWARD_PROGRAM = 'forward';
export const PORTS_MAP = 'ports';
/** Keys of that map: towards clients, towards backends. */
export const PORT_IN = 0;
export const PORT_OUT = 1;

/** enum flag of hop.h. */
const COMPLETE_FORTH = 1;
const COMPLETE_BACK = 2;
const KEEP_PARTIAL = 4;
/** enum state of hop.h, in its order. */
const AGE_ORDER: readonly (keyof Ages)[] = [
  'tcpOpening',
  'tcpOpen',
  'tcpClosing',
  'tcpClosed',
  'udpOpening',
  'udpOpen',
];
/** Of the table of backends, when a hop is loaded. */
export const FIRST_GENERATION = 1;
const PROTOCOL_NUMBER = { tcp: 6, udp: 17 } as const;
const AF_INET = 2;
const AF_INET6 = 10;

export interface HopBackend extends Backend {
  mac: string;
}

/** An entry of the table of backends. */
const backendValue = ({ address, port, mac }: HopBackend): Record<string, unknown> => ({
  addr: isIPv4(address) ? [address, 0, 0, 0] : address,
  port: `be16:${port}`,
  up: 1,
  mac: macWords(mac),
  pad: 0,
});

/** Which backend an entry is, whatever its Ethernet address. */
export const backendName = (value: unknown): string =>
  JSON.stringify({ ...(value as Record<string, unknown>), mac: undefined });

export interface Hop {
  /** At most one address of each family, in both. */
  listen: readonly string[];
  source: readonly string[];
  listeners: readonly { port: number; protocol: Protocol; backends: readonly HopBackend[] }[];
  firstPort: number;
  flows: number;
  ages: Ages;
  /** Addresses of its interfaces: towards clients, towards backends. */
  macs: readonly [string, string];
  /** Frames from there may have partial checksums, which are completed. Default: neither. */
  complete?: { forth?: boolean; back?: boolean };
  /** Partial checksums stay partial: generic XDP in the kernel. */
  keepPartial?: boolean;
  /** Spreads clients over backends. Default: random. */
  secret?: number;
  /**
   * Where the search for source ports begins, of `flows`, when the one that a client's own leads to is taken. Default:
   * random, since a backend still remembers the connections that whoever was here before had from the first ones.
   */
  firstSlot?: number;
}

/** What a chain is joined by: for each hop the Ethernet addresses of its two interfaces. */
export interface ChainMacs {
  readonly hops: readonly (readonly [string, string])[];
  /** Of a backend or of the router on the way to it. */
  backend(backend: Backend): string;
}

/**
 * The hops of a chain. Between hops every address is the forwarder's own; who comes from outside and who goes there
 * meets `address` and `source`.
 */
export function planHops(config: ForwardConfig, macs: ChainMacs, firstSlot?: number): Hop[] {
  const { length } = config.services[0].ports;
  return Array.from({ length }, (_, i) => {
    const last = i === length - 1;
    const listeners = config.services.flatMap(service => {
      const families = config.address.filter(a => service.backends.some(b => sameFamily(a, b.address)));
      const backends: HopBackend[] = last
        ? service.backends.map(b => ({ ...b, mac: macs.backend(b) }))
        : families.map(address => ({ address, port: service.ports[i + 1], mac: macs.hops[i + 1][0] }));
      return service.protocols.map(protocol => ({ port: service.ports[i], protocol, backends }));
    });
    return {
      listen: config.address,
      source: last ? config.source : config.address,
      listeners,
      firstPort: config.firstPort,
      flows: config.flows,
      ages: config.ages,
      macs: macs.hops[i],
      // Only what comes from outside can be partial: what a hop sends is complete.
      complete: { forth: i === 0, back: last },
      ...(firstSlot === undefined ? {} : { firstSlot }),
    };
  });
}

/** An Ethernet address as three 16-bit words. */
const macWords = (mac: string): number[] => [...new Uint16Array(parseMac(mac).slice().buffer)];

const addressOf = (addresses: readonly string[], v4: boolean): string | undefined =>
  addresses.find(a => isIPv4(a) === v4);

/** `links` of hop.h, all of .data: what may change while packets flow. @param generation of the table of backends */
export const linksConfig = (macs: readonly [string, string], generation: number): MapConfig[string] => ({
  links: { in: macWords(macs[0]), out: macWords(macs[1]), generation, pad: 0 },
});

/** Constants and map contents of a hop, in the form of configuration files. The devmap is left to whom it attaches. */
export function hopConfig(hop: Hop): MapConfig {
  const backends: { key: number; value: unknown }[] = [];
  const listeners: { key: unknown; value: unknown }[] = [];
  for (const l of hop.listeners)
    for (const v4 of [true, false]) {
      const own = l.backends.filter(b => isIPv4(b.address) === v4);
      if (!own.length) continue;
      listeners.push({
        key: {
          port: `be16:${l.port}`,
          protocol: PROTOCOL_NUMBER[l.protocol],
          family: v4 ? AF_INET : AF_INET6,
        },
        value: { first: backends.length, count: own.length },
      });
      for (const b of own) backends.push({ key: backends.length, value: backendValue(b) });
    }
  const flags =
    (hop.complete?.forth ? COMPLETE_FORTH : 0) |
    (hop.complete?.back ? COMPLETE_BACK : 0) |
    (hop.keepPartial ? KEEP_PARTIAL : 0);
  const none6 = [0, 0, 0, 0];
  return {
    '.rodata': {
      hop: {
        listen4: addressOf(hop.listen, true) ?? 0,
        source4: addressOf(hop.source, true) ?? 0,
        listen6: addressOf(hop.listen, false) ?? none6,
        source6: addressOf(hop.source, false) ?? none6,
        first_port: hop.firstPort,
        slots: hop.flows,
        flags,
        secret: hop.secret ?? randomInt(2 ** 32),
        age_ns: AGE_ORDER.map(name => BigInt(Math.round(hop.ages[name] * 1e9))),
      },
    },
    '.bss': { cursor: hop.firstSlot ?? randomInt(hop.flows), fragment_id: randomInt(2 ** 32) },
    '.data': linksConfig(hop.macs, FIRST_GENERATION),
    listeners,
    backends,
  };
}

/** Least room for backends. */
const LEAST_ROOM = 256;

/** Entries of a half of the table of backends (backends.ts): twice as many as there are now, and never few. */
export const roomForBackends = (config: MapConfig): number =>
  Math.max(LEAST_ROOM, 2 * ((config.backends ?? []) as unknown[]).length);

/** The object, made for one hop: its constants set, its tables as large as its limit. Each hop needs its own. */
export function hopObject(hop: Hop, config: MapConfig = hopConfig(hop)): CollectionSpec {
  const object = openObject(FORWARD_OBJECT);
  configureGlobals(object, config);
  for (const name of ['flows', 'table4', 'table6']) object.maps[name].maxEntries = hop.flows;
  object.maps.backends.maxEntries = 2 * roomForBackends(config);
  return object;
}

/** What those of inner links begin with: locally administered. */
export const INNER_MAC = '02:00:66:77:';

/** An Ethernet address of our own for the end of an inner link: hop 0 … 15, end 0 (towards clients) or 1. */
export const innerMac = (hop: number, end: 0 | 1): string =>
  INNER_MAC + [hop, end].map(n => n.toString(16).padStart(2, '0')).join(':');
