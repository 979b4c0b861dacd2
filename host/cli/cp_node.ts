/** A node of etherloom cp: a server, a client, or both, in one thread. commands/cp.ts and lines of standard input say which. */
import { performance } from 'node:perf_hooks';
import type { MessageCarrier } from '../apps/cp/carrier.js';
import { MessageClient } from '../apps/cp/client.js';
import { HomaMessages } from '../apps/cp/homa_messages.js';
import { TcpMessages } from '../apps/cp/tcp_messages.js';
import { timesText } from '../apps/cp/times.js';
import { Uniform } from '../apps/workloads/arrivals.js';
import { type Workload, workload } from '../apps/workloads/workload.js';
import { EtherloomError } from '../errors.js';
import type { Stack } from '../net/stack.js';
import type { CpInterval, CpLines } from './cp_lines.js';
import type { ClientWish } from './cp_options.js';
import type { CliHosts } from './hosts.js';
import { writeOutput } from './output.js';

export interface NodeOptions extends ClientWish {
  protocol: 'homa' | 'tcp';
  firstPort: number;
  /** Connections to each server, or, over Homa, nothing. */
  ports: number;
  oneWay?: boolean;
}

const CONNECT_MS = 10_000;
/** A loop that found nothing for so long lets others have the CPU, ms. */
const SPIN_MS = 2;

type Carrier = MessageCarrier & { meet(host: string): number; serve(): unknown; flush(): void };

function carrierOf(stack: Stack, options: NodeOptions): Carrier {
  const { firstPort: port, oneWay = false } = options;
  if (options.protocol === 'homa')
    return new HomaMessages(stack, { port, ifindex: stack.network.ports[0].ifindex, oneWay });
  const uniform = new Uniform(options.seed);
  return new TcpMessages(stack.burst, {
    ...{ port, ports: options.ports, oneWay, connection: { noDelay: true } },
    choose: n => Math.floor(uniform.next() * n),
  });
}

/** How long messages of a --workload are. @throws EtherloomError ERR_USAGE_VALUE */
export function lengthsOf(name: string): Workload {
  try {
    return workload(name, true);
  } catch (error) {
    if (!(error instanceof EtherloomError)) throw error;
    const { expected } = error;
    throw new EtherloomError('ERR_USAGE_VALUE', `--workload ${name}`, {
      ...(expected && { expected }),
      cause: error,
    });
  }
}

export class CpNode {
  readonly #carriers: Carrier[] = [];
  #client: MessageClient | undefined;
  #server: Carrier | undefined;
  /** What the client calls by, and whom it has met. */
  #caller: Carrier | undefined;
  readonly #met = new Set<string>();
  /** What the client was told. */
  #wish: ClientWish;
  #ended = false;

  /** @param ends it is over when all that `unloaded` asks for is done */
  constructor(
    readonly hosts: CliHosts,
    readonly options: NodeOptions,
    readonly lines: CpLines,
    readonly ends: boolean,
  ) {
    this.#wish = options;
  }

  get serves(): boolean {
    return this.#server !== undefined;
  }

  /** Requests of the client that are under way. */
  get outstanding(): number {
    return this.#client?.outstanding ?? 0;
  }

  serve(): void {
    if (this.#server) return;
    const { far, own } = this.hosts;
    this.#server = far === undefined && this.#caller ? this.#caller : this.#carrier(far ?? own);
    this.#server.serve();
  }

  #carrier(stack: Stack): Carrier {
    const carrier = carrierOf(stack, this.options);
    this.#carriers.push(carrier);
    return carrier;
  }

  /** @throws EtherloomError ERR_CP_COMMAND while another client calls; ERR_USAGE_VALUE, ERR_USAGE_MISSING */
  call(wish: ClientWish): void {
    const { hosts, lines } = this;
    const nodes = hosts.far ? [hosts.address] : (wish.serverNodes ?? []);
    if (nodes.length === 0 && this.#met.size === 0)
      throw new EtherloomError('ERR_USAGE_MISSING', 'no server', { expected: '--server-nodes ADDRESS,…' });
    const before = this.#client;
    if (before !== undefined && (before.outstanding > 0 || !(before.stopped || before.done)))
      throw new EtherloomError('ERR_CP_COMMAND', 'client: another one calls, or waits for answers', {
        expected: 'stop, and a moment later client',
      });
    const lengths = lengthsOf(wish.workload);
    if (before) lines.rest({ span: before.span() });
    this.#caller ??= hosts.far === undefined && this.#server ? this.#server : this.#carrier(hosts.own);
    for (const node of nodes) if (!this.#met.has(node)) this.#caller.meet(node);
    for (const node of nodes) this.#met.add(node);
    this.#wish = wish;
    this.#client = new MessageClient(this.#caller, {
      workload: lengths,
      ...{ gbps: wish.gbps, max: wish.clientMax, unloaded: wish.unloaded, seed: wish.seed },
      peers: this.#met.size,
      failed: error => lines.failed(error),
    });
  }

  /** Makes turns until the time is over, somebody ends it, or all that was asked for is done. */
  async run(untilMs: number): Promise<void> {
    let heardMs = performance.now();
    for (;;) {
      let n = this.#client?.turn() ?? 0;
      for (const carrier of this.#carriers) {
        carrier.flush();
        n += carrier.turn();
      }
      const now = performance.now();
      if (n > 0) heardMs = now;
      if (this.#ended || now >= untilMs || (this.ends && this.#client?.done)) return;
      if (now - heardMs > SPIN_MS) await new Promise(next => setTimeout(next, 1));
      else await new Promise(next => setImmediate(next));
    }
  }

  /** Until servers are met. @throws EtherloomError ERR_LOAD_CONNECT */
  async meet(): Promise<void> {
    const late = performance.now() + CONNECT_MS;
    while (!this.#carriers.every(c => c.ready) && !this.#ended) {
      if (performance.now() > late)
        throw new EtherloomError('ERR_LOAD_CONNECT', `servers have not answered in ${CONNECT_MS} ms`, {
          expected: 'etherloom cp server at the other end, of the same --protocol',
        });
      await this.run(performance.now() + 1);
    }
  }

  /** What happened since the last call. */
  look(): CpInterval {
    const client = this.#client;
    return {
      ...(this.#server && { served: this.#server.served }),
      ...(client && { client, span: client.span() }),
    };
  }

  /** cp_node's `dump_times`. @throws EtherloomError ERR_FILE_WRITE */
  dump(path: string): void {
    const { lengths, tookUs } = this.#client ?? { lengths: [], tookUs: [] };
    const { protocol } = this.options;
    const { workload: name, gbps, unloaded } = this.#wish;
    const what = `${protocol}, workload ${name}, ${unloaded ? 'unloaded' : `${gbps} Gbps`}`;
    writeOutput(path, Buffer.from(timesText({ lengths, us: tookUs }, what)));
  }

  stop(): void {
    if (this.#client) this.#client.stopped = true;
  }

  end(): void {
    this.#ended = true;
  }

  close(): void {
    for (const carrier of this.#carriers) carrier.close();
  }
}
