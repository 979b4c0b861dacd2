/**
 * TCP with many connections: memory of one that is idle, and what a message costs when there are others. One inline lane
 * and its application on one thread, in virtual time (scenarios/tcp/scale.ts).
 */
import type { Bench } from './harness/bench.js';
import { IN_FLIGHT, MOST_BYTES, Scale } from './scenarios/tcp/scale.js';

const COUNTS = [1, 64, 1000, 10_000, 100_000];
/** Most of the cost with one connection. */
const MOST_RATIO = 1.5;
const SAMPLES = 5;

/** CPU time of an item, ns: what others take of the machine meanwhile does not count, but for the caches. */
function cpuNs(body: () => void, items: number, quick: boolean): number {
  const from = process.cpuUsage();
  const until = performance.now() + (quick ? 50 : 600);
  let n = 0;
  do {
    body();
    n += items;
  } while (performance.now() < until);
  const { user, system } = process.cpuUsage(from);
  return ((user + system) * 1000) / n;
}

export default async function tcpScale(bench: Bench): Promise<void> {
  const counts = bench.quick ? COUNTS.filter(n => n <= 1000) : COUNTS;
  const small = await Scale.create(0);
  let base = 0;
  for (const n of counts) {
    const scale = await Scale.create(n);
    scale.connect(n);
    const batch = Math.min(n, IN_FLIGHT);
    // Every connection has its rings, and all code is warm.
    for (let i = 0; i < 2 * Math.ceil(Math.max(n, 4096) / batch); i++) scale.echo(batch);
    const ns = Math.min(
      ...Array.from({ length: SAMPLES }, () => cpuNs(() => scale.echo(batch), batch, bench.quick)),
    );
    base ||= ns;
    bench.row({
      ...{ group: 'tcp: scale', name: 'echo of 64 B: both applications, both ends, the link' },
      conditions: `${n} connections, one message each on ${batch} of them by chance`,
      ...{ unit: 'ns', value: ns, peer: { name: '1 connection', value: base } },
      ...(n === counts[counts.length - 1]
        ? { target: `< ${MOST_RATIO} × one connection`, met: ns < MOST_RATIO * base }
        : {}),
    });
    if (n === counts[counts.length - 1]) {
      const bytes = (scale.bytes - small.bytes) / (2 * n);
      bench.row({
        ...{ group: 'tcp: scale', name: 'memory of an idle connection, without rings' },
        conditions:
          'flow, scoreboard, options, timer, stream, table: bytes a connection that there is room for',
        ...{ unit: 'count', value: bytes, target: `≤ ${MOST_BYTES}`, met: bytes <= MOST_BYTES },
      });
    }
    await scale.engine.stop();
  }
  await small.engine.stop();
}
