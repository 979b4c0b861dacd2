/** Clients of the kernel, across AF_XDP and a router that loses packets. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Tally } from '../../support/tally.js';
import { Wire } from '../../tcp/interop/wire.js';
import type { Counted } from './load.js';

const CLIENTS = fileURLToPath(new URL('kernel_clients.ts', import.meta.url));

interface Told {
  over: boolean;
  failures: string[];
  http?: Counted;
  ws?: Counted;
  kv?: Counted;
  udp?: Counted;
}

export class KernelClients {
  readonly #child: ChildProcess;
  readonly #tally: Tally<Told>;
  readonly #gone: Promise<unknown>;
  #said = '';

  constructor(
    readonly wire: Wire,
    seed: number,
  ) {
    const line = ['--import', 'tsx', CLIENTS, wire.address(), `${seed}`];
    this.#child = wire.far.spawnFed(process.execPath, ...line);
    this.#gone = once(this.#child, 'close');
    this.#child.stderr!.setEncoding('utf8').on('data', text => (this.#said += text));
    this.#tally = new Tally<Told>(this.#child, { over: false, failures: [] });
  }

  static wire(loss: number): Promise<Wire> {
    return Wire.create({ nic: 'af_xdp', loss });
  }

  get total(): Record<string, Counted> {
    const { over: _, failures: __, ...loads } = this.#tally.total;
    return loads;
  }

  /** What went wrong with the process itself. */
  get faults(): string[] {
    const { failures, over } = this.#tally.total;
    const ended = this.#child.exitCode !== null && !over ? [`kernel clients ended: ${this.#said}`] : [];
    return [...failures, ...ended];
  }

  async stop(): Promise<void> {
    this.#child.stdin!.end();
    await this.#gone;
  }
}
