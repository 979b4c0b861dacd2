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

export class Peers {
  readonly client = new Namespace('forward');
  readonly middle = new Namespace('forward');
  readonly server = new Namespace('forward');
  readonly #children: ChildProcess[] = [];

  /** `queues` of every interface. */
  constructor(queues = 1) {
    const many = ['numrxqueues', `${queues}`, 'numtxqueues', `${queues}`];
    const wire = (a: Namespace, dev: string, b: Namespace, peer: string): void => {
      a.ip('link', 'add', dev, ...many, 'type', 'veth', 'peer', 'name', peer, 'netns', b.name, ...many);
    };
    wire(this.client, 'c0', this.middle, 'in');
    wire(this.middle, 'out', this.server, 's0');
    this.client.configure('c0', `${CLIENT}/24`, `${CLIENT6}/64`);
    this.middle.configure('in', `${FRONT}/24`, `${FRONT6}/64`);
    this.middle.configure('out', `${REAR}/24`, `${REAR6}/64`);
    this.server.configure('s0', `${BACKEND}/24`, `${BACKEND6}/64`);
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
  serve(port = SERVER_PORT): Promise<Running> {
    return this.start(this.server, /listening/, process.execPath, ...TSX, SERVER, `${port}`);
  }

  /** `etherloom forward` between `in` and `out`, in JSON. */
  forward(...args: string[]): Promise<Running> {
    return this.start(
      this.middle,
      /"started"/,
      process.execPath,
      ...TSX,
      MAIN,
      'forward',
      ...['--in', 'af_xdp:in', '--out', 'af_xdp:out', '--json', '--interval', '60'],
      ...args,
    );
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
    for (const ns of [this.client, this.middle, this.server]) ns.close();
  }
}

export interface Running {
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and gives all that it said. */
  stop(signal?: NodeJS.Signals): Promise<string>;
}
