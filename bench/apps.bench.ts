/**
 * Applications on our sockets beside the same on Node's `net`: echo, HTTP and a key-value store on the three levels, messages
 * of 64 bytes. Peers take turns in one run, and the median of the rounds counts. scenarios/apps/README.md says who runs where.
 */
import { availableParallelism } from 'node:os';
import { missingNamespaces } from '../tests/support/netns.js';
import type { Bench } from './harness/bench.js';
import { missingCompiler } from './native/build.js';
import {
  beforeWrk,
  type Contender,
  type Figure,
  idleFigures,
  missingWrk,
  node,
  ours,
} from './scenarios/apps/contenders.js';
import type { Load } from './scenarios/apps/plan.js';
import { type Rounds, type Seen, takeRounds } from './scenarios/apps/rounds.js';

const LIMITS = { lane: 1 / 3.7, duplexP50: 1 / 2, rate: 4.8, duplexRate: 1.5, unix: 1.5 };

/** A figure that is asked for: of ours beside the best of the peers that rest as it does. */
interface Wish {
  figure: Figure;
  /** Ratios up to, or from, so much. */
  limit: number;
  /** Of the words of a contender's name: whom it is asked of. Default: all of ours. */
  of?: string;
  /** Whom it is compared with. Default: all of the others. */
  beside?: string;
}

const SHOWN: Record<Figure, { name: string; unit: 'µs' | 'M/s'; scale: number; least: boolean }> = {
  p50Us: { name: 'round trip, p50', unit: 'µs', scale: 1, least: true },
  p99Us: { name: 'round trip, p99', unit: 'µs', scale: 1, least: true },
  rate: { name: 'messages', unit: 'M/s', scale: 1e-6, least: false },
  cpuUs: { name: 'CPU time a message and side', unit: 'µs', scale: 1, least: true },
};

/** Who does not sleep is compared with whoever is kept from it. */
const isFair = (our: Contender, peer: Contender): boolean =>
  (our.rest === 'sleeps') === (peer.rest === 'sleeps');

function rows(
  bench: Bench,
  group: string,
  load: Load,
  plan: Rounds,
  seen: Seen,
  wishes: readonly Wish[],
): void {
  const { flows, outstanding } = load;
  const how = `${flows} connection${flows > 1 ? 's' : ''}, ${outstanding} in flight on each, median of ${plan.lives} × ${plan.rounds} rounds of ${plan.ms} ms`;
  for (const { figure, limit, of = '', beside = '' } of wishes) {
    const { name, unit, scale, least } = SHOWN[figure];
    for (const our of seen.contenders.filter(c => c.ours && c.name.includes(of))) {
      const value = seen.median(our, figure) * scale;
      const peers = seen.contenders
        .filter(c => !c.ours && isFair(our, c) && c.name.includes(beside))
        .map(c => ({ name: c.name, value: seen.median(c, figure) * scale }))
        .sort((a, b) => (least ? a.value - b.value : b.value - a.value));
      for (const [i, peer] of peers.entries()) {
        const ratio = value / peer.value;
        // The best of them is the one to be judged by.
        const judged =
          i === 0
            ? {
                target: `${least ? '≤' : '≥'} ${Number(limit.toFixed(2))}`,
                met: least ? ratio <= limit : ratio >= limit,
              }
            : {};
        bench.row({
          group: `apps: ${group}: ${name}`,
          name: our.name,
          conditions: how,
          unit,
          value,
          peer,
          ...judged,
        });
      }
    }
  }
}

/** One experiment: a load, who takes it, what is asked of whom. */
interface Part {
  name: string;
  group: string;
  load: Load;
  ours: Contender[];
  peers: Contender[];
  wishes: Wish[];
  /** Why it cannot be here. */
  missing?(): string | undefined;
}

const LANE = [ours('lane', 'lanes'), ours('lane', 'lanes', 0)];
const BURST = [ours('burst', 'inline'), ours('burst', 'split'), ours('burst', 'split', 0)];
const DUPLEX = [ours('duplex', 'split'), ours('duplex', 'split', 0)];
const NODE = [node('awake'), node('spins'), node('sleeps')];
const both = (limit: number, of = ''): Wish[] => [
  { figure: 'p50Us', limit, of },
  { figure: 'p99Us', limit, of },
];

