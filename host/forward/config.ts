/**
 * What a forwarder is told: services with their ports and backends, addresses, limits. From the command line or a JSON
 * file; everything is looked at before anything is made, and an error names the member that is wrong.
 *
 *   { "address": ["10.0.0.1", "fd00::1"],                    clients call these
 *     "services": [ { "ports": [7996, 7997, 7998], "backends": ["10.1.0.2:8000"], "protocols": ["tcp"] } ],
 *     "source": ["10.1.0.1"], "flows": 16384, "firstPort": 16384, "ages": { "tcpOpen": 7440 } }
 *
 * A service with n ports is n hops: hop i listens on ports[i] and calls hop i + 1 on ports[i + 1], the last a backend.
 */
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { EtherloomError } from '../errors.js';
import { formatIp, isMac, parseIp } from '../wire/address.js';

export const PROTOCOLS = ['tcp', 'udp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface Backend {
  address: string;
  port: number;
  /** Of the backend or of the router before it. Without: asked for on the network. */
  mac?: string;
}

export interface Service {
  /** One port per hop, in the order in which a client's packet meets them. */
  ports: number[];
  /** Connections are spread over these, each family over its own. */
  backends: Backend[];
  /** Default: both. */
  protocols: Protocol[];
}

/** How long a flow may be silent, seconds. */
export interface Ages {
  /** A connection that is being opened. Default 60. */
  tcpOpening: number;
  /** RFC 5382 REQ-5: at least 7440, the default. */
  tcpOpen: number;
  /** One side has said FIN. Default 240. */
  tcpClosing: number;
  /** Both have, or one RST. Default 60; taken over earlier when ports run out. */
  tcpClosed: number;
  /** Without an answer yet. Default 30. */
  udpOpening: number;
  /** RFC 4787 REQ-5: at least 120. Default 180. */
  udpOpen: number;
}

export interface ForwardConfig {
  /** Addresses that clients call, at most one of each family. */
  address: string[];
  /** Addresses that backends see, of the same families. Default: `address`. */
  source: string[];
  services: Service[];
  /** Flows per hop, each with a source port of its own: ports firstPort … firstPort + flows - 1. */
  flows: number;
  firstPort: number;
  ages: Ages;
}

/** What may be left out is filled in by `forwardConfig`. */
export interface ForwardInput {
  address: string | readonly string[];
  source?: string | readonly string[];
  services: readonly {
    ports: readonly number[];
    backends: readonly (string | Backend)[];
    protocols?: readonly string[];
  }[];
  flows?: number;
  firstPort?: number;
  ages?: Partial<Ages>;
}

export const MAX_HOPS = 16;
const MAX_BACKENDS = 256;
const DEFAULTS = { flows: 16384, firstPort: 16384 };
const AGES: Ages = {
  tcpOpening: 60,
  tcpOpen: 7440,
  tcpClosing: 240,
  tcpClosed: 60,
  udpOpening: 30,
  udpOpen: 180,
};

class Checker {
  constructor(readonly file: string | undefined) {}

  wrong(path: string, what: string, expected: string): never {
    throw new EtherloomError('ERR_FORWARD_CONFIG', `${path || 'the configuration'}: ${what}`, {
      ...(this.file === undefined ? {} : { file: this.file }),
      path,
      expected,
    });
  }

  object(value: unknown, path: string, members: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      this.wrong(path, 'is no object', `an object of ${members.join(', ')}`);
    for (const name of Object.keys(value as object))
      if (!members.includes(name))
        this.wrong(path ? `${path}.${name}` : name, 'is not known', `one of ${members.join(', ')}`);
    return value as Record<string, unknown>;
  }

  list(value: unknown, path: string, most: number): unknown[] {
    const list = Array.isArray(value) ? value : value === undefined ? [] : [value];
    if (list.length < 1 || list.length > most)
      this.wrong(path, value === undefined ? 'is missing' : `has ${list.length} entries`, `1 to ${most}`);
    return list;
  }

  number(value: unknown, path: string, least: number, most: number, whole = true): number {
    if (
      typeof value !== 'number' ||
      !(value >= least && value <= most) ||
      (whole && !Number.isInteger(value))
    )
      this.wrong(
        path,
        `${JSON.stringify(value)}`,
        `a ${whole ? 'whole ' : ''}number from ${least} to ${most}`,
      );
    return value as number;
  }

  address(value: unknown, path: string): string {
    try {
      if (typeof value === 'string') {
        const bytes = parseIp(value);
        if (bytes.some(b => b !== 0)) return formatIp(bytes);
      }
    } catch {
      // said below
    }
    return this.wrong(path, `${JSON.stringify(value)}`, 'an IPv4 or IPv6 address');
  }

  addresses(value: unknown, path: string): string[] {
    const found = this.list(value, path, 2).map((a, i) => this.address(a, `${path}[${i}]`));
    if (found.length === 2 && isIPv4(found[0]) === isIPv4(found[1]))
      this.wrong(path, found.join(', '), 'at most one address of each family');
    return found;
  }

