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

/** iperf3 by what is off and congestion control; nothing where it is not installed. */
function iperfs(wires: Record<'segmentation' | 'all', KernelWire>, plan: Plan) {
  const peers: Record<string, () => Promise<number>> = {};
  if (missingIperf()) return peers;
  const seconds = Math.max(1, Math.round(plan.ms / 1000));
  for (const [off, wire] of Object.entries(wires))
    for (const congestion of congestions())
      peers[`iperf3 ${congestion}, ${off} offloads off`] = () => wire.iperf(congestion, seconds);
  return peers;
}

async function bulk(bench: Bench, plan: Plan): Promise<void> {
  const seen: Record<string, number[]> = {};
  for (let life = 0; life < plan.lives; life++) {
    const wires = { segmentation: new KernelWire('segmentation', true), all: new KernelWire('all', true) };
    const pair = await ShmPair.create({ connections: 1, ring: RINGS.shm });
    try {
      // A lane that spins takes a CPU from whoever is measured: it stands still meanwhile.
      const { shm, views, ...kernel } = {
        shm: () => pair.bulk(plan.ms),
        views: () => pair.bulk(plan.ms, true),
        'C, all offloads off': () => wires.all.bulk(plan.ms),
        ...iperfs(wires, plan),
      };
      await turns(plan, { shm, views }, seen);
      await pair.close();
      await turns(plan, kernel, seen);
    } finally {
      await pair.close();
      for (const wire of Object.values(wires)) wire.close();
    }
    const xdp = {
      'xdp send': () => overXdp(RINGS.xdp, end => end.send(plan.ms)),
      'xdp receive': () => overXdp(RINGS.xdp, end => end.receive(plan.ms)),
    };
    await turns(plan, xdp, seen);
  }
  const rates = Object.fromEntries(Object.entries(seen).map(([name, list]) => [name, median(list) / 1e6]));
  const { shm, views, 'xdp send': send, 'xdp receive': receive, ...kernel } = rates;
  const how = `MTU 1500, RPS to the receiver's CPU, median of ${plan.lives} lives of ${plan.rounds} rounds`;
  const best = Object.keys(kernel).sort((a, b) => kernel[b] - kernel[a])[0];
  const row = (name: string, conditions: string, value: number, limit: number): void => {
    for (const [peer, rate] of Object.entries(kernel))
      bench.row({
        group: 'TCP: bulk on one connection',
        ...{
          name,
          conditions: `${conditions}, ${how}`,
          unit: 'MB/s',
          value,
          peer: { name: peer, value: rate },
        },
        ...(peer === best ? { target: `≥ ${limit}`, met: value / rate >= limit } : {}),
      });
  };
  row(
    'shm NIC, two lanes, bytes copied in and out',
    `applications in the lanes, rings of ${RINGS.shm >> 10} KiB`,
    shm,
    LIMITS.bulk,
  );
  row(
    'shm NIC, two lanes, bytes taken in place',
    `applications in the lanes, rings of ${RINGS.shm >> 10} KiB`,
    views,
    LIMITS.bulk,
  );
  row('to the kernel over AF_XDP', `one lane, rings of ${RINGS.xdp >> 10} KiB`, send, LIMITS.xdp);
  row('from the kernel over AF_XDP', `one lane, rings of ${RINGS.xdp >> 10} KiB`, receive, LIMITS.xdp);
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
      const wire = new KernelWire('all', false);
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
  await bulk(bench, plan);
  await echo(bench, plan);
}
