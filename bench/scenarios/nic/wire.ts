/**
 * The wires of the NIC bench, a namespace for the load and one for the peer:
 *
 *   load:  g0 ═veth═ r0 :peer        reflector: out and back by g0
 *          s0 ═veth═ r1              forwarder: out by g0, back by s0
 *
 * Each peer has a pair of namespaces of its own, so that all of them stand ready and take turns.
 */
import { spawnSync } from 'node:child_process';
import { Namespace } from '../../../tests/support/netns.js';
import { nativeTool } from '../../native/build.js';

export type Work = 'reflect' | 'forward';

const MAC = {
  g0: '02:00:00:00:00:01',
  r0: '02:00:00:00:00:02',
  s0: '02:00:00:00:01:01',
  r1: '02:00:00:00:01:02',
};

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
  rate(bytes: number, ms: number): number {
    const printed = this.run('rate', ...this.way, `${this.queues}`, `${bytes}`, `${ms}`);
    return (JSON.parse(printed) as { mpps: number }).mpps;
  }

  /** Round trips, one packet at a time. */
  rtt(bytes: number, count: number): Rtt {
    return JSON.parse(this.run('rtt', ...this.way, `${bytes}`, `${count}`)) as Rtt;
  }

  private run(...args: string[]): string {
    const ran = spawnSync('ip', ['netns', 'exec', this.load.name, nativeTool('xsk_load'), ...args], {
      encoding: 'utf8',
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    if (ran.status !== 0)
      throw new Error(`xsk_load ${args.join(' ')}: ${ran.stderr || ran.error?.message || ran.signal}`);
    return ran.stdout;
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
