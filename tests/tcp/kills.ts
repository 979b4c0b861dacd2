/**
 * Worker lanes that are killed at random times while connections move bytes between two hosts over the shm NIC. Every byte
 * must arrive once and in order, every frame and every stream be accounted for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { LinkSettings } from '../../host/nic/index.js';
import { random } from '../support/random.js';
import { Crowd, type CrowdOptions } from './crowd.js';
import { Pair } from './pair.js';

export interface KillOptions {
  kills: number;
  seed: number;
  /** Longest time between two kills, ms. */
  everyMs: number;
  crowd: CrowdOptions;
  link?: LinkSettings;
  lanes?: number;
  /** Called before each kill. */
  onKill?: (n: number, crowd: Crowd) => void;
}

export interface KillReport {
  kills: number;
  /** Flows that a lane died at work on. */
  mended: number;
  retransmits: number;
  rounds: number;
  bytes: number;
  ms: number;
  /** What is not as it should be. */
  wrong: string[];
}

const LIMIT_MS = 120_000;

/** Rounds of transfers, one after another, until so many kills are done. */
export async function underKills(o: KillOptions): Promise<KillReport> {
  const { lanes = 2, kills, crowd, everyMs } = o;
  const next = random(o.seed);
  const pair = await Pair.create({
    ...{ seed: o.seed, streams: 8 * crowd.connections + 64 },
    engine: {
      ...{ inline: false, clock: 'real', lanes, frames: 8192, warmMs: 4, mapBytes: 32 << 20 },
      streams: { count: 8 * crowd.connections + 64, bytes: 128 << 20 },
    },
    ...o.link,
  });
  const { engine, a, b } = pair;
  const begun = performance.now();
  const report: KillReport = { kills: 0, mended: 0, retransmits: 0, rounds: 0, bytes: 0, ms: 0, wrong: [] };
  const killer = async (members: Crowd): Promise<void> => {
    while (report.kills < kills && !members.done) {
      await sleep(1 + (next() % everyMs));
      if (members.done) return;
      o.onKill?.(report.kills, members);
      const before = engine.crashes.length;
      engine.killLane(next() % lanes);
      report.kills++;
      for (let i = 0; i < 20_000 && engine.crashes.length === before; i++) await sleep(1);
      await engine.settled();
    }
  };
  try {
    do {
      const members = new Crowd(engine, a, b, {
        ...crowd,
        firstPort: 3000 + report.rounds * crowd.connections,
      });
      await Promise.all([members.pump(LIMIT_MS), killer(members)]);
      report.wrong.push(...members.wrong);
      report.bytes += members.bytes;
      report.rounds++;
      b.unlistenAll();
    } while (report.kills < kills && report.wrong.length === 0);
  } finally {
    for (const host of [a, b]) {
      const { LaneDied = 0, RetransSegs = 0 } = host.counters();
      report.mended += LaneDied;
      report.retransmits += RetransSegs;
      const open = [...host.map('tcp4')].length;
      if (open) report.wrong.push(`${open} connections are still in a table`);
    }
    const { ledger, crashes } = await engine.stop();
    const inFlight = Object.values(ledger.inFlight).reduce((x, y) => x + y, 0);
    if (ledger.free + inFlight !== ledger.total) report.wrong.push(`frames: ${JSON.stringify(ledger)}`);
    const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(engine.arena);
    if (lost || doubled || lostIds || open || closed || used)
      report.wrong.push(`streams: ${JSON.stringify({ lost, doubled, lostIds, open, closed, used })}`);
    if (crashes.some(c => c.how !== 'terminated'))
      report.wrong.push(`crashes: ${crashes.map(c => `${c.how} ${c.reason}`).join(', ')}`);
    report.ms = performance.now() - begun;
  }
  return report;
}
