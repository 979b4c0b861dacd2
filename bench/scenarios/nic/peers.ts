/** Who reflects or forwards: the engine, the native program, the kernel itself. Each is a process in its namespace. */
import type { ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { nativeTool } from '../../native/build.js';
import { ready, stopChild } from '../hops/chain.js';
import { Wire, type Work } from './wire.js';

export interface Setting {
  readonly work: Work;
  /** As many lanes, or threads. */
  readonly queues: number;
  /** How long a peer without work spins before it sleeps, µs. */
  readonly spinUs: number;
}

/** Never sleeps, to both peers. */
export const SPIN = 2 ** 31 - 1;

export type PeerName = 'etherloom' | 'native' | 'kernel';

/** A peer on wires of its own. It stands still unless it is its turn. */
export class NicPeer {
  private constructor(
    readonly name: PeerName,
    readonly wire: Wire,
    private readonly child: ChildProcess,
  ) {}

  /** @throws Error when it does not come up */
  static async start(name: PeerName, setting: Setting): Promise<NicPeer> {
    const wire = new Wire(setting.work, setting.queues);
    const { work, queues, spinUs } = setting;
    const [command, ...args] =
      name === 'native'
        ? [nativeTool('xsk_peer'), work, ...wire.interfaces, `${queues}`, `${spinUs === SPIN ? -1 : spinUs}`]
        : [process.execPath, '--import', 'tsx', SCRIPT, name, work, `${queues}`, `${spinUs}`];
    const child = wire.peer.spawn('taskset', '-c', cpuList(queues), command, ...args);
    await ready(child, name);
    const peer = new NicPeer(name, wire, child);
    peer.pause();
    return peer;
  }

  /** Its turn: the others stand still meanwhile, spinning ones included. */
  async turn<T>(work: (wire: Wire) => Promise<T>): Promise<T> {
    this.child.kill('SIGCONT');
    try {
      return await work(this.wire);
    } finally {
      this.pause();
    }
  }

  private pause(): void {
    this.child.kill('SIGSTOP');
  }

  async stop(): Promise<void> {
    this.child.kill('SIGCONT');
    await stopChild(this.child);
    this.wire.close();
  }
}

const SCRIPT = fileURLToPath(new URL('peer.ts', import.meta.url));

/** The first CPUs: the load takes the last ones. */
function cpuList(queues: number): string {
  return `0-${Math.min(queues, cpus().length) - 1}`;
}