  backend(value: unknown, path: string): Backend {
    const given = typeof value === 'string' ? parseBackend(value) : value;
    if (!given) return this.wrong(path, `"${value}"`, 'ADDRESS:PORT, [V6]:PORT, with @MAC or without');
    const b = this.object(given, path, ['address', 'port', 'mac']);
    if (b.mac !== undefined && !(typeof b.mac === 'string' && isMac(b.mac)))
      this.wrong(`${path}.mac`, `${JSON.stringify(b.mac)}`, '02:00:00:00:00:01');
    return {
      address: this.address(b.address, `${path}.address`),
      port: this.number(b.port, `${path}.port`, 1, 65535),
      ...(b.mac === undefined ? {} : { mac: b.mac as string }),
    };
  }

  service(value: unknown, path: string): Service {
    const s = this.object(value, path, ['ports', 'backends', 'protocols']);
    const ports = this.list(s.ports, `${path}.ports`, MAX_HOPS).map((p, i) =>
      this.number(p, `${path}.ports[${i}]`, 1, 65535),
    );
    const backends = this.list(s.backends, `${path}.backends`, MAX_BACKENDS).map((b, i) =>
      this.backend(b, `${path}.backends[${i}]`),
    );
    const protocols = this.list(s.protocols ?? [...PROTOCOLS], `${path}.protocols`, 2).map((p, i) => {
      if (!PROTOCOLS.includes(p as Protocol))
        this.wrong(`${path}.protocols[${i}]`, `${JSON.stringify(p)}`, PROTOCOLS.join(' or '));
      return p as Protocol;
    });
    return { ports, backends, protocols: [...new Set(protocols)] };
  }
}

/** ADDRESS:PORT or [V6]:PORT, and @MAC if it is known. Undefined when it is none of that. */
export function parseBackend(text: string): Backend | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:@[\]]+)):(\d{1,5})(?:@(.+))?$/.exec(text);
  if (!found) return undefined;
  const [, v6, v4, port, mac] = found;
  return { address: v6 ?? v4, port: Number(port), ...(mac === undefined ? {} : { mac }) };
}

/** Whether both addresses are of one family. */
export const sameFamily = (a: string, b: string): boolean => isIPv4(a) === isIPv4(b);

/**
 * Checks and completes a configuration. `file` is named in errors.
 * @throws EtherloomError ERR_FORWARD_CONFIG with the path of the member
 */
export function forwardConfig(input: ForwardInput | unknown, file?: string): ForwardConfig {
  const check = new Checker(file);
  const top = check.object(input, '', ['address', 'source', 'services', 'flows', 'firstPort', 'ages']);
  const address = check.addresses(top.address, 'address');
  const source = top.source === undefined ? address : check.addresses(top.source, 'source');
  const services = check
    .list(top.services, 'services', 256)
    .map((s, i) => check.service(s, `services[${i}]`));
  const firstPort = check.number(top.firstPort ?? DEFAULTS.firstPort, 'firstPort', 1024, 65535);
  const room = 65536 - firstPort;
  const flows = check.number(top.flows ?? Math.min(DEFAULTS.flows, room), 'flows', 1, room);
  const given = check.object(top.ages ?? {}, 'ages', Object.keys(AGES));
  const ages = { ...AGES };
  for (const [name, age] of Object.entries(given))
    ages[name as keyof Ages] = check.number(age, `ages.${name}`, 0.001, 1e6, false);

  if (source.length !== address.length || !address.every(a => source.some(s => sameFamily(a, s))))
    check.wrong('source', source.join(', '), `addresses of the families of ${address.join(', ')}`);
  const hops = services[0].ports.length;
  const taken = new Set<string>();
  services.forEach((s, i) => {
    if (s.ports.length !== hops)
      check.wrong(
        `services[${i}].ports`,
        `${s.ports.length} ports`,
        `${hops}, as many as services[0] has hops`,
      );
    s.ports.forEach((port, hop) => {
      const path = `services[${i}].ports[${hop}]`;
      if (port >= firstPort && port < firstPort + flows)
        check.wrong(path, `${port}`, `none of the source ports ${firstPort} … ${firstPort + flows - 1}`);
      for (const protocol of s.protocols) {
        const key = `${hop} ${protocol} ${port}`;
        if (taken.has(key)) check.wrong(path, `${protocol} ${port} stands twice at this hop`, 'another port');
        taken.add(key);
      }
    });
    s.backends.forEach((b, k) => {
      if (!address.some(a => sameFamily(a, b.address)))
        check.wrong(`services[${i}].backends[${k}]`, b.address, `the family of ${address.join(', ')}`);
    });
  });
  return { address, source, services, flows, firstPort, ages };
}

/** @throws EtherloomError ERR_CONFIG_READ, ERR_FORWARD_CONFIG */
export function readForwardConfig(file: string): ForwardConfig {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new EtherloomError('ERR_CONFIG_READ', (cause as Error).message, {
      file,
      cause,
      expected: 'a readable JSON file',
    });
  }
  return forwardConfig(json, file);
}
