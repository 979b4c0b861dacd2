/**
 * etherloom cp: HomaModule's cp_node on any NIC. The line says `client` or `server`, or, with --commands, lines of standard
 * input do. On the shared-memory link the server is the far host, in this process.
 */

import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import type { MessageCarrier } from '../../apps/cp/carrier.js';
import { clientLine, MessageClient } from '../../apps/cp/client.js';
import { HomaMessages } from '../../apps/cp/homa_messages.js';
import { TcpMessages } from '../../apps/cp/tcp_messages.js';
import { timesText } from '../../apps/cp/times.js';
import { Uniform } from '../../apps/workloads/arrivals.js';
import { workload } from '../../apps/workloads/workload.js';
import { EtherloomError } from '../../errors.js';
import type { Stack } from '../../net/stack.js';
import { type ClientWish, clientWish } from '../cp_options.js';
import { type CliHosts, openHosts } from '../hosts.js';
import { ending } from '../live.js';
import { EXIT, print, toJson, writeOutput } from '../output.js';

export interface CpOptions extends ClientWish {
  nic: string;
  address?: string[];
  gateway?: string[];
  threads: number;
  spin: number;
  buffer?: number;
  interval: number;
  json?: boolean;
  protocol: 'homa' | 'tcp';
  firstPort: number;
  /** Connections to each server, or, over Homa, nothing. */
  ports: number;
  oneWay?: boolean;
  duration?: number;
  dump?: string;
  commands?: boolean;
}

export type CpRole = 'client' | 'server';

/** Connections that a server has room for. */
const SERVED = 1024;
const CONNECT_MS = 10_000;
/** A loop that found nothing for so long lets others have the CPU, ms. */
const SPIN_MS = 2;
/** How long answers are waited for at the end, ms. */
const LAST_MS = 10_000;

type Carrier = MessageCarrier & { meet(host: string): number; serve(): unknown; flush(): void };

function carrierOf(stack: Stack, options: CpOptions): Carrier {
  const { firstPort: port, oneWay = false } = options;
  if (options.protocol === 'homa')
    return new HomaMessages(stack, { port, ifindex: stack.network.ports[0].ifindex, oneWay });
  const uniform = new Uniform(options.seed);
  return new TcpMessages(stack.burst, {
    ...{ port, ports: options.ports, oneWay, connection: { noDelay: true } },
    choose: n => Math.floor(uniform.next() * n),
  });
}

class Node {
  readonly #carriers: Carrier[] = [];
  #client: MessageClient | undefined;
  #server: Carrier | undefined;
  /** What the client calls by, and whom it has met. */
  #caller: Carrier | undefined;
  readonly #met = new Set<string>();
  /** What the client was told. */
  #wish: ClientWish;
  #before = { requests: 0, bytesIn: 0, bytesOut: 0 };
  #ended = false;
  /** What went wrong, of all clients that there were: how often. */
  readonly errors = new Map<string, number>();

  /** @param ends it is over when all that `unloaded` asks for is done */
  constructor(
    readonly hosts: CliHosts,
    readonly options: CpOptions,
    readonly ends: boolean,
  ) {
    this.#wish = options;
  }

