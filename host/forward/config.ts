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
import { isIPv4 } from 'node:net';
import { JsonReader, type NumberRange, readJson } from '../json.js';
import { formatIp, isUnicastIp, isUnicastMac, parseIp } from '../wire/address.js';

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
  /** A connection that is being opened. Default 60; taken over earlier when ports run out. */
  tcpOpening: number;
  /** RFC 5382 REQ-5: at least 7440, the default. */
  tcpOpen: number;
  /** One side has said FIN. Default 240. */
  tcpClosing: number;
  /** Both have, or a RST that its receiver believes. Default 60; taken over earlier when ports run out. */
  tcpClosed: number;
  /** Without an answer yet. Default 30; taken over earlier when ports run out. */
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
const MAX_SERVICES = 256;
const DEFAULTS = { flows: 16384, firstPort: 16384 };
const AGES: Ages = {
  tcpOpening: 60,
  tcpOpen: 7440,
  tcpClosing: 240,
  tcpClosed: 60,
  udpOpening: 30,
  udpOpen: 180,
};

const CODE = 'ERR_FORWARD_CONFIG';
const CODES = { value: CODE, member: CODE, hex: CODE };
const PORT: NumberRange = { least: 1, most: 65535 };
const AGE: NumberRange = { least: 0.001, most: 1e6, fraction: true };

class ConfigReader extends JsonReader {
  constructor(file: string | undefined) {
    super(file, CODES);
  }

  /** One thing may stand for a list of one. */
  oneOrMore<T>(value: unknown, path: string, most: number, read: (item: unknown, path: string) => T): T[] {
    const list = Array.isArray(value) ? value : value === undefined ? [] : [value];
    if (list.length < 1 || list.length > most)
      throw this.fail(path, value === undefined ? 'nothing' : `${list.length} entries`, `1 to ${most}`);
    return list.map((item, i) => read(item, `${path}[${i}]`));
  }

  address(value: unknown, path: string): string {
    try {
      if (typeof value === 'string') {
        const bytes = parseIp(value);
        if (isUnicastIp(bytes)) return formatIp(bytes);
      }
    } catch {
      // said below
    }
    throw this.fail(path, this.show(value), 'an IPv4 or IPv6 address of one station');
  }

  addresses(value: unknown, path: string): string[] {
    const found = this.oneOrMore(value, path, 2, (item, at) => this.address(item, at));
    if (found.length === 2 && sameFamily(found[0], found[1]))
      throw this.fail(path, found.join(', '), 'at most one address of each family');
    return found;
  }

  backend(value: unknown, path: string): Backend {
    const given = typeof value === 'string' ? parseBackend(value) : value;
    if (!given) throw this.fail(path, this.show(value), 'ADDRESS:PORT, [V6]:PORT, with @MAC or without');
    const b = this.object(given, path, ['address', 'port', 'mac']);
    if (b.mac !== undefined && !(typeof b.mac === 'string' && isUnicastMac(b.mac)))
      throw this.fail(`${path}.mac`, this.show(b.mac), 'that of one station, as 02:00:00:00:00:01');
    return {
      address: this.address(b.address, `${path}.address`),
      port: this.inRange(b.port, `${path}.port`, PORT),
      ...(b.mac === undefined ? {} : { mac: b.mac as string }),
    };
  }

  protocol(value: unknown, path: string): Protocol {
    if (PROTOCOLS.includes(value as Protocol)) return value as Protocol;
    throw this.fail(path, this.show(value), PROTOCOLS.join(' or '));
  }

  service(value: unknown, path: string): Service {
    const s = this.object(value, path, ['ports', 'backends', 'protocols']);
    const protocols = this.oneOrMore(s.protocols ?? PROTOCOLS, `${path}.protocols`, 2, (item, at) =>
      this.protocol(item, at),
    );
    return {
      ports: this.oneOrMore(s.ports, `${path}.ports`, MAX_HOPS, (item, at) => this.inRange(item, at, PORT)),
      backends: this.oneOrMore(s.backends, `${path}.backends`, MAX_BACKENDS, (item, at) =>
        this.backend(item, at),
      ),
      protocols: [...new Set(protocols)],
    };
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
  const reader = new ConfigReader(file);
  const top = reader.object(input, '', ['address', 'source', 'services', 'flows', 'firstPort', 'ages']);
  const address = reader.addresses(top.address, 'address');
  const source = top.source === undefined ? address : reader.addresses(top.source, 'source');
  const services = reader.oneOrMore(top.services, 'services', MAX_SERVICES, (item, at) =>
    reader.service(item, at),
  );
  const firstPort = reader.inRange(top.firstPort ?? DEFAULTS.firstPort, 'firstPort', {
    least: 1024,
    most: 65535,
  });
  const room = 65536 - firstPort;
  const flows = reader.inRange(top.flows ?? Math.min(DEFAULTS.flows, room), 'flows', {
    least: 1,
    most: room,
  });
  const given = reader.object(top.ages ?? {}, 'ages', Object.keys(AGES));
  const ages = { ...AGES };
  for (const [name, age] of Object.entries(given))
    ages[name as keyof Ages] = reader.inRange(age, `ages.${name}`, AGE);

  if (source.length !== address.length || !address.every(a => source.some(s => sameFamily(a, s))))
    throw reader.fail('source', source.join(', '), `addresses of the families of ${address.join(', ')}`);
  const hops = services[0].ports.length;
  const taken = new Set<string>();
  services.forEach((s, i) => {
    if (s.ports.length !== hops)
      throw reader.fail(
        `services[${i}].ports`,
        `${s.ports.length} ports`,
        `${hops}, as many as services[0] has hops`,
      );
    s.ports.forEach((port, hop) => {
      const path = `services[${i}].ports[${hop}]`;
      if (port >= firstPort && port < firstPort + flows)
        throw reader.fail(
          path,
          `${port}`,
          `none of the source ports ${firstPort} … ${firstPort + flows - 1}`,
        );
      for (const protocol of s.protocols) {
        const key = `${hop} ${protocol} ${port}`;
        if (taken.has(key))
          throw reader.fail(path, `${protocol} ${port} stands twice at this hop`, 'another port');
        taken.add(key);
      }
    });
    s.backends.forEach((b, k) => {
      if (!address.some(a => sameFamily(a, b.address)))
        throw reader.fail(`services[${i}].backends[${k}]`, b.address, `the family of ${address.join(', ')}`);
    });
  });
  return { address, source, services, flows, firstPort, ages };
}

/** @throws EtherloomError ERR_CONFIG_READ, ERR_FORWARD_CONFIG */
export function readForwardConfig(file: string): ForwardConfig {
  return forwardConfig(readJson(file), file);
}
