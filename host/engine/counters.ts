/** Counters as objects: one block per port × queue × lane, summed as the reader likes. */
import { CounterBlockView, DropReason } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Port } from '../nic/port.js';

export type DropName = keyof typeof DropReason;
export const VERDICTS = ['aborted', 'drop', 'pass', 'tx', 'redirect', 'other'] as const;

export type Verdicts = Record<(typeof VERDICTS)[number], number>;

export interface Counters {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  /** Packets that went up to the host. */
  pass: number;
  /** Packets that a responder took: answered, or learned from. */
  answered: number;
  /** Packets redirected with success; a broadcast counts once. */
  redirect: number;
  /** Copies made for broadcasts. */
  clones: number;
  /** What XDP programs said. */
  verdicts: Verdicts;
  /** What XDP_GEN programs said; tx and pass made a packet each. */
  gen: Verdicts;
  /** What XDP_EGRESS programs said of those. */
  egress: Verdicts;
  /** Packets dropped, by reason; reasons that never occurred are left out. */
  drops: Partial<Record<DropName, number>>;
}

export interface PortCounters extends Counters {
  port: string;
  ifindex: number;
  /** The same by (queue, lane), blocks that counted nothing left out. */
  blocks: (Counters & { queue: number; lane: number })[];
}

const REASONS = Object.entries(DropReason) as [DropName, number][];

const none = (): Verdicts => ({ aborted: 0, drop: 0, pass: 0, tx: 0, redirect: 0, other: 0 });

function zero(): Counters {
  return {
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    pass: 0,
    answered: 0,
    redirect: 0,
    clones: 0,
    verdicts: none(),
    gen: none(),
    egress: none(),
    drops: {},
  };
}

function add(sum: Counters, c: Counters): void {
  for (const k of [
    'rxPackets',
    'rxBytes',
    'txPackets',
    'txBytes',
    'pass',
    'answered',
    'redirect',
    'clones',
  ] as const)
    sum[k] += c[k];
  for (const kind of ['verdicts', 'gen', 'egress'] as const)
    for (const v of VERDICTS) sum[kind][v] += c[kind][v];
  for (const [k, n] of Object.entries(c.drops))
    sum.drops[k as DropName] = (sum.drops[k as DropName] ?? 0) + n;
}

function readBlock(arena: Arena, at: number): Counters {
  const b = new CounterBlockView(arena.dv, at);
  const c = zero();
  for (const k of [
    'rxPackets',
    'rxBytes',
    'txPackets',
    'txBytes',
    'pass',
    'answered',
    'redirect',
    'clones',
  ] as const)
    c[k] = Number(b[k]);
  for (const [i, v] of VERDICTS.entries()) {
    c.verdicts[v] = Number(b.verdict(i));
    c.gen[v] = Number(b.gen(i));
    c.egress[v] = Number(b.egress(i));
  }
  for (const [name, i] of REASONS) {
    const n = Number(b.drop(i));
    if (n) c.drops[name] = n;
  }
  return c;
}

/** Reads the counters of a port. While lanes run, a burst may be half counted. */
export function portCounters(port: Port): PortCounters {
  const { arena } = port;
  const sum: PortCounters = { port: port.name, ifindex: port.ifindex, ...zero(), blocks: [] };
  for (let queue = 0; queue < port.queueCount; queue++)
    for (let lane = 0; lane <= arena.header.laneCount; lane++) {
      const c = readBlock(arena, port.countersAt(queue, lane));
      const ran = VERDICTS.some(v => c.gen[v]);
      if (!c.rxPackets && !c.txPackets && !c.pass && !c.answered && !ran && !Object.keys(c.drops).length)
        continue;
      add(sum, c);
      sum.blocks.push({ queue, lane, ...c });
    }
  return sum;
}

/** Packets dropped, all reasons together. */
export function dropped(c: Counters): number {
  return Object.values(c.drops).reduce((a, b) => a + b, 0);
}
