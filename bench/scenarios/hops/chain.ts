/**
 * What stands between client and server: nothing, socats, or forwarders. Every peer of bench:hops is one `Chain`; the
 * bench starts it for a number of forwarders, sends its transfers through and stops it.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../../../tests/support/netns.js';
import { CONGESTION_CONTROL, type End, extraSource, inside, type Path, type Topology } from './topology.js';

/** Where the client connects to. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface Chain {
  readonly name: string;
  /** Namespaces beside client's and server's whose kernel counters belong to it. */
  readonly namespaces: readonly Namespace[];
  /** One line on how it runs: sleeping or spinning, mode of attachment. Known when it has been started. */
  readonly conditions?: string;
  /** @throws Error when it does not come up */
  start(forwarders: number): Promise<Target>;
  stop(): Promise<void>;
}

export const SERVER_PORT = 8000;

/** setsockopt(2): level and name, which socat takes as numbers. */
const [TCP, TCP_CONGESTION] = [6, 13];

/** Source ports of a forwarder, from 16384 on: more than a client has ports, so that no two of them share one. */
const FLOWS = 45_056;

/** Port on which forwarder j of n listens, counted from the client: 8000 − n … 7999, as in the report. */
export const portOf = (j: number, n: number): number => SERVER_PORT - n + j;

/** The server itself: what the other peers' times contain anyway. */
export class DirectChain implements Chain {
  readonly name = 'direct';
  readonly namespaces = [];
  private readonly host: string;

  constructor(topology: Topology) {
    this.host = topology.direct();
  }

  async start(): Promise<Target> {
    return { host: this.host, port: SERVER_PORT };
  }

  async stop(): Promise<void> {}
}

/** Why there is no socat; undefined when there is. */
export const missingSocat = (): string | undefined =>
  spawnSync('socat', ['-V'], { stdio: 'ignore' }).error ? 'socat is not installed' : undefined;

/** The report's peer: one socat per forwarder, a process per connection, over lo between them. */
export class SocatChain implements Chain {
  readonly name = 'socat';
  readonly conditions = 'a process per connection, backlog 1024';
  readonly namespaces: readonly Namespace[];
  private running: ChildProcess[] = [];

  constructor(private readonly path: Path) {
    this.namespaces = [path.namespace];
  }

  async start(forwarders: number): Promise<Target> {
    for (let j = 0; j < forwarders; j++) {
      // socat's own backlog of 5 would make 16 clients pay for lost SYNs, which is not what is measured here.
      const listen = `TCP4-LISTEN:${portOf(j, forwarders)},fork,reuseaddr,backlog=1024,setsockopt-string=${TCP}:${TCP_CONGESTION}:${CONGESTION_CONTROL}`;
      const last = j === forwarders - 1;
      const next = last
        ? `${this.path.server.address}:${SERVER_PORT}`
        : `127.0.0.1:${portOf(j + 1, forwarders)}`;
      this.running.push(this.path.namespace.spawn('socat', listen, `TCP4:${next}`));
    }
    return { host: this.path.in.address, port: portOf(0, forwarders) };
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.splice(0).map(stopChild));
  }
}

/** Our program, by the engine or by the kernel: forwarder.ts in the namespace of the path. */
export class ForwarderChain implements Chain {
  readonly namespaces: readonly Namespace[];
  conditions: string | undefined;
  private running: ChildProcess | undefined;

  constructor(
    readonly name: 'etherloom' | 'kernel',
    private readonly path: Path,
  ) {
    this.namespaces = [path.namespace];
    // veth takes redirected packets only where the other end polls, which it does with GRO; NICs have it on.
    for (const end of [path.client, path.server]) {
      offload(end, 'gro', 'on');
      polledByThread(end);
    }
    // What an AF_XDP socket sends is put together by the other end's GRO only where this one has no segmentation offload
    // (veth_skb_is_eligible_for_gro); what is redirected in the kernel always is.
    for (const end of [path.in, path.out]) offload(end, 'tso', 'off');
  }

  async start(forwarders: number): Promise<Target> {
    const { in: entry, server, namespace } = this.path;
    const ports = Array.from({ length: forwarders }, (_, j) => portOf(j, forwarders));
    const config = {
      address: entry.address,
      // A client's port leads to the same source port in every chain, but chains listen on ports of their own, and Linux
      // begins timestamps elsewhere for each tuple: the server, which remembers for a minute, would refuse every second one.
      source: extraSource(this.path, forwarders),
      // Two client ports on one source port would be one tuple with two clocks (Linux begins timestamps elsewhere for each
      // tuple): the server, which remembers the first for a minute, refuses the second one's first SYN.
      flows: FLOWS,
      services: [{ ports, backends: [`${server.address}:${SERVER_PORT}@${server.mac}`], protocols: ['tcp'] }],
    };
    const script = fileURLToPath(new URL('forwarder.ts', import.meta.url));
    const args = ['--import', 'tsx', script, this.name, JSON.stringify(config)];
    this.running = namespace.spawn(process.execPath, ...args);
    const line = await ready(this.running, this.name);
    this.conditions = `${line.replace(/^ready: /, '')}; GRO and threaded NAPI (SCHED_FIFO) at client and server, no TSO at the forwarder`;
    return { host: entry.address, port: ports[0] };
  }

  async stop(): Promise<void> {
    if (this.running) await stopChild(this.running);
    this.running = undefined;
  }
}

/**
 * What comes is worked on by a thread of the interface instead of whoever sends: an AF_XDP socket sends in copy mode
 * packet by packet, and each would be a softirq of its own that finds nothing to put together. The thread is a real-time
 * one, as the softirq that it replaces precedes every process: else it waits a tick (4 ms) for a lane to go to sleep.
 */
function polledByThread({ namespace, dev }: End): void {
  inside(namespace, 'sh', '-c', `echo 1 > /sys/class/net/${dev}/threaded`);
  inside(namespace, 'sh', '-c', `for p in $(pgrep '^napi/${dev}-'); do chrt -f -p 1 $p; done`);
}

const offload = ({ namespace, dev }: End, feature: string, state: 'on' | 'off'): void =>
  inside(namespace, 'ethtool', '-K', dev, feature, state);

/** Why there is no ethtool; undefined when there is. */
export const missingEthtool = (): string | undefined =>
  spawnSync('ethtool', ['--version'], { stdio: 'ignore' }).error ? 'ethtool is not installed' : undefined;

/** Waits for a child's first line. @throws Error with what it said on stderr when it ends before */
export function ready(child: ChildProcess, name: string): Promise<string> {
  return new Promise((done, failed) => {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', text => (said += text));
    child.stdout?.setEncoding('utf8').once('data', text => done(String(text).trim()));
    child.once('error', failed);
    child.once('exit', code => failed(new Error(`${name} ended with ${code}: ${said}`)));
  });
}

/** Ends a child and waits until it is gone: politely, after 3 s not. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise(done => child.once('exit', done));
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(hard);
}
