/**
 * The network of bench:hops, in namespaces of its own: one client, one server, and for each peer a namespace between
 * them, so that the chains of all peers stand ready side by side and cells can alternate between them.
 *
 *   client ── 10.77.i.2 ═veth═ 10.77.i.1 [ in ── path i ── out ] 10.78.i.1 ═veth═ 10.78.i.2 ── server
 *   client ── 10.77.0.2 ═══════════════════════veth════════════════════════════ 10.77.0.1 ── server     (direct)
 *
 * Neighbours are permanent and IPv6 is off, so that nothing but the transfers is on the wires. Offloads of the veths are
 * the kernel's defaults; each has a queue, as a NIC has.
 */
import { spawnSync } from 'node:child_process';
import { Namespace } from '../../../tests/support/netns.js';

/** One end of a veth. */
export interface End {
  readonly namespace: Namespace;
  readonly dev: string;
  readonly address: string;
  readonly mac: string;
}

/** A namespace between client and server. */
export interface Path {
  readonly namespace: Namespace;
  /** Towards the client: what it connects to. */
  readonly in: End;
  readonly out: End;
  /** The client's end of `in`. */
  readonly client: End;
  /** The server's end of `out`. */
  readonly server: End;
}

const PREFIX = 'hops';

/** Of whoever sends bodies: Linux's own default, which a machine may have replaced. */
export const CONGESTION_CONTROL = 'cubic';

export class Topology {
  readonly client = quiet(new Namespace(PREFIX));
  readonly server = quiet(new Namespace(PREFIX));
  private readonly paths: Path[] = [];

  /** The wire without anything between; called once. Returns the server's address. */
  direct(): string {
    const a = { namespace: this.client, dev: 'direct', address: '10.77.0.2', mac: mac(0, 1) };
    const b = { namespace: this.server, dev: 'direct', address: '10.77.0.1', mac: mac(0, 2) };
    veth(a, b);
    return b.address;
  }

  path(): Path {
    const i = this.paths.length + 1;
    const namespace = quiet(new Namespace(PREFIX));
    const end = (ns: Namespace, dev: string, address: string, n: number): End => ({
      namespace: ns,
      dev,
      address,
      mac: mac(i, n),
    });
    const path: Path = {
      namespace,
      client: end(this.client, `in${i}`, `10.77.${i}.2`, 1),
      in: end(namespace, 'in', `10.77.${i}.1`, 2),
      out: end(namespace, 'out', `10.78.${i}.1`, 3),
      server: end(this.server, `out${i}`, `10.78.${i}.2`, 4),
    };
    veth(path.client, path.in);
    veth(path.out, path.server);
    this.paths.push(path);
    return path;
  }

  /** Removes the namespaces and with them every interface. Processes inside have ended before. */
  close(): void {
    for (const { namespace } of this.paths) namespace.close();
    this.client.close();
    this.server.close();
  }
}

/** Locally administered: path i, end n. */
const mac = (i: number, n: number): string => `02:00:0a:4d:0${i}:0${n}`;

/** No router solicitations, no duplicate address detection. */
function quiet(namespace: Namespace): Namespace {
  inside(
    namespace,
    'sh',
    '-c',
    'for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done',
  );
  return namespace;
}

function veth(a: End, b: End): void {
  const peer = ['peer', 'name', b.dev, 'address', b.mac, 'netns', b.namespace.name];
  a.namespace.ip('link', 'add', a.dev, 'address', a.mac, 'type', 'veth', ...peer);
  a.namespace.configure(a.dev, `${a.address}/24`);
  b.namespace.configure(b.dev, `${b.address}/24`);
  neighbour(a, b);
  neighbour(b, a);
  for (const end of [a, b]) queued(end);
}

/**
 * A queue before the interface, as a NIC has one: without it a veth drops what its other end's ring of 256 has no room for
 * (veth_xmit), and TCP waits 200 ms for the tail of a window, a second for a SYN.
 */
const queued = ({ namespace, dev }: End): void =>
  inside(namespace, 'tc', 'qdisc', 'replace', 'dev', dev, 'root', 'pfifo', 'limit', '4096');

/** Runs a program in a namespace. @throws Error with what it said when it fails */
export function inside(namespace: Namespace, ...args: string[]): void {
  const ran = spawnSync('ip', ['netns', 'exec', namespace.name, ...args], { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`${args.join(' ')}: ${ran.stderr || ran.error?.message}`);
}

function neighbour(of: End, to: End): void {
  of.namespace.ip('neigh', 'replace', to.address, 'lladdr', to.mac, 'dev', of.dev, 'nud', 'permanent');
}

/** One more address at the server's side of a path, which nothing but a forwarder answers for. */
export function extraSource(path: Path, n: number): string {
  const address = path.out.address.replace(/1$/, `${10 + n}`);
  neighbour(path.server, { ...path.out, address });
  return address;
}

/** Removes what a killed bench left behind: namespaces whose process is gone. */
export function removeLeftovers(): void {
  const listed = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout ?? '';
  for (const [, name, pid] of listed.matchAll(/^(el-hops-(\d+)-\d+)/gm)) {
    try {
      process.kill(Number(pid), 0);
    } catch {
      spawnSync('ip', ['netns', 'delete', name]);
    }
  }
}
