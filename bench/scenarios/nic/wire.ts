/**
 * The wires of the NIC bench, a namespace for the load and one for the peer:
 *
 *   load:  g0 ═veth═ r0 :peer        reflector: out and back by g0
 *          s0 ═veth═ r1              forwarder: out by g0, back by s0
 *
 * Each peer has a pair of namespaces of its own, so that all of them stand ready and take turns.
 */
import { spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { Namespace } from '../../../tests/support/netns.js';
import { nativeTool } from '../../native/build.js';

export type Work = 'reflect' | 'forward';

const MAC = {
  g0: '02:00:00:00:00:01',
  r0: '02:00:00:00:00:02',
  s0: '02:00:00:00:01:01',
  r1: '02:00:00:00:01:02',
};

/** A load that has not ended by itself is ended, ms. */
const LOAD_MS = 60_000;

/** What xsk_load rtt prints. */
export interface Rtt {
  sent: number;
  lost: number;
  wrong: number;
  minUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  maxUs: number;
}

export class Wire {
  readonly load = quiet(new Namespace('hops'));
  readonly peer = quiet(new Namespace('hops'));

  constructor(
    readonly work: Work,
    readonly queues: number,
  ) {
    this.veth('g0', 'r0');
    this.veth('s0', 'r1');
  }

  private veth(load: 'g0' | 's0', peer: 'r0' | 'r1'): void {
    const queues = ['numtxqueues', `${this.queues}`, 'numrxqueues', `${this.queues}`];
    const other = ['peer', 'name', peer, 'address', MAC[peer], ...queues, 'netns', this.peer.name];
    this.load.ip('link', 'add', load, 'address', MAC[load], ...queues, 'type', 'veth', ...other);
    this.load.configure(load);
    this.peer.configure(peer);
  }

  /** Interfaces of the peer. */
  get interfaces(): readonly string[] {
    return this.work === 'reflect' ? ['r0'] : ['r0', 'r1'];
  }

  /** Interfaces out and in, addresses to and from, whether addresses come back swapped. */
  private get way(): string[] {
    return ['g0', this.work === 'reflect' ? 'g0' : 's0', MAC.r0, MAC.g0, this.work === 'reflect' ? '1' : '0'];
  }

  /** Packets that come back per second, in millions, under more load than anybody takes. */
  async rate(bytes: number, ms: number): Promise<number> {
    const printed = await this.run('rate', ...this.way, `${this.queues}`, `${bytes}`, `${ms}`);
    return (JSON.parse(printed) as { mpps: number }).mpps;
  }

  /** Round trips, one packet at a time. */
  async rtt(bytes: number, count: number): Promise<Rtt> {
    return JSON.parse(await this.run('rtt', ...this.way, `${bytes}`, `${count}`)) as Rtt;
  }

  /** What the load printed. This thread is not stopped: Ctrl-C is heard, and the child ends with the process. */
  private async run(...args: string[]): Promise<string> {
    const child = this.load.spawn(nativeTool('xsk_load'), ...args);
    const late = setTimeout(() => child.kill('SIGKILL'), LOAD_MS);
    const ended = new Promise<number | string | null>((done, failed) => {
      child.once('error', failed);
      child.once('close', (code, signal) => done(code ?? signal));
    });
    const [out, err, end] = await Promise.all([text(child.stdout!), text(child.stderr!), ended]);
    clearTimeout(late);
    if (end !== 0) throw new Error(`xsk_load ${args.join(' ')}: ${err || end}`);
    return out;
  }

  close(): void {
    this.load.close();
    this.peer.close();
  }
}

/** No router solicitations among the packets. */
function quiet(namespace: Namespace): Namespace {
  const off = 'for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done';
  spawnSync('ip', ['netns', 'exec', namespace.name, 'sh', '-c', off], { stdio: 'ignore' });
  return namespace;
}
