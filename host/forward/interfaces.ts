/**
 * What the kernel knows of interfaces, and the veth pairs that join hops in it: by /sys and iproute2, since all of it
 * happens once, before a packet flows. In the network namespace of this process.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { EtherloomError } from '../errors.js';
import type { Backend } from './config.js';
import { INNER_MAC } from './hop.js';
import { type Neighbour, neighbourOf, routeTo } from './netlink.js';

/** How long a neighbour may take to answer, ms. */
const ANSWER_MS = 3000;
const LOOK_MS = 50;
/** RFC 863; whether anybody listens does not matter, the question for the neighbour does. */
const DISCARD_PORT = 9;

export interface Interface {
  name: string;
  ifindex: number;
  mac: string;
  /** Largest IP packet, bytes. */
  mtu: number;
}

/** @throws EtherloomError ERR_FORWARD_INTERFACE when there is no such interface */
export function interfaceOf(name: string): Interface {
  const read = (what: string): string => readFileSync(`/sys/class/net/${name}/${what}`, 'utf8').trim();
  try {
    return { name, ifindex: Number(read('ifindex')), mac: read('address'), mtu: Number(read('mtu')) };
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

/** Begin of the names of a process's pairs; what follows tells them apart. */
const stemOf = (pid: number): string => `el${pid.toString(36)}-`;
const STEM = /^el([0-9a-z]+)-[0-9a-z]+[ab]$/;

/** Whether a process is there, whoever's it is. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Removes pairs of processes that were killed before they could: of their names and addresses, so nobody else's. */
export function sweepPairs(): void {
  for (const name of readdirSync('/sys/class/net')) {
    const pid = Number.parseInt(STEM.exec(name)?.[1] ?? '', 36);
    if (!pid || lives(pid)) continue;
    try {
      if (interfaceOf(name).mac.startsWith(INNER_MAC)) spawnSync('ip', ['link', 'delete', name]);
    } catch {
      // It went with its other end.
    }
  }
}

let made = 0;

/** A veth pair, up, without addresses of its own. */
export class VethPair {
  private constructor(
    readonly a: Interface,
    readonly b: Interface,
  ) {}

  /**
   * Ends with these Ethernet addresses. Names tell whose it is: see sweepPairs.
   * @throws EtherloomError ERR_FORWARD_IP
   */
  static create(macs: readonly [string, string], mtu: number): VethPair {
    const stem = `${stemOf(process.pid)}${(made++).toString(36)}`;
    const [a, b] = [`${stem}a`, `${stem}b`];
    const end = (name: string, mac: string): string[] => ['name', name, 'address', mac, 'mtu', `${mtu}`];
    ip('link', 'add', ...end(a, macs[0]), 'type', 'veth', 'peer', ...end(b, macs[1]));
    try {
      for (const name of [a, b]) ip('link', 'set', 'dev', name, 'addrgenmode', 'none', 'up');
      return new VethPair(interfaceOf(a), interfaceOf(b));
    } catch (error) {
      spawnSync('ip', ['link', 'delete', a]);
      throw error;
    }
  }

  close(): void {
    spawnSync('ip', ['link', 'delete', this.a.name]);
  }
}

/**
 * The Ethernet address of the neighbour by which the kernel reaches a backend: the backend's own, or its router's. Asks
 * by a datagram when the kernel does not know it, or has not heard of it lately: packets of an engine are no sign of
 * life to the kernel.
 * @param again it was known before, and is looked at again soon: no waiting for an answer
 * @throws EtherloomError ERR_FORWARD_MAC, ERR_NETLINK
 */
export async function resolveMac({ address }: Pick<Backend, 'address'>, again = false): Promise<string> {
  const until = performance.now() + (again ? 0 : ANSWER_MS);
  // Anew each time: the interface may be another by now.
  const look = (): Neighbour | undefined => neighbourOf(routeTo(address));
  let found = look();
  if (!found || found.stale) ask(address);
  while (!found && performance.now() < until) {
    await new Promise(done => setTimeout(done, LOOK_MS));
    found = look();
  }
  if (found) return found.mac;
  throw new EtherloomError('ERR_FORWARD_MAC', `${routeTo(address).neighbour} does not answer`, {
    expected: 'a neighbour that does, or its address by hand: ADDRESS:PORT@MAC',
  });
}

function ask(address: string): void {
  const socket = createSocket(isIPv4(address) ? 'udp4' : 'udp6');
  socket.on('error', () => {});
  socket.send(new Uint8Array(1), DISCARD_PORT, address, () => socket.close());
}
