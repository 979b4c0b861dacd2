/**
 * The run: for each number of hops all chains are started, then every cell goes to each peer in turn, again and again, so
 * that what else happens on the machine meets all of them alike.
 */
import type { ChildProcess } from 'node:child_process';
import type { Namespace } from '../../../tests/support/netns.js';
import { nativeTool } from '../../native/build.js';
import { type Chain, ready, SERVER_PORT, stopChild, type Target } from './chain.js';
import { type ClientName, type Outcome, runClient, type Siege, type Transfer } from './clients.js';
import { difference, readCounters } from './counters.js';
import type { Sample } from './samples.js';
import { CONGESTION_CONTROL, type Topology } from './topology.js';

export interface Plan {
  /** In the report's words: N is N − 1 forwarders. */
  readonly hops: readonly number[];
  readonly bytes: readonly number[];
  /** Numbers of clients, and how often each cell is repeated with them. */
  readonly clients: readonly { readonly clients: number; readonly repetitions: number }[];
}

/** Requests of each client: siege's as in the report. The exact client needs fewer when there are many. */
const REQUESTS: Record<ClientName, (clients: number) => number> = {
  siege: () => 100,
  client: clients => (clients === 1 ? 100 : 25),
};

/** Runs the plan; `onSample` hears of each sample as it is made. @throws Error when a chain does not come up */
export async function measure(
  topology: Topology,
  chains: readonly Chain[],
  siege: Siege | undefined,
  plan: Plan,
  onSample: (sample: Sample) => void,
): Promise<void> {
  const server = await startServer(topology.server);
  try {
    for (const hops of plan.hops) {
      const started: { chain: Chain; target: Target }[] = [];
      try {
        for (const chain of chains) {
          const target = await chain.start(hops - 1);
          started.push({ chain, target });
          await answering(topology.client, chain, target);
        }
        for (const cell of cells(plan, started))
          for await (const sample of sampleCell(topology, siege, hops, cell)) onSample(sample);
      } finally {
        for (const { chain } of started) await chain.stop();
      }
    }
  } finally {
    await stopChild(server);
  }
}

interface Turn {
  chain: Chain;
  target: Target;
  bytes: number;
  clients: number;
  repetition: number;
}

/** Repetitions outermost; the peers of a cell one after the other, each time beginning with the next one. */
function* cells(plan: Plan, started: readonly { chain: Chain; target: Target }[]): Generator<Turn> {
  const most = Math.max(...plan.clients.map(c => c.repetitions));
  for (let repetition = 0; repetition < most; repetition++)
    for (const { clients, repetitions } of plan.clients) {
      if (repetition >= repetitions) continue;
      for (const [i, bytes] of plan.bytes.entries())
        for (let k = 0; k < started.length; k++)
          yield { ...started[(k + i + repetition) % started.length], bytes, clients, repetition };
    }
}

async function* sampleCell(
  topology: Topology,
  siege: Siege | undefined,
  hops: number,
  t: Turn,
): AsyncGenerator<Sample> {
  const kernels = [topology.client, topology.server, ...t.chain.namespaces];
  const clients: [ClientName, (transfer: Transfer) => Promise<Outcome>][] = [
    ['client', transfer => runClient(topology.client, transfer)],
  ];
  if (siege) clients.push(['siege', transfer => siege.run(topology.client, transfer)]);
  for (const [client, run] of clients) {
    const before = readCounters(kernels);
    const outcome = await run({ ...t, requests: REQUESTS[client](t.clients) });
    yield {
      peer: t.chain.name,
      hops: t.chain.namespaces.length ? hops : 1,
      bytes: t.bytes,
      clients: t.clients,
      client,
      repetition: t.repetition,
      outcome,
      counters: difference(readCounters(kernels), before),
    };
  }
}

async function startServer(namespace: Namespace): Promise<ChildProcess> {
  const child = namespace.spawn(nativeTool('http_server'), '0.0.0.0', `${SERVER_PORT}`, CONGESTION_CONTROL);
  await ready(child, 'http_server');
  return child;
}

const COMES_UP_MS = 10_000;

/** Waits until a body comes through whole, and warms the way up with some more. */
async function answering(from: Namespace, chain: Chain, target: Target): Promise<void> {
  const warm = { target, bytes: 4096, clients: 1 };
  const until = performance.now() + COMES_UP_MS;
  let last: Outcome | undefined;
  while (performance.now() < until) {
    last = await runClient(from, { ...warm, requests: 1 });
    if (last.ok === 1) {
      await runClient(from, { ...warm, requests: 50 });
      return;
    }
    await new Promise(again => setTimeout(again, 50));
  }
  throw new Error(
    `${chain.name}: no answer through ${target.host}:${target.port}: ${JSON.stringify(last?.errors)}`,
  );
}
