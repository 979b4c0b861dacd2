/**
 * What the kernel knows of interfaces, and the veth pairs that join hops in it: by /sys and iproute2, since all of it
 * happens once, before a packet flows. In the network namespace of this process.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { EtherloomError } from '../errors.js';
import { isMac } from '../wire/address.js';
import type { Backend } from './config.js';

/** How long a neighbour may take to answer, ms. */
const ANSWER_MS = 3000;
const LOOK_MS = 50;
/** RFC 863; whether anybody listens does not matter, the question for the neighbour does. */
const DISCARD_PORT = 9;

export interface Interface {
  name: string;
  ifindex: number;
  mac: string;
}

/** @throws EtherloomError ERR_FORWARD_INTERFACE when there is no such interface */
export function interfaceOf(name: string): Interface {
  const read = (what: string): string => readFileSync(`/sys/class/net/${name}/${what}`, 'utf8').trim();
  try {
    return { name, ifindex: Number(read('ifindex')), mac: read('address') };
  } catch (cause) {
    throw new EtherloomError('ERR_FORWARD_INTERFACE', `no interface ${name}`, {
      cause,
      expected: 'one of this network namespace (ip link)',
    });
  }
}

/** @throws EtherloomError ERR_FORWARD_IP with what `ip` said */
function ip(...args: string[]): string {
  const ran = spawnSync('ip', args, { encoding: 'utf8' });
  if (ran.status !== 0)
    throw new EtherloomError(
      'ERR_FORWARD_IP',
      `ip ${args.join(' ')}: ${ran.error?.message ?? ran.stderr.trim()}`,
    );
  return ran.stdout;
}

/**
 * Addresses of an interface: the first of each family, link-local ones left out. Not by os.networkInterfaces, which is
 * silent about an interface for as long as its carrier is new.
 * @throws EtherloomError ERR_FORWARD_IP
 */
export function addressesOf(name: string): string[] {
  const [found] = JSON.parse(ip('-j', 'address', 'show', 'dev', name)) as {
    addr_info: { family: string; local: string; scope: string }[];
  }[];
  return ['inet', 'inet6'].flatMap(family =>
    found.addr_info
      .filter(a => a.family === family && a.scope !== 'link')
      .slice(0, 1)
      .map(a => a.local),
  );
}

/** A veth pair, up, without addresses of its own. */
export class VethPair {
  private constructor(
    readonly a: Interface,
    readonly b: Interface,
  ) {}

  /** @throws EtherloomError ERR_FORWARD_IP */
  static create(a: { name: string; mac: string }, b: { name: string; mac: string }): VethPair {
    const end = (e: { name: string; mac: string }): string[] => ['name', e.name, 'address', e.mac];
    ip('link', 'add', ...end(a), 'type', 'veth', 'peer', ...end(b));
    try {
      for (const { name } of [a, b]) ip('link', 'set', 'dev', name, 'addrgenmode', 'none', 'up');
      return new VethPair(interfaceOf(a.name), interfaceOf(b.name));
    } catch (error) {
      spawnSync('ip', ['link', 'delete', a.name]);
      throw error;
    }
  }

  close(): void {
    spawnSync('ip', ['link', 'delete', this.a.name]);
  }
}

/**
 * The Ethernet address of the neighbour by which the kernel reaches a backend: the backend's own, or its router's. Asks
 * by a datagram when the kernel does not know it yet.
 * @throws EtherloomError ERR_FORWARD_MAC, ERR_FORWARD_IP
 */
export async function resolveMac({ address }: Pick<Backend, 'address'>): Promise<string> {
  const [route] = JSON.parse(ip('-j', 'route', 'get', address)) as { gateway?: string; dev: string }[];
  const neighbour = route.gateway ?? address;
  const look = (): string | undefined => {
    const found = JSON.parse(ip('-j', 'neigh', 'show', 'to', neighbour, 'dev', route.dev) || '[]') as {
      lladdr?: string;
    }[];
    return found.find(n => n.lladdr && isMac(n.lladdr))?.lladdr;
  };
  const until = performance.now() + ANSWER_MS;
  let found = look();
  if (!found) ask(address);
  while (!found && performance.now() < until) {
    await new Promise(done => setTimeout(done, LOOK_MS));
    found = look();
  }
  if (found) return found;
  throw new EtherloomError('ERR_FORWARD_MAC', `${neighbour} on ${route.dev} does not answer`, {
    expected: 'a neighbour that does, or its address by hand: ADDRESS:PORT@MAC',
  });
}

function ask(address: string): void {
  const socket = createSocket(isIPv4(address) ? 'udp4' : 'udp6');
  socket.on('error', () => {});
  socket.send(new Uint8Array(1), DISCARD_PORT, address, () => socket.close());
}
