/**
 * Incast: eight senders, one link of 10 Gbit/s, 100 µs there and back, in virtual time with our TCP programs. DCTCP with
 * marks at 65 packets beside CUBIC without, on the same engine, in the same run.
 */
import { CcAlgorithm } from '../host/layout/layout.gen.js';
import { FRAME, runIncast, SENDERS } from '../tests/tcp/incast.js';
import type { Bench } from './harness/bench.js';

const K = 65 * FRAME;

export default async function incast(bench: Bench): Promise<void> {
  const run = bench.quick ? { ms: 15, warmMs: 10 } : { ms: 200, warmMs: 50 };
  const dctcp = await runIncast({ ...run, algorithm: CcAlgorithm.DCTCP, marks: K });
  const cubic = await runIncast({ ...run, algorithm: CcAlgorithm.CUBIC, marks: 0 });
  const packets = (bytes: number): string => (bytes / FRAME).toFixed(0);
  const conditions =
    `${SENDERS} senders, 10 Gbit/s, 100 µs, buffer 700 KB, ${run.ms} ms virtual after ${run.warmMs}; ` +
    `DCTCP: queue p50 ${packets(dctcp.p50)} p99 ${packets(dctcp.p99)} packets, ${dctcp.marked} of ${dctcp.packets} marked, ${dctcp.dropped} dropped; ` +
    `CUBIC: queue p50 ${packets(cubic.p50)} p99 ${packets(cubic.p99)} packets, ${cubic.dropped} dropped, ` +
    `goodput ${cubic.goodput.toFixed(3)}, Jain ${cubic.jain.toFixed(3)}`;
  const row = (name: string, value: number, target: string, met: boolean): void => {
    bench.row({ group: 'incast', name, conditions, unit: 'ratio', value, target, met });
  };
  const share = dctcp.p99 / cubic.p99;
  row('queue p99, DCTCP : CUBIC', share, '≤ 0.25', share <= 0.25);
  row('goodput of DCTCP : link', dctcp.goodput, '≥ 0.95', dctcp.goodput >= 0.95);
  row("Jain's index of DCTCP", dctcp.jain, '≥ 0.98', dctcp.jain >= 0.98);
}