const PARTS: Part[] = [
  {
    ...{ name: 'echo', group: 'echo, one in flight' },
    load: { app: 'echo', flows: 1, outstanding: 1 },
    ...{ ours: [...LANE, ...BURST], peers: NODE, wishes: both(LIMITS.lane) },
  },
  {
    ...{ name: 'duplex', group: 'echo through Duplex, one in flight' },
    load: { app: 'echo', flows: 1, outstanding: 1 },
    ...{ ours: DUPLEX, peers: NODE, wishes: [{ figure: 'p50Us', limit: LIMITS.duplexP50 }] },
  },
  ...[64, 1000].map(
    (flows): Part => ({
      ...{ name: `echo${flows}`, group: `echo, ${flows} connections` },
      load: { app: 'echo', flows, outstanding: 1 },
      ...{ ours: [...LANE, ...BURST, ...DUPLEX], peers: NODE },
      wishes: [
        { figure: 'rate', limit: LIMITS.rate, of: 'burst' },
        { figure: 'rate', limit: LIMITS.rate, of: 'in-lane' },
        { figure: 'rate', limit: LIMITS.duplexRate, of: 'Duplex' },
        { figure: 'cpuUs', limit: 1 },
      ],
    }),
  ),
  {
    ...{ name: 'pipeline', group: 'echo, 256 in flight on one connection' },
    load: { app: 'echo', flows: 1, outstanding: 256 },
    ours: [...LANE, ...BURST],
    peers: [...NODE, node('awake', 'unix'), node('spins', 'unix'), node('sleeps', 'unix')],
    wishes: [
      { figure: 'rate', limit: LIMITS.rate, beside: 'veth' },
      { figure: 'rate', limit: LIMITS.unix, beside: 'Unix' },
    ],
  },
  {
    ...{ name: 'connects', group: 'connections made and ended, a lane' },
    load: { app: 'connects', flows: 64, outstanding: 1 },
    ...{ ours: [BURST[0], BURST[1], ...DUPLEX], peers: NODE, wishes: [{ figure: 'rate', limit: 2 }] },
  },
  {
    ...{ name: 'http', group: 'HTTP hello between two hosts' },
    load: { app: 'http', flows: 64, outstanding: 1 },
    ...{ ours: [...LANE, ...BURST, ...DUPLEX], peers: NODE, wishes: [{ figure: 'rate', limit: 2 }] },
  },
  {
    ...{ name: 'wrk', group: 'HTTP hello to wrk' },
    load: { app: 'http', flows: 64, outstanding: 1 },
    ours: [
      beforeWrk('lane', 'spins'),
      beforeWrk('lane', 'sleeps'),
      beforeWrk('duplex', 'spins'),
      beforeWrk('duplex', 'sleeps'),
    ],
    peers: [beforeWrk('node', 'awake'), beforeWrk('node', 'spins'), beforeWrk('node', 'sleeps')],
    wishes: [{ figure: 'rate', limit: 1 }],
    missing: missingWrk,
  },
  {
    ...{ name: 'kv', group: 'key-value store' },
    load: { app: 'kv', flows: 64, outstanding: 1 },
    ...{ ours: [...LANE, ...BURST], peers: NODE },
    wishes: [{ figure: 'rate', limit: LIMITS.rate }, ...both(LIMITS.lane)],
  },
];

/** CPU that an engine takes that has nothing to do, and what a message costs that ends its sleep. */
async function idle(bench: Bench, plan: Rounds): Promise<void> {
  for (const awake of bench.quick ? [true] : [false, true]) {
    const { share, p50Us, p99Us } = await idleFigures(
      { warmMs: 500, ms: bench.quick ? 500 : 5 * plan.ms },
      awake,
    );
    const group = 'apps: idle engine';
    const conditions = `lanes that spin for 50 µs and then sleep, CPUs ${awake ? 'kept awake' : 'that halt'}`;
    const one = `${conditions}; one lane with both hosts, from the write in the main thread to news in the lane`;
    bench.row({
      ...{
        group,
        name: 'CPU time, parts of one CPU',
        conditions: `${conditions}; two lanes, a server, a connection`,
      },
      ...{ unit: '%', value: share * 100, target: '< 1', met: share < 0.01 },
    });
    bench.row({
      ...{ group, name: 'seen after, p50', conditions: one, unit: 'µs', value: p50Us },
      ...{ target: '≤ 50', met: p50Us <= 50 },
    });
    bench.row({ group, name: 'seen after, p99', conditions: one, unit: 'µs', value: p99Us });
  }
}

export default async function apps(bench: Bench): Promise<void> {
  const reason = missingNamespaces ?? missingCompiler;
  if (reason) {
    console.error(`  apps: left out: ${reason}`);
    return;
  }
  if (availableParallelism() < 2) console.error('  apps: two threads on one CPU');
  const plan: Rounds = bench.quick
    ? { lives: 1, rounds: 1, warmMs: 100, ms: 200 }
    : { lives: 1, rounds: 5, warmMs: 400, ms: 1500 };
  for (const { name, group, load, ours, peers, wishes, missing } of PARTS) {
    if (!bench.wants(name)) continue;
    const without = missing?.();
    if (without) console.error(`  apps: ${name} is left out: ${without}`);
    else {
      const all = [...ours, ...peers];
      const taken = bench.quick ? all.filter(c => c.rest === (c.ours ? 'spins' : 'awake')) : all;
      rows(bench, group, load, plan, await takeRounds(taken, load, plan), wishes);
    }
  }
  if (bench.wants('idle')) await idle(bench, plan);
}