  get client(): MessageClient | undefined {
    return this.#client;
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

  /** @throws EtherloomError ERR_CP_COMMAND while another client calls; ERR_WORKLOAD; ERR_USAGE_MISSING */
  call(wish: ClientWish): void {
    const { hosts } = this;
    const nodes = hosts.far ? [hosts.address] : (wish.serverNodes ?? []);
    if (nodes.length === 0 && this.#met.size === 0)
      throw new EtherloomError('ERR_USAGE_MISSING', 'no server', { expected: '--server-nodes ADDRESS,…' });
    const before = this.#client;
    if (before !== undefined && (before.outstanding > 0 || !(before.stopped || before.done)))
      throw new EtherloomError('ERR_CP_COMMAND', 'client: another one calls, or waits for answers', {
        expected: 'stop, and a moment later client',
      });
    const lengths = workload(wish.workload, true);
    this.keepErrors();
    this.#caller ??= hosts.far === undefined && this.#server ? this.#server : this.#carrier(hosts.own);
    for (const node of nodes) if (!this.#met.has(node)) this.#caller.meet(node);
    for (const node of nodes) this.#met.add(node);
    this.#wish = wish;
    this.#client = new MessageClient(this.#caller, {
      workload: lengths,
      ...{ gbps: wish.gbps, max: wish.clientMax, unloaded: wish.unloaded, seed: wish.seed },
      peers: this.#met.size,
    });
  }

  /** Counts what went wrong of the client that there is. */
  keepErrors(): void {
    for (const [error, n] of this.#client?.errors ?? [])
      this.errors.set(error, (this.errors.get(error) ?? 0) + n);
    this.#client?.errors.clear();
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

  lines(seconds: number, json: boolean | undefined): void {
    const served = { ...this.#server?.served };
    if (this.#server) {
      const now = this.#server.served;
      const before = this.#before;
      const requests = now.requests - before.requests;
      const gbit = (key: 'bytesIn' | 'bytesOut'): string =>
        (((now[key] - before[key]) * 8) / seconds / 1e9).toFixed(3);
      const average = requests ? (now.bytesIn - before.bytesIn) / requests : 0;
      if (!json)
        print(
          `Servers: ${(requests / seconds / 1000).toFixed(2)} Kops/sec, ${gbit('bytesIn')} Gbps in, ` +
            `${gbit('bytesOut')} Gbps out, avg. req. length ${average.toFixed(1)} bytes`,
        );
      this.#before = { ...now };
    }
    const span = this.#client?.span();
    if (json)
      print(
        toJson(
          {
            event: 'interval',
            seconds,
            served,
            answers: span?.answers,
            outstanding: this.#client?.outstanding,
          },
          0,
        ),
      );
    else if (span) print(clientLine(span, seconds, this.#client!));
  }

  /** cp_node's `dump_times`. */
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

/** Commands of cp_node, a line each. Returns what is to be printed. @throws EtherloomError as Node.call, ERR_USAGE_* */
function obey(node: Node, line: string): string {
  const [word, ...words] = line.trim().split(/\s+/);
  const [argument] = words;
  switch (word) {
    case '':
      return '';
    case 'client':
      if (node.hosts.far) node.serve();
      node.call(clientWish(words, node.options));
      return '';
    case 'server':
      node.serve();
      return '';
    case 'stop':
      node.stop();
      return 'no more requests; those under way are answered';
    case 'dump_times':
      if (argument === undefined) return 'dump_times: which file?';
      node.dump(argument);
      return `times in ${argument}`;
    case 'log':
      return line.trim().slice(4);
    case 'debug':
      return `outstanding client RPCs: ${node.client?.outstanding ?? 0}; errors: ${toJson(Object.fromEntries(node.client?.errors ?? []), 0)}`;
    case 'tt':
      return 'tt: time traces are of the kernel module, there are none here';
    case 'exit':
      node.end();
      return '';
    default:
      return `${word}: expected client, server, stop, dump_times FILE, log TEXT, debug, tt or exit`;
  }
}

/** The same, with what is wrong said and nothing else done. */
function obeyed(node: Node, line: string): string {
  try {
    return obey(node, line);
  } catch (error) {
    if (error instanceof EtherloomError) return `${error.message}`;
    throw error;
  }
}

/** @param role undefined: both, or what commands say */
export async function cp(role: CpRole | undefined, options: CpOptions): Promise<number> {
  const model = options.nic.startsWith('model');
  workload(options.workload, true);
  if (model && options.serverNodes?.length)
    throw new EtherloomError('ERR_USAGE_OPTION', `--server-nodes with --nic ${options.nic}`, {
      expected: 'none: the server is in this process, at the far end of the link',
    });
  const waits = role === undefined && options.commands === true;
  const calls = !waits && (role !== 'server' || model);
  if (calls && !model && !options.serverNodes?.length)
    throw new EtherloomError('ERR_USAGE_MISSING', 'no server', { expected: '--server-nodes ADDRESS,…' });
  const end = ending();
  const hosts = await openHosts(
    { ...options, connections: Math.max(SERVED, options.ports + 64), homa: options.protocol === 'homa' },
    role === 'client' ? [] : [options.firstPort],
  );
  const node = new Node(hosts, options, calls);
  let input: ReturnType<typeof createInterface> | undefined;
  try {
    void end.asked.then(() => node.end());
    if (options.commands) {
      input = createInterface({ input: process.stdin });
      input.on('line', line => {
        const said = obeyed(node, line);
        if (said) print(said);
      });
      input.on('close', () => node.end());
    }
    if (!waits && (role !== 'client' || model)) node.serve();
    if (calls) node.call(options);
    await node.meet();
    if (options.json) print(toJson({ event: 'started', protocol: options.protocol, how: hosts.how }, 0));
    else print(`cp ${role ?? (waits ? 'by commands' : 'both')} over ${options.protocol}, ${hosts.how}`);
    const from = performance.now();
    const last = from + (options.duration ?? Number.POSITIVE_INFINITY) * 1000;
    let before = from;
    while (performance.now() < last) {
      const next = Math.min(before + options.interval * 1000, last);
      await node.run(next);
      const now = performance.now();
      node.lines((now - before) / 1000, options.json);
      before = now;
      if (now < next) break;
    }
    node.stop();
    const until = performance.now() + LAST_MS;
    while ((node.client?.outstanding ?? 0) > 0 && performance.now() < until)
      await node.run(performance.now() + 1).then(() => new Promise(next => setImmediate(next)));
    if (options.dump !== undefined) node.dump(options.dump);
    node.keepErrors();
    const errors = Object.fromEntries(node.errors);
    const left = node.client?.outstanding ?? 0;
    if (options.json) print(toJson({ event: 'stopped', errors, unanswered: left }, 0));
    else for (const [error, n] of Object.entries(errors)) print(`error: ${n} requests: ${error}`);
    if (left > 0 && !options.json) print(`error: ${left} requests were not answered`);
    return Object.keys(errors).length > 0 || left > 0 || hosts.engine.crashes.length > 0
      ? EXIT.FAILED
      : EXIT.DONE;
  } finally {
    input?.close();
    node.close();
    await hosts.close();
    end.release();
  }
}
