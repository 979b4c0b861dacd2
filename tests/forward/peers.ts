/** Real peers: a client, a forwarder's and a server's namespace in a row, and the forwarder as a process of its own. */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Namespace } from '../support/netns.js';
import { BACKEND, BACKEND6, CLIENT, CLIENT6, FRONT, FRONT6, REAR, REAR6 } from './rig.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = `${ROOT}host/cli/main.ts`;
const SERVER = fileURLToPath(new URL('server.ts', import.meta.url));
const TSX = ['--import', 'tsx'];
export const SERVER_PORT = 8000;

/** Kernel counters of a namespace by group and name, as snmp and netstat of /proc/net have them. */
export type Snmp = Record<string, number>;

function wire(a: Namespace, dev: string, b: Namespace, peer: string, queues = 1): void {
  const many = ['numrxqueues', `${queues}`, 'numtxqueues', `${queues}`];
  a.ip('link', 'add', dev, ...many, 'type', 'veth', 'peer', 'name', peer, 'netns', b.name, ...many);
}

export class Peers {
  readonly client = new Namespace('forward');
  readonly middle = new Namespace('forward');
  readonly server = new Namespace('forward');
  readonly #children: ChildProcess[] = [];
  readonly #more: Namespace[] = [];

  /**
   * @param queues of every interface
   * @param askAgainMs after so long kernels ask for a neighbour again; their default is a second. A question that is lost
   * while a link comes up is a matter of theirs: where something else is measured they may ask sooner.
   */
  constructor(
    readonly queues = 1,
    readonly askAgainMs = 1000,
  ) {
    this.wireClient();
    this.wireServer();
  }

  /** The pair between client and forwarder; again after one end was deleted. */
  wireClient(): void {
    wire(this.client, 'c0', this.middle, 'in', this.queues);
    this.#ask(this.client, 'c0');
    this.#ask(this.middle, 'in');
    this.client.configure('c0', `${CLIENT}/24`, `${CLIENT6}/64`);
    this.middle.configure('in', `${FRONT}/24`, `${FRONT6}/64`);
  }

  /** The pair between forwarder and server; again after one end was deleted. */
  wireServer(): void {
    wire(this.middle, 'out', this.server, 's0', this.queues);
    this.#ask(this.middle, 'out');
    this.#ask(this.server, 's0');
    this.middle.configure('out', `${REAR}/24`, `${REAR6}/64`);
    this.server.configure('s0', `${BACKEND}/24`, `${BACKEND6}/64`);
  }

  #ask(where: Namespace, link: string): void {
    for (const table of ['arp_cache', 'ndisc_cache'])
      where.ip('ntable', 'change', 'name', table, 'dev', link, 'retrans', `${this.askAgainMs}`);
  }

  /** A namespace behind the server, which becomes a router: 10.2.0.1 and fd02::1, on a link with that MTU. */
  async behindServer(mtu: number): Promise<Namespace> {
    const far = new Namespace('forward');
    this.#more.push(far);
    wire(this.server, 'r0', far, 'f0');
    this.server.configure('r0', '10.2.0.2/24', 'fd02::2/64');
    far.configure('f0', '10.2.0.1/24', 'fd02::1/64');
    this.server.ip('link', 'set', 'r0', 'mtu', `${mtu}`);
    for (const [route, via] of [
      ['10.2.0.0/24', BACKEND],
      ['fd02::/64', BACKEND6],
    ])
      this.middle.ip('route', 'add', route, 'via', via);
    for (const [route, via] of [
      ['10.1.0.0/24', '10.2.0.2'],
      ['fd01::/64', 'fd02::2'],
    ])
      far.ip('route', 'add', route, 'via', via);
    await this.server.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    return far;
  }

  /** A veth takes redirected packets only when its far end polls. */
  async takeRedirected(): Promise<void> {
    await this.client.run('ethtool', '-K', 'c0', 'gro', 'on');
    await this.server.run('ethtool', '-K', 's0', 'gro', 'on');
  }

  /** Starts a process in a namespace; resolves when its output matches. @throws Error with what it said instead */
  async start(where: Namespace, ready: RegExp, command: string, ...args: string[]): Promise<Running> {
    const child = where.spawn(command, ...args);
    this.#children.push(child);
    let said = '';
    const add = (text: Buffer): void => void (said += text);
    child.stdout!.on('data', add);
    child.stderr!.on('data', add);
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (ready.test(said)) resolve();
      };
      child.stdout!.on('data', look);
      child.stderr!.on('data', look);
      child.once('close', code => reject(new Error(`ended with ${code}: ${said}`)));
    });
    return {
      output: () => said,
      kill: signal => void child.kill(signal),
      async stop(signal = 'SIGINT') {
        const closed = new Promise(done => child.once('close', done));
        child.kill(signal);
        await closed;
        return said;
      },
    };
  }

  /** The server: 100 MB and less over HTTP, UDP echo. */
  serve(port = SERVER_PORT, where = this.server): Promise<Running> {
    return this.start(where, /listening/, process.execPath, ...TSX, SERVER, `${port}`);
  }

  /** `etherloom forward` with arguments: the command and the rest. */
  command(...args: string[]): [string, ...string[]] {
    return [process.execPath, ...TSX, MAIN, 'forward', ...args];
  }

  /** `etherloom forward` between `in` and `out`, in JSON. */
  forward(...args: string[]): Promise<Running> {
    const between = ['--in', 'af_xdp:in', '--out', 'af_xdp:out', '--json', '--interval', '60'];
    return this.start(this.middle, /"started"/, ...this.command(...between, ...args));
  }

  /** Counters of client and server together. */
  async snmp(): Promise<Snmp> {
    const sum: Snmp = {};
    for (const ns of [this.client, this.server]) {
      const { out } = await ns.run('cat', '/proc/net/snmp', '/proc/net/netstat');
      const lines = out.split('\n');
      for (let i = 0; i + 1 < lines.length; i += 2) {
        const [group, ...names] = lines[i].split(' ');
        const values = lines[i + 1].split(' ').slice(1);
        names.forEach((name, k) => {
          const key = `${group.replace(':', '')}${name}`;
          sum[key] = (sum[key] ?? 0) + Number(values[k]);
        });
      }
    }
    return sum;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const ns of [this.client, this.middle, this.server, ...this.#more]) ns.close();
  }
}

export interface Running {
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and gives all that it said. */
  stop(signal?: NodeJS.Signals): Promise<string>;
}
