/**
 * Our TCP beside the kernel's: bulk on one connection and 64 B echo, MTU 1500, no offloads. Both in one run; the peers
 * take turns, in several lives, and the median of the rounds counts.
 */
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { missingNamespaces } from '../tests/support/netns.js';
import type { Bench } from './harness/bench.js';
import { missingCompiler } from './native/build.js';
import { keepAwake } from './scenarios/hops/awake.js';
import { missingEthtool, stopChild } from './scenarios/hops/chain.js';
import { congestions, KernelWire, missingIperf } from './scenarios/tcp/kernel.js';
import type { SeatResult } from './scenarios/tcp/seats.js';
import { ShmPair } from './scenarios/tcp/shm.js';
import { overXdp } from './scenarios/tcp/xdp.js';

/** Bytes. The kernel's buffers grow to some MB by themselves: with 256 KiB, our default, ring and window are what is measured. */
const RINGS = { shm: 1 << 20, xdp: 512 << 10, echo: 16 << 10 };
const BYTES = 64;
const LIMITS = { bulk: 1.5, xdp: 0.8, p50: 1 / 5, rate: 4.8 };
const MOST_CONNECTIONS = 64;

interface Plan {
  lives: number;
  rounds: number;
  ms: number;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;

/** Rounds of several peers in turn: every round begins with another one. */
async function turns(
  plan: Plan,
  peers: Record<string, () => Promise<number>>,
  into: Record<string, number[]>,
): Promise<void> {
  const names = Object.keys(peers);
  for (let round = 0; round < plan.rounds; round++)
    for (const i of names.keys()) {
      const name = names[(i + round) % names.length];
      (into[name] ??= []).push(await peers[name]());
    }
}

/** iperf3 by wire and congestion control; nothing where it is not installed. */
function iperfs(wires: Record<string, KernelWire>, plan: Plan) {
  const peers: Record<string, () => Promise<number>> = {};
  if (missingIperf()) return peers;
  const seconds = Math.max(1, Math.round(plan.ms / 1000));
  for (const [name, wire] of Object.entries(wires))
    for (const congestion of congestions())
      peers[`iperf3 ${congestion}, ${name}`] = () => wire.iperf(congestion, seconds);
  return peers;
}

/** Wires that the kernel's TCP runs over at both ends, by what its rows say of them. */
const kernelWires = () => ({
  'segmentation offloads off': new KernelWire('segmentation', 'data and ACKs'),
  'all offloads off': new KernelWire('all', 'data and ACKs'),
});

interface Figure {
  name: string;
  conditions: string;
  /** Bytes per second, a round each. */
  samples: number[];
  /** Of the best of the peers. */
  limit: number;
}

/** Rows of our figures beside all of their peers. */
function rows(bench: Bench, plan: Plan, figures: readonly Figure[], peers: Record<string, number[]>): void {
  const how = `MTU 1500, median of ${plan.lives} lives of ${plan.rounds} rounds`;
  const rates = Object.entries(peers).map(([name, list]) => [name, median(list) / 1e6] as const);
  const best = Math.max(...rates.map(([, rate]) => rate));
  for (const { name, conditions, samples, limit } of figures)
    for (const [peer, rate] of rates) {
      const value = median(samples) / 1e6;
      bench.row({
        group: 'TCP: bulk on one connection',
        ...{ name, conditions: `${conditions}, ${how}`, unit: 'MB/s', value },
        peer: { name: peer, value: rate },
        ...(rate === best ? { target: `≥ ${limit}`, met: value / rate >= limit } : {}),
      });
    }
}

async function bulkShm(bench: Bench, plan: Plan): Promise<void> {
  const seen: Record<string, number[]> = {};
  for (let life = 0; life < plan.lives; life++) {
    const wires = kernelWires();
    const pair = await ShmPair.create({ connections: 1, ring: RINGS.shm });
    try {
      await turns(plan, { shm: () => pair.bulk(plan.ms), views: () => pair.bulk(plan.ms, true) }, seen);
      // A lane that spins takes a CPU from whoever is measured.
      await pair.close();
      const c = { 'C, all offloads off': () => wires['all offloads off'].bulk(plan.ms) };
      await turns(plan, { ...c, ...iperfs(wires, plan) }, seen);
    } finally {
      await pair.close();
      for (const wire of Object.values(wires)) wire.close();
    }
  }
  const { shm, views, ...kernel } = seen;
  const conditions = `applications in the lanes, rings of ${RINGS.shm >> 10} KiB; peers: RPS for data and ACKs`;
  const limit = LIMITS.bulk;
  rows(
    bench,
    plan,
    [
      { name: 'shm NIC, two lanes, bytes copied in and out', conditions, samples: shm, limit },
      { name: 'shm NIC, two lanes, bytes taken in place', conditions, samples: views, limit },
    ],
    kernel,
  );
}

/** Ours and the kernel's take turns: a machine that grows slower does so to both. */
async function bulkXdp(bench: Bench, plan: Plan): Promise<void> {
  const seen: Record<string, number[]> = {};
  for (let life = 0; life < plan.lives; life++) {
    const wires = { ...kernelWires(), 'all offloads off, RPS for data only': new KernelWire('all', 'data') };
    const peers = {
      send: () => overXdp(RINGS.xdp, 'data', end => end.send(plan.ms)),
      receive: () => overXdp(RINGS.xdp, 'nothing', end => end.receive(plan.ms)),
      'C, all offloads off': () => wires['all offloads off'].bulk(plan.ms),
      ...iperfs(wires, plan),
    };
    try {
      await turns(plan, peers, seen);
    } finally {
      for (const wire of Object.values(wires)) wire.close();
    }
  }
  const { send, receive, ...kernel } = seen;
  const ours = `a lane on the second CPU, the kernel's application on the first, CUBIC, rings of ${RINGS.xdp >> 10} KiB, RPS for`;
  const limit = LIMITS.xdp;
  rows(
    bench,
    plan,
    [
      { name: 'to the kernel over AF_XDP', conditions: `${ours} data`, samples: send, limit },
      { name: 'from the kernel over AF_XDP', conditions: `${ours} nothing`, samples: receive, limit },
    ],
    kernel,
  );
}

async function echo(bench: Bench, plan: Plan): Promise<void> {
  const seen = new Map<string, SeatResult[]>();
  const note = (name: string, result: SeatResult): void => {
    if (!seen.has(name)) seen.set(name, []);
    seen.get(name)!.push(result);
  };
  for (let life = 0; life < plan.lives; life++)
    for (const connections of [1, MOST_CONNECTIONS]) {
      const pair = await ShmPair.create({ connections, ring: RINGS.echo });
      try {
        for (let i = 0; i < plan.rounds; i++)
          note(`shm ${connections}`, await pair.ask(connections, BYTES, plan.ms));
      } finally {
        await pair.close();
      }
      const wire = new KernelWire('all', 'nothing');
      let awake: ChildProcess | undefined;
      try {
        awake = await keepAwake();
        for (let i = 0; i < plan.rounds; i++)
          for (const how of ['sleep', 'spin'] as const)
            note(`${how} ${connections}`, await wire.ask(connections, BYTES, plan.ms, how));
      } finally {
        if (awake) await stopChild(awake);
        wire.close();
      }
    }
  const of = (name: string, figure: keyof SeatResult): number =>
    median(seen.get(name)!.map(result => result[figure]));
  const PEERS = {
    sleep: 'C epoll that sleeps, CPUs kept awake, veth',
    spin: 'C epoll that spins, CPUs kept awake, veth',
  };
  for (const connections of [1, MOST_CONNECTIONS])
    for (const how of ['sleep', 'spin'] as const) {
      const conditions = `${BYTES} B, ${connections} connections, one in flight on each, two lanes, shm NIC, median of ${plan.lives} lives of ${plan.rounds} rounds`;
      const row = (
        name: string,
        unit: 'µs' | 'M/s',
        figure: keyof SeatResult,
        scale: number,
        judge?: (ratio: number) => { target: string; met: boolean },
      ): void => {
        const value = of(`shm ${connections}`, figure) * scale;
        const peer = { name: PEERS[how], value: of(`${how} ${connections}`, figure) * scale };
        bench.row({
          group: 'TCP: echo',
          name,
          conditions,
          unit,
          value,
          peer,
          ...judge?.(value / peer.value),
        });
      };
      const single = connections === 1;
      const quick = (ratio: number) => ({ target: '≤ 1/5', met: ratio <= LIMITS.p50 });
      const many = (ratio: number) => ({ target: `≥ ${LIMITS.rate}`, met: ratio >= LIMITS.rate });
      row('round trip, p50', 'µs', 'p50Us', 1, single ? quick : undefined);
      row('round trip, p99', 'µs', 'p99Us', 1);
      row('messages', 'M/s', 'rate', 1e-6, single ? undefined : many);
    }
}

export default async function tcp(bench: Bench): Promise<void> {
  const reason = missingNamespaces ?? missingCompiler ?? missingEthtool();
  if (reason) {
    console.error(`  tcp: left out: ${reason}`);
    return;
  }
  if (availableParallelism() < 2) console.error('  tcp: two lanes on one CPU');
  const plan = bench.quick ? { lives: 1, rounds: 1, ms: 300 } : { lives: 3, rounds: 3, ms: 2000 };
  if (bench.wants('shm')) await bulkShm(bench, plan);
  // Seconds enough: each transfer has engine, namespaces and connection of its own.
  if (bench.wants('af_xdp')) await bulkXdp(bench, bench.quick ? plan : { lives: 3, rounds: 2, ms: 1000 });
  if (bench.wants('echo')) await echo(bench, plan);
}
