/**
 * Applications on our sockets beside the same on Node's `net`: echo, HTTP and a key-value store on the three levels, messages
 * of 64 bytes. Peers take turns in one run, and the median of the rounds counts. scenarios/apps/README.md says who runs where.
 */
import { availableParallelism } from 'node:os';
import { missingNamespaces } from '../tests/support/netns.js';
import type { Bench } from './harness/bench.js';
import { missingCompiler } from './native/build.js';
import { idleFigures } from './scenarios/apps/contenders.js';
import { PARTS } from './scenarios/apps/parts.js';
import { report } from './scenarios/apps/report.js';
import { type Rounds, takeRounds } from './scenarios/apps/rounds.js';

/** What a lane does when it is made goes on for so long. */
const SETTLE_MS = 3000;

/** CPU that an engine takes that has nothing to do, and what a message costs that ends its sleep. */
async function idle(bench: Bench, { ms }: Rounds): Promise<void> {
  for (const awake of bench.quick ? [true] : [false, true]) {
    const order = { warmMs: SETTLE_MS, ms: bench.quick ? 500 : 3 * ms };
    const { share, p50Us, p99Us, bareUs } = await idleFigures(order, awake);
    const group = 'apps: idle engine';
    const how = awake ? ', CPUs kept awake' : '';
    const rest = `lanes that spin for 50 µs and then sleep, CPUs ${awake ? 'kept awake' : 'that halt'}`;
    const woken = `${rest}; one lane with both hosts that have worked, a message each 5 ms: from the write in the main thread to news in the lane`;
    bench.row({
      ...{ group, name: `CPU time of two lanes${how}`, unit: '%', value: share * 100 },
      ...{ conditions: `${rest}; two lanes, a server, a connection`, target: '< 1', met: share < 0.01 },
    });
    bench.row({
      ...{ group, name: `seen after, p50${how}`, conditions: woken, unit: 'µs', value: p50Us },
      ...{ target: '≤ 50', met: p50Us <= 50 },
      peer: { name: 'a bare notify of a thread that waits', value: bareUs },
    });
    bench.row({ group, name: `seen after, p99${how}`, conditions: woken, unit: 'µs', value: p99Us });
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
    : { lives: 1, rounds: 3, warmMs: 300, ms: 700 };
  for (const part of PARTS) {
    if (!bench.wants(part.name)) continue;
    const without = part.missing?.();
    if (without) {
      console.error(`  apps: ${part.name} is left out: ${without}`);
      continue;
    }
    const all = [...part.ours, ...part.peers];
    // Of those that never sleep one peer is enough to show that it works.
    const taken = bench.quick ? all.filter(c => c.rest === (c.ours ? 'spins' : 'awake')) : all;
    report(bench, part, plan, await takeRounds(taken, part.load, plan));
  }
  if (bench.wants('idle')) await idle(bench, plan);
}
