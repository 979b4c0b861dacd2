/** Issue 5's table: each part is a load, who takes it, and what is asked of whom. */
import { beforeWrk, type Contender, type Figure, missingWrk, node, ours } from './contenders.js';
import type { Load } from './plan.js';

/** A figure that is asked for: of ours beside the best of the peers that rest as it does. */
export interface Wish {
  figure: Figure;
  /** Ratios up to, or from, so much; of `cpuUs` it is the figure itself. */
  limit: number;
  /** Of the words of a contender's name: whom it is asked of. Default: all of ours. */
  of?: string;
  /** Whom it is compared with. Default: all of the others. */
  beside?: string;
}

export interface Part {
  /** For `--only`. */
  name: string;
  group: string;
  load: Load;
  ours: Contender[];
  peers: Contender[];
  wishes: Wish[];
  /** Why it cannot be here. */
  missing?(): string | undefined;
}

const QUICK = 1 / 3.7;
const MANY = 4.8;
const CPU_US = 2.5;

const LANE = [ours('lane', 'lanes'), ours('lane', 'lanes', 0)];
const BURST = [ours('burst', 'inline'), ours('burst', 'split'), ours('burst', 'split', 0)];
const DUPLEX = [ours('duplex', 'split'), ours('duplex', 'split', 0)];
const NODE = [node('awake'), node('spins'), node('sleeps')];
const UNIX = [node('awake', 'unix'), node('spins', 'unix'), node('sleeps', 'unix')];

const latency: Wish[] = [
  { figure: 'p50Us', limit: QUICK },
  { figure: 'p99Us', limit: QUICK },
];

const many = (flows: number): Part => ({
  ...{ name: `echo${flows}`, group: `echo, ${flows} connections` },
  load: { app: 'echo', flows, outstanding: 1 },
  ...{ ours: [...LANE, ...BURST, ...DUPLEX], peers: NODE },
  wishes: [
    { figure: 'rate', limit: MANY, of: 'burst' },
    { figure: 'rate', limit: MANY, of: 'in-lane' },
    { figure: 'rate', limit: 1.5, of: 'Duplex' },
    ...(flows === 64 ? [{ figure: 'cpuUs', limit: CPU_US } as const] : []),
  ],
});

const pipeline = (name: string, how: string, most?: number): Part => ({
  ...{ name, group: `echo, 256 in flight on one connection, ${how}` },
  load: { app: 'echo', flows: 1, outstanding: 256, ...(most === undefined ? {} : { most }) },
  ...{ ours: [...LANE, ...BURST], peers: [...NODE, ...UNIX] },
  wishes: [
    { figure: 'rate', limit: MANY, beside: 'veth' },
    { figure: 'rate', limit: 1.5, beside: 'Unix' },
  ],
});

export const PARTS: readonly Part[] = [
  {
    ...{ name: 'echo', group: 'echo, one in flight' },
    load: { app: 'echo', flows: 1, outstanding: 1 },
    ...{ ours: [...LANE, ...BURST], peers: NODE, wishes: latency },
  },
  {
    ...{ name: 'duplex', group: 'echo through Duplex, one in flight' },
    load: { app: 'echo', flows: 1, outstanding: 1 },
    ...{ ours: DUPLEX, peers: NODE, wishes: [{ figure: 'p50Us', limit: 1 / 2 }] },
  },
  many(64),
  many(1000),
  pipeline('pipeline', 'a write each', 1),
  pipeline('batches', 'written as many as are due'),
  {
    ...{ name: 'connects', group: 'connections made and ended, a lane' },
    load: { app: 'connects', flows: 64, outstanding: 1 },
    ...{ ours: [BURST[0], BURST[1], ...DUPLEX], peers: NODE, wishes: [{ figure: 'rate', limit: 2 }] },
  },
  {
    ...{ name: 'http', group: 'HTTP hello between two hosts' },
    load: { app: 'http', flows: 64, outstanding: 1 },
    ours: [...LANE, ...BURST, ...DUPLEX, ours('duplex', 'served'), ours('duplex', 'served', 0)],
    ...{ peers: NODE, wishes: [{ figure: 'rate', limit: 2 }] },
  },
  {
    ...{ name: 'wrk', group: 'HTTP hello to wrk' },
    load: { app: 'http', flows: 64, outstanding: 1 },
    ours: [beforeWrk('lane', 'spins'), beforeWrk('lane', 'sleeps'), beforeWrk('duplex', 'sleeps')],
    peers: [beforeWrk('node', 'awake'), beforeWrk('node', 'spins'), beforeWrk('node', 'sleeps')],
    wishes: [{ figure: 'rate', limit: 1 }],
    missing: missingWrk,
  },
  {
    ...{ name: 'kv', group: 'key-value store' },
    load: { app: 'kv', flows: 64, outstanding: 1 },
    ...{ ours: [...LANE, ...BURST], peers: NODE, wishes: [{ figure: 'rate', limit: MANY }, ...latency] },
  },
];
