/**
 * The kernel's TCP over veth, MTU 1500, offloads off: iperf3, and tcp_peer (bench/native). Server on the first CPU, client
 * on the second.
 *
 *   client 10.88.0.2 ═══════════veth═══════════ 10.88.0.1 server
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { Namespace } from '../../../tests/support/netns.js';
import { nativeTool } from '../../native/build.js';
import { ready, stopChild } from '../hops/chain.js';
import type { SeatResult } from './seats.js';

export const SERVER = '10.88.0.1';
export const CLIENT = '10.88.0.2';
export const MACS = { server: '02:00:0a:58:00:01', client: '02:00:0a:58:00:02' } as const;
const PORT = '7000';
const WARM_S = 1;
/** What both sides send by: another may be this kernel's default. */
export const CUBIC = 'cubic';

/** Why there is no iperf3; undefined when there is. */
export const missingIperf = (): string | undefined =>
  spawnSync('iperf3', ['--version'], { stdio: 'ignore' }).error ? 'iperf3 is not installed' : undefined;

/** What is off: segmentation, or checksums, too. */
const OFFLOADS = {
  segmentation: ['tso', 'gso', 'gro'],
  all: ['tso', 'gso', 'gro', 'tx', 'rx'],
} as const;
export type Off = keyof typeof OFFLOADS;

/**
 * What RPS gives to the CPU of who receives it, as with machines of their own: else a veth has the sender do that work.
 * Data goes to the server, ACKs come from it.
 */
export type Steered = 'nothing' | 'data' | 'data and ACKs';

/** Congestion controls of this kernel. */
export const congestions = (): string[] =>
  (
    spawnSync('sysctl', ['-n', 'net.ipv4.tcp_available_congestion_control'], { encoding: 'utf8' }).stdout ??
    ''
  )
    .trim()
    .split(/\s+/)
    .filter(name => name === 'cubic' || name === 'bbr');

export class KernelWire {
  readonly client = new Namespace('tcp');
  readonly server = new Namespace('tcp');

  constructor(off: Off, steered: Steered) {
    const peer = ['peer', 'name', 'b0', 'address', MACS.server, 'netns', this.server.name];
    this.client.ip('link', 'add', 'a0', 'address', MACS.client, 'type', 'veth', ...peer);
    this.client.configure('a0', `${CLIENT}/24`);
    this.server.configure('b0', `${SERVER}/24`);
    this.client.ip('neigh', 'replace', SERVER, 'lladdr', MACS.server, 'dev', 'a0', 'nud', 'permanent');
    this.server.ip('neigh', 'replace', CLIENT, 'lladdr', MACS.client, 'dev', 'b0', 'nud', 'permanent');
    for (const [namespace, dev] of [
      [this.client, 'a0'],
      [this.server, 'b0'],
    ] as const) {
      const features = OFFLOADS[off].flatMap(name => [name, 'off']);
      const ran = spawnSync('ip', ['netns', 'exec', namespace.name, 'ethtool', '-K', dev, ...features], {
        encoding: 'utf8',
      });
      if (ran.status !== 0) throw new Error(`ethtool -K ${dev}: ${ran.stderr || ran.error?.message}`);
    }
    if (steered !== 'nothing') steer(this.server, 'b0', '1');
    if (steered === 'data and ACKs') steer(this.client, 'a0', '2');
  }

  #on(cpu: 0 | 1, namespace: Namespace, ...command: string[]): ChildProcess {
    return namespace.spawn('taskset', '-c', `${cpu}`, ...command);
  }

  /** Bytes per second of iperf3, one connection. */
  async iperf(congestion: string, seconds: number): Promise<number> {
    const server = this.#on(0, this.server, 'iperf3', '-s', '-1', '--forceflush');
    try {
      await ready(server, 'iperf3');
      const args = ['-c', SERVER, '-C', congestion, '-t', `${seconds}`, '-O', `${WARM_S}`, '-J'];
      const out = await printed(this.#on(1, this.client, 'iperf3', ...args));
      return (
        (JSON.parse(out) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received
          .bits_per_second / 8
      );
    } finally {
      await stopChild(server);
    }
  }

  /** Bytes per second of tcp_peer, one connection. */
  async bulk(ms: number): Promise<number> {
    const sink = await this.peer(0, this.server, 'sink', PORT, `${ms}`);
    const source = printed(
      this.#on(1, this.client, nativeTool('tcp_peer'), 'source', SERVER, PORT, `${ms + 600}`, CUBIC),
    );
    const { rate } = JSON.parse(await printed(sink)) as SeatResult;
    await source;
    return rate;
  }

  /** A closed loop of messages. `how`: whether both sides ask epoll again and again, or sleep in it. */
  async ask(connections: number, bytes: number, ms: number, how: 'spin' | 'sleep'): Promise<SeatResult> {
    const server = await this.peer(0, this.server, 'echo', PORT, how);
    try {
      const args = ['ask', SERVER, PORT, `${connections}`, `${bytes}`, `${ms}`, how];
      return JSON.parse(
        await printed(this.#on(1, this.client, nativeTool('tcp_peer'), ...args)),
      ) as SeatResult;
    } finally {
      await stopChild(server);
    }
  }

  /** A server of tcp_peer that is ready. */
  async peer(cpu: 0 | 1, namespace: Namespace, ...args: string[]): Promise<ChildProcess> {
    const child = this.#on(cpu, namespace, nativeTool('tcp_peer'), ...args);
    await ready(child, `tcp_peer ${args[0]}`);
    return child;
  }

  close(): void {
    this.client.close();
    this.server.close();
  }
}

/** Has the CPUs of a mask, in hexadecimal, work on what arrives at an interface. */
function steer(namespace: Namespace, dev: string, cpus: string): void {
  const write = `echo ${cpus} > /sys/class/net/${dev}/queues/rx-0/rps_cpus`;
  const ran = spawnSync('ip', ['netns', 'exec', namespace.name, 'sh', '-c', write], { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`RPS of ${dev}: ${ran.stderr || ran.error?.message}`);
}

/** What a child prints until it ends. @throws Error with what it said on stderr when it fails */
export async function printed(child: ChildProcess): Promise<string> {
  const ended = new Promise<number | string | null>((done, failed) => {
    child.once('error', failed);
    child.once('close', (code, signal) => done(code ?? signal));
  });
  const [out, err, end] = await Promise.all([text(child.stdout!), text(child.stderr!), ended]);
  if (end !== 0) throw new Error(`${child.spawnargs.slice(4).join(' ')}: ${err || out || end}`);
  return out;
}
